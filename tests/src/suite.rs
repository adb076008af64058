//! One suite over every backplane.

/// Makes a test of each function for each backplane: `memory::name`, `redis::name`, `cluster::name`. A function is given
/// its [`Store`](crate::replica::Store).
#[macro_export]
macro_rules! on_every_backplane {
    ($($name:ident,)+) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::replica::Store::memory()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::replica::Store::redis().await).await;
            })+
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::replica::Store::cluster().await).await;
            })+
        }
    };
}
