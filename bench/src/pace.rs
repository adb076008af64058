//! The open loop: things begin when they are planned to, whatever became of those before.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_timerslack;
use tokio::sync::mpsc;

/// Moments that are told before anybody takes them; then the thread waits, and tells them later.
const AHEAD: usize = 1024;

/// A rate, as moments.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    begin: Instant,
    rate: f64,
}

impl Schedule {
    /// `rate` a second, evenly, the first at `begin`.
    #[must_use]
    pub fn new(begin: Instant, rate: f64) -> Self {
        Self { begin, rate }
    }

    /// The planned moment of the thing with this number, counted from 0.
    #[must_use]
    pub fn moment(&self, number: u64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let seconds = number as f64 / self.rate;
        self.begin + Duration::from_secs_f64(seconds)
    }
}

/// The moments of a schedule as they come. Each is told within some 20 µs, for a thread of its own waits for them: the
/// runtime's timers count in whole milliseconds, which is more than what is measured here.
#[derive(Debug)]
pub struct Ticks(mpsc::Receiver<Instant>);

impl Ticks {
    /// The first `count` moments. The thread ends with the last of them, or soon after this is dropped.
    #[must_use]
    pub fn of(schedule: Schedule, count: u64) -> Self {
        let (ticks, ticked) = mpsc::channel(AHEAD);
        thread::spawn(move || {
            // Without it the kernel may add 50 µs to every sleep; where it is refused, it does.
            let _ = set_timerslack(1);
            for moment in (0..count).map(|number| schedule.moment(number)) {
                #[expect(clippy::disallowed_methods, reason = "a thread of its own, outside of any runtime")]
                thread::sleep(moment.saturating_duration_since(Instant::now()));
                if ticks.blocking_send(moment).is_err() {
                    return;
                }
            }
        });
        Self(ticked)
    }

    /// Waits for the next; `None` after the last. Whoever is late gets those that are over at once: it is the planned
    /// moment that counts. Cancel safe.
    pub async fn next(&mut self) -> Option<Instant> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_evenly_and_do_not_drift() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 300.0);
        assert_eq!(schedule.moment(0), begin);
        assert_eq!(schedule.moment(300 * 3600) - begin, Duration::from_secs(3600));
        assert_eq!((schedule.moment(1) - begin).as_micros(), 3333);
    }

    #[tokio::test]
    async fn ticks_come_in_order_and_never_early() {
        let schedule = Schedule::new(Instant::now(), 1000.0);
        let mut ticks = Ticks::of(schedule, 20);
        for number in 0..20 {
            let moment = ticks.next().await.unwrap();
            assert!(moment == schedule.moment(number) && Instant::now() >= moment);
        }
        assert!(ticks.next().await.is_none());
    }
}
