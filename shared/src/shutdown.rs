//! How a program ends: the first SIGTERM or SIGINT asks for it, the second one insists.
//!
//! From the first signal on the program is not ready. For the delay it goes on as ever, because load balancers learn late
//! that it leaves. Then it accepts nobody any more and asks those it holds to move on, spread over the drain time, so
//! that they don't come to the other replicas all at once. At the end of the grace time it ends, whoever is still there.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use crate::random;
use crate::settings::{Invalid, duration};

/// Exit code of a program that was told twice to end, and of one that could not start.
pub const EXIT_FAILURE: i32 = 1;

/// The times of leaving, each counted from the one before but for the grace time, which counts from the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long it goes on as ever (`DRAIN_DELAY`).
    pub delay: Duration,
    /// How long those it holds are asked to move on (`DRAIN_TIME`).
    pub time: Duration,
    /// When it ends at the latest (`GRACE_TIME`).
    pub grace: Duration,
}

impl Drain {
    /// For one replica of many, within the 30 s that Kubernetes gives.
    pub const REPLICA: Self =
        Self { delay: Duration::ZERO, time: Duration::from_secs(10), grace: Duration::from_secs(25) };
    /// For a program that has nobody to hand anything over to.
    pub const ALONE: Self =
        Self { delay: Duration::ZERO, time: Duration::ZERO, grace: Duration::from_secs(5) };
}

/// The times of leaving, as an operator writes them.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct DrainSettings {
    /// The time for which the program goes on accepting after SIGTERM, such as 5s behind a load balancer that learns late
    /// [default: 0s]
    #[arg(long, env = "DRAIN_DELAY", value_name = "DURATION", value_parser = duration)]
    pub drain_delay: Option<Duration>,
    /// The time after that over which browsers are asked to move on [default: 10s; standalone 0s]
    #[arg(long, env = "DRAIN_TIME", value_name = "DURATION", value_parser = duration)]
    pub drain_time: Option<Duration>,
    /// The time after SIGTERM at which the program has ended, above the other two together [default: 25s; standalone 5s]
    #[arg(long, env = "GRACE_TIME", value_name = "DURATION", value_parser = duration)]
    pub grace_time: Option<Duration>,
}

impl DrainSettings {
    /// The times, with `defaults` for those that are not set.
    ///
    /// # Errors
    ///
    /// The grace time is not above the other two together.
    pub fn drain(&self, defaults: Drain) -> Result<Drain, Invalid> {
        let drain = Drain {
            delay: self.drain_delay.unwrap_or(defaults.delay),
            time: self.drain_time.unwrap_or(defaults.time),
            grace: self.grace_time.unwrap_or(defaults.grace),
        };
        if drain.grace <= drain.delay.saturating_add(drain.time) {
            let expected = "a duration above DRAIN_DELAY and DRAIN_TIME together";
            return Err(Invalid::malformed("GRACE_TIME", expected));
        }
        Ok(drain)
    }
}

/// A program's way out. Clones are of the same program.
#[derive(Clone, Debug)]
pub struct Departure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    drain: Drain,
    /// The program was told to end.
    asked: CancellationToken,
    /// The delay is over.
    leaving: CancellationToken,
    /// The grace time is over.
    over: CancellationToken,
}

impl Departure {
    /// One that nothing has begun yet.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        let (asked, leaving, over) = Default::default();
        Self(Arc::new(Inner { drain, asked, leaving, over }))
    }

    /// Begins with the first SIGTERM or SIGINT. A second signal ends the process at once with exit code 1.
    ///
    /// # Errors
    ///
    /// The operating system refuses the signal handlers.
    pub fn on_signals(drain: Drain) -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let departure = Self::new(drain);
        let begun = departure.clone();
        tokio::spawn(async move {
            for insists in [false, true] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if insists {
                    tracing::warn!("told to end a second time, ending at once");
                    std::process::exit(EXIT_FAILURE);
                }
                tokio::spawn(begun.clone().go());
            }
        });
        Ok(departure)
    }

    async fn go(self) {
        let Inner { drain, asked, leaving, over } = &*self.0;
        let told = Instant::now();
        let seconds = |duration: Duration| duration.as_secs_f64();
        let (delay_s, time_s, grace_s) = (seconds(drain.delay), seconds(drain.time), seconds(drain.grace));
        tracing::info!(delay_s, time_s, grace_s, "told to end, draining");
        asked.cancel();
        time::sleep_until(told + drain.delay).await;
        leaving.cancel();
        time::sleep_until(told + drain.grace).await;
        over.cancel();
    }

    /// Whether the program was told to end: it is not ready any more.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.asked.is_cancelled()
    }

    /// Waits until the program is told to end.
    pub async fn begun(&self) {
        self.0.asked.cancelled().await;
    }

    /// Whether nobody new may come in.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.0.leaving.is_cancelled()
    }

    /// Cancelled when nobody new may come in.
    #[must_use]
    pub fn leaving(&self) -> &CancellationToken {
        &self.0.leaving
    }

    /// Waits until one of those that are held has to move on: at a moment of the drain time, by lot.
    pub async fn turn(&self) {
        self.0.leaving.cancelled().await;
        let lot = f64::from(u32::from_le_bytes(random::bytes())) / f64::from(u32::MAX);
        time::sleep(self.0.drain.time.mul_f64(lot)).await;
    }

    /// Waits until the grace time is over.
    pub(crate) async fn over(&self) {
        self.0.over.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_time_must_hold_the_rest() {
        let drain = |delay, time, grace| {
            let seconds = |of: Option<u64>| of.map(Duration::from_secs);
            DrainSettings {
                drain_delay: seconds(delay),
                drain_time: seconds(time),
                grace_time: seconds(grace),
            }
            .drain(Drain::REPLICA)
        };
        assert_eq!(drain(None, None, None).unwrap(), Drain::REPLICA);
        assert_eq!(drain(Some(5), None, None).unwrap().delay, Duration::from_secs(5));
        for (delay, time, grace) in [(Some(15), None, None), (None, Some(25), None), (None, None, Some(10))] {
            assert!(drain(delay, time, grace).unwrap_err().to_string().contains("GRACE_TIME"));
        }
    }
}
