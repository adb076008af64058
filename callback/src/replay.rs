//! Plain mode's guard: there the signature does not cover the message, so whoever has seen one could send another message
//! with it (docs/wechat.md, "Signatures"). A signature is good for the first message that came with it, on any replica.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::backplane::{self, Backplane, MessageHash, Stamp};
use shared::random;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

use crate::answer::{Unanswered, within};

/// Pause before the backplane is told again what it did not confirm; up to twice as long.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Signatures that may wait to be confirmed. They pile up only while the backplane is away, and then nothing can be
/// moved anyway: beyond it, messages are believed as little as if the backplane had not answered.
const UNCONFIRMED_MAX: usize = 1024;

/// What this process knows of signatures beside the backplane.
pub(crate) struct Guard {
    backplane: Backplane,
    /// How long a signature stays bound to its message.
    life: Duration,
    /// What has come here, and may be news to the backplane. A message that came while the backplane was away is still
    /// the first one.
    unconfirmed: Mutex<HashMap<Stamp, MessageHash>>,
    /// Those that tell the backplane.
    tasks: TaskTracker,
}

/// What is known here of a signature that comes.
enum Known {
    /// Nothing: it waits to be confirmed now.
    New,
    /// It waits to be confirmed with the same message.
    Same,
    /// It waits to be confirmed with another message.
    Another,
    /// Nothing, and too many others wait.
    Crowded,
}

impl Guard {
    pub(crate) fn new(backplane: Backplane, life: Duration, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { backplane, life, unconfirmed: Mutex::default(), tasks })
    }

    /// Whether `message` is what came with this signature first. Unanswered, it may not be believed; the backplane is
    /// told of it as soon as it answers, so that no other message takes its place.
    pub(crate) async fn admits(
        self: &Arc<Self>,
        stamp: Stamp,
        message: MessageHash,
        deadline: Instant,
    ) -> Result<bool, Unanswered> {
        match self.enter(stamp, message) {
            Known::New => {
                let (answer, first_answer) = oneshot::channel();
                // Not a part of the call, which ends when the platform hangs up. It ends with the signature's life.
                self.tasks.spawn(self.clone().confirm(stamp, message, answer));
                match timeout_at(deadline, first_answer).await {
                    Ok(Ok(bound)) => Ok(bound?),
                    // The task is gone only where the process is going.
                    Ok(Err(_)) | Err(_) => Err(Unanswered::Late),
                }
            }
            Known::Same => within(deadline, self.backplane.bind(stamp, message, self.life)).await,
            Known::Another => Ok(false),
            Known::Crowded => Err(Unanswered::Crowded),
        }
    }

    fn enter(&self, stamp: Stamp, message: MessageHash) -> Known {
        let mut unconfirmed = self.unconfirmed();
        let crowded = unconfirmed.len() >= UNCONFIRMED_MAX;
        match unconfirmed.entry(stamp) {
            Entry::Occupied(known) if *known.get() == message => Known::Same,
            Entry::Occupied(_) => Known::Another,
            Entry::Vacant(_) if crowded => Known::Crowded,
            Entry::Vacant(free) => {
                free.insert(message);
                Known::New
            }
        }
    }

    /// Tells the backplane until it answers, or the signature is too old to be of use. `answer` gets the first answer.
    async fn confirm(
        self: Arc<Self>,
        stamp: Stamp,
        message: MessageHash,
        answer: oneshot::Sender<Result<bool, backplane::Error>>,
    ) {
        let over = Instant::now() + self.life;
        let first = self.backplane.bind(stamp, message, self.life).await;
        if first.is_ok() {
            // Whichever message it is bound to, the backplane knows it now.
            self.unconfirmed().remove(&stamp);
            // An error means that the platform has hung up.
            let _ = answer.send(first);
            return;
        }
        let _ = answer.send(first);
        while Instant::now() < over {
            let [jitter] = random::bytes();
            sleep(RETRY_AFTER + RETRY_AFTER * u32::from(jitter) / 255).await;
            if self.backplane.bind(stamp, message, self.life).await.is_ok() {
                break;
            }
        }
        self.unconfirmed().remove(&stamp);
    }

    fn unconfirmed(&self) -> MutexGuard<'_, HashMap<Stamp, MessageHash>> {
        // Each critical section leaves the map whole, even if it panics.
        self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use shared::backplane::{BackplaneSettings, MemoryBackplane, RedisBackplane, Role};
    use shared::settings::Secret;
    use tokio::task::yield_now;

    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn guard() -> Arc<Guard> {
        Guard::new(Backplane::Memory(MemoryBackplane::default()), LIFE, TaskTracker::new())
    }

    fn stamp(n: usize) -> Stamp {
        Stamp::of(&n.to_string())
    }

    fn messages() -> [MessageHash; 2] {
        [b"first", b"other"].map(|message| MessageHash::of(message))
    }

    #[tokio::test]
    async fn c3_a_message_whose_sender_hung_up_keeps_its_signature() {
        let (guard, [first, other]) = (guard(), messages());
        let deadline = Instant::now() + LIFE;
        // Dropped after it has begun.
        assert!(guard.admits(stamp(1), first, deadline).now_or_never().is_none());
        while !guard.unconfirmed().is_empty() {
            yield_now().await;
        }
        assert!(!guard.backplane.bind(stamp(1), other, LIFE).await.unwrap());
        assert!(!guard.admits(stamp(1), other, deadline).await.unwrap());
        assert!(guard.admits(stamp(1), first, deadline).await.unwrap());
        assert!(guard.unconfirmed().is_empty());
    }

    #[tokio::test]
    async fn c9_a_backplane_that_never_answers_is_not_waited_for() {
        let nobody = Secret::new("redis://127.0.0.1:1");
        let redis = RedisBackplane::connect(&nobody, Role::Moves, &BackplaneSettings::default()).unwrap();
        let guard = Guard::new(Backplane::Redis(redis), LIFE, TaskTracker::new());
        let [first, other] = messages();
        // The second is known here already.
        for _ in 0..2 {
            let (began, deadline) = (Instant::now(), Instant::now() + Duration::from_millis(10));
            let admitted = guard.admits(stamp(1), first, deadline).await;
            assert!(matches!(admitted, Err(Unanswered::Late)), "{admitted:?}");
            assert!(began.elapsed() < Duration::from_secs(1), "the backplane itself takes longer");
        }
        let deadline = Instant::now() + LIFE;
        assert!(matches!(guard.admits(stamp(1), other, deadline).await, Ok(false)));
    }

    #[tokio::test]
    async fn a_crowd_that_waits_to_be_confirmed_is_bounded_and_the_rest_is_not_believed() {
        let (guard, [first, other]) = (guard(), messages());
        for n in 0..UNCONFIRMED_MAX {
            assert!(matches!(guard.enter(stamp(n), first), Known::New));
        }
        let admits = async |n, message| guard.admits(stamp(n), message, Instant::now() + LIFE).await;
        assert!(matches!(admits(UNCONFIRMED_MAX, first).await, Err(Unanswered::Crowded)));
        assert!(matches!(admits(0, other).await, Ok(false)));
        assert!(matches!(admits(0, first).await, Ok(true)));
        assert_eq!(guard.unconfirmed().len(), UNCONFIRMED_MAX);
    }
}
