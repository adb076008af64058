//! When a page comes back: as the element does it (docs/browser-protocol.md, "Close codes").

use std::time::{Duration, Instant};

use crate::random;

/// The first random time, which doubles with every failure, and where that ends.
const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(15);
/// A replica that goes away sends all its browsers at once: they come back spread over this time.
const MOVE_SPREAD: Duration = Duration::from_millis(1500);
/// An answer must have stood this long before the failures are forgotten.
const STABLE: Duration = Duration::from_secs(5);

/// How often a page has failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    answered: Option<Instant>,
}

impl Backoff {
    /// The server answered something useful.
    pub(crate) fn answered(&mut self, at: Instant) {
        self.answered = Some(at);
    }

    /// The time until the next try, after a close code (`None` where the connection broke or was refused) and not before
    /// `after`.
    pub(crate) fn next(&mut self, close_code: Option<u16>, after: Duration) -> Duration {
        if self.answered.take().is_some_and(|at| at.elapsed() > STABLE) {
            self.failures = 0;
        }
        let moved = matches!(close_code, Some(1001 | 1012));
        let spread = match self.failures {
            0 if moved => MOVE_SPREAD,
            failures => CAP.min(BASE * 2_u32.saturating_pow(failures.min(16))),
        };
        self.failures += 1;
        after + spread.mul_f64(random::fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_doubles_to_its_end_and_begins_anew_after_a_good_while() {
        let mut backoff = Backoff::default();
        for limit in [500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            assert!(backoff.next(None, Duration::ZERO) <= Duration::from_millis(limit));
        }
        backoff.answered(Instant::now());
        backoff.next(None, Duration::ZERO);
        assert_eq!(backoff.failures, 8);
        backoff.answered(Instant::now().checked_sub(Duration::from_secs(6)).unwrap());
        backoff.next(None, Duration::ZERO);
        assert_eq!(backoff.failures, 1);
    }

    #[test]
    fn a_replica_that_leaves_and_one_that_names_a_time_are_obeyed() {
        let spread: Vec<_> = (0..200).map(|_| Backoff::default().next(Some(1012), Duration::ZERO)).collect();
        assert!(spread.iter().all(|after| *after <= MOVE_SPREAD) && spread.iter().any(|after| *after > BASE));
        assert!(Backoff::default().next(Some(1013), Duration::from_secs(3)) >= Duration::from_secs(3));
    }
}
