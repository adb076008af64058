//! What an operator is told of trouble: its beginning and its end, not its every victim.

use std::time::Duration;

use tokio::time::Instant;

use super::super::error::Kind;

/// While the platform flaps, one kind of failure is told at most once in this time.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The trouble that there is, and what was said lately.
#[derive(Debug, Default)]
pub(super) struct Journal {
    trouble: Option<Trouble>,
    said: Vec<(Kind, Instant)>,
}

/// From the first failure to the next success.
#[derive(Debug)]
struct Trouble {
    began: Instant,
    failed: u64,
    refused: u64,
    /// The kinds that were told during it.
    told: Vec<Kind>,
}

/// What the end of a trouble is told with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    /// Calls that failed.
    pub(super) failed: u64,
    /// Calls that were not made.
    pub(super) refused: u64,
    /// From the first failure on.
    pub(super) lasted: Duration,
}

impl Journal {
    /// Notes a failure. Whether it is worth a line: the first of its kind in this trouble, and in this minute.
    pub(super) fn failed(&mut self, kind: Kind, now: Instant) -> bool {
        let begin = || Trouble { began: now, failed: 0, refused: 0, told: Vec::new() };
        let trouble = self.trouble.get_or_insert_with(begin);
        trouble.failed += 1;
        self.said.retain(|(_, at)| now.duration_since(*at) < SAY_EVERY);
        if trouble.told.contains(&kind) || self.said.iter().any(|(said, _)| *said == kind) {
            return false;
        }
        trouble.told.push(kind);
        self.said.push((kind, now));
        true
    }

    /// Notes a failure of a call that began before things changed: it counts, if there is trouble yet, and is not worth a line.
    pub(super) fn failed_late(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.failed += 1;
        }
    }

    /// Notes a call that was not made.
    pub(super) fn refused(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.refused += 1;
        }
    }

    /// Notes a success. It is worth a line if it ends a trouble that was told.
    pub(super) fn succeeded(&mut self, now: Instant) -> Option<Recovery> {
        let Trouble { began, failed, refused, told } = self.trouble.take()?;
        (!told.is_empty()).then(|| Recovery { failed, refused, lasted: now.duration_since(began) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_kind_of_failure_is_told_once_however_many_logins_it_costs() {
        let (mut journal, start) = (Journal::default(), Instant::now());
        let told = |journal: &mut Journal, kind: Kind| {
            (0..5000).filter(|n| journal.failed(kind, start + SECOND * *n)).count()
        };
        assert_eq!(told(&mut journal, Kind::Code(40164)), 1);
        assert_eq!(told(&mut journal, Kind::Code(48001)), 1);
        assert_eq!(told(&mut journal, Kind::Unreachable), 1);
    }

    #[test]
    fn the_end_is_told_once_with_its_cost() {
        let (mut journal, start) = (Journal::default(), Instant::now());
        assert_eq!(journal.succeeded(start), None);
        journal.refused();
        journal.failed_late();
        assert_eq!(journal.succeeded(start), None, "no trouble began");
        journal.failed(Kind::Code(-1), start);
        journal.failed(Kind::Unreachable, start + SECOND);
        journal.failed_late();
        (0..30).for_each(|_| journal.refused());
        let recovery = Recovery { failed: 3, refused: 30, lasted: 5 * SECOND };
        assert_eq!(journal.succeeded(start + 5 * SECOND), Some(recovery));
        assert_eq!(journal.succeeded(start + 6 * SECOND), None);
    }

    #[test]
    fn what_comes_and_goes_is_told_once_a_minute() {
        let (mut journal, start) = (Journal::default(), Instant::now());
        let (mut failures, mut recoveries) = (Vec::new(), 0);
        for second in 0..180 {
            let now = start + SECOND * second;
            if journal.failed(Kind::Status(502), now) {
                failures.push(second);
            }
            recoveries += usize::from(journal.succeeded(now).is_some());
        }
        assert_eq!((failures, recoveries), (vec![0, 60, 120], 3));
    }

    #[test]
    fn what_came_back_within_the_minute_and_stays_is_told_after_it() {
        let (mut journal, start) = (Journal::default(), Instant::now());
        assert!(journal.failed(Kind::TokenNotTaken, start));
        assert!(journal.succeeded(start + SECOND).is_some());
        let told: Vec<_> =
            (2..200).filter(|n| journal.failed(Kind::TokenNotTaken, start + SECOND * *n)).collect();
        assert_eq!(told, [60]);
    }
}
