//! No test waits for ever, and none sleeps for luck: it waits for the event, this long.

use std::future::Future;
use std::time::Duration;

use tokio::time;

/// How long anything may take that a test waits for. Far more than it does take, for machines that are busy.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at something that tells nobody when it changes.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits for `future`; fails the test, naming `what`, when it takes longer than [`PATIENCE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    within_time(PATIENCE, what, Box::pin(future)).await
}

/// As [`within`], with a limit that is the point of the test.
pub async fn within_time<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    // On the heap: unoptimised, the frames of nested large futures are more than a thread's stack.
    match time::timeout(limit, Box::pin(future)).await {
        Ok(output) => output,
        Err(_) => panic!("waited {limit:?} for {what}"),
    }
}

/// Looks until `look` finds something, and returns it.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// As [`eventually`], for what takes longer by its nature.
pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let looks = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            time::sleep(LOOK_EVERY).await;
        }
    };
    within_time(limit, what, looks).await
}

/// Looks until `condition` holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually(what, async || condition().await.then_some(())).await;
}
