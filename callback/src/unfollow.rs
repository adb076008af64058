//! Unfollows that the backplane could not be told of in time. The platform says each once, and nobody else ever does.

use std::sync::Arc;
use std::time::Duration;

use shared::backplane::{self, Backplane, MessageHash, Stamp};
use shared::login::OpenId;
use shared::random;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

/// Pause before the backplane is told again; up to twice as long.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// People who may wait for their count to be forgotten. Beyond it, it stays until they unfollow again.
const WAITING_MAX: usize = 1024;

/// One message that somebody unfollowed the account.
pub(crate) struct Unfollow {
    pub(crate) person: OpenId,
    pub(crate) message: MessageHash,
    /// In plain mode: what it may be believed by, which the backplane was perhaps not asked yet.
    pub(crate) stamp: Option<Stamp>,
}

/// Tells the backplane of them when it answers again.
pub(crate) struct Unfollows {
    backplane: Backplane,
    /// How long a message is remembered, and tried for.
    life: Duration,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Unfollows {
    pub(crate) fn new(backplane: Backplane, life: Duration, tasks: TaskTracker) -> Self {
        Self { backplane, life, room: Arc::new(Semaphore::new(WAITING_MAX)), tasks }
    }

    /// Goes on trying for as long as the message is remembered. Harmless where it was done already: a message has its
    /// effect once.
    pub(crate) fn make_up_for(&self, unfollow: Unfollow) {
        let Ok(place) = self.room.clone().try_acquire_owned() else { return };
        let (backplane, life) = (self.backplane.clone(), self.life);
        self.tasks.spawn(async move {
            let over = Instant::now() + life;
            while Instant::now() < over {
                let [jitter] = random::bytes();
                sleep(RETRY_AFTER + RETRY_AFTER * u32::from(jitter) / 255).await;
                if unfollow.tell(&backplane, life).await.is_ok() {
                    break;
                }
            }
            drop(place);
        });
    }
}

impl Unfollow {
    async fn tell(&self, backplane: &Backplane, life: Duration) -> Result<(), backplane::Error> {
        if let Some(stamp) = self.stamp
            && !backplane.bind(stamp, self.message, life).await?
        {
            return Ok(());
        }
        backplane.forget(&self.person, self.message, life).await
    }
}
