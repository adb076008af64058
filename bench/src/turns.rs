//! Whose turn it is among several servers, as a load balancer deals them out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Servers, by number, that get no turn: a load balancer's health checks have taken them out.
#[derive(Clone, Debug, Default)]
pub struct Away(Arc<Mutex<BTreeSet<u16>>>);

impl Away {
    /// Takes a server out.
    pub fn insert(&self, number: u16) {
        self.numbers().insert(number);
    }

    /// Lets it in again.
    pub fn remove(&self, number: u16) {
        self.numbers().remove(&number);
    }

    fn has(&self, number: u16) -> bool {
        self.numbers().contains(&number)
    }

    fn numbers(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deals out the numbers of servers, one after the other.
#[derive(Debug)]
pub(crate) struct Turns {
    count: u16,
    next: AtomicUsize,
    away: Away,
}

impl Turns {
    /// Turns among the first `count` numbers; what histories cannot number gets no turn.
    pub(crate) fn among(count: usize, away: Away) -> Self {
        Self { count: u16::try_from(count).unwrap_or(u16::MAX), next: AtomicUsize::new(0), away }
    }

    /// The next number of those that are there, but another than that of `failed`, as long as there is another.
    pub(crate) fn next(&self, failed: Option<u16>) -> u16 {
        let count = self.count.max(1);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % usize::from(count);
        let turn = u16::try_from(turn).unwrap_or_default();
        let others = || (turn..count).chain(0..turn).filter(|number| failed != Some(*number));
        others().find(|number| !self.away.has(*number)).or_else(|| others().next()).unwrap_or(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_turn_and_nobody_is_sent_back_to_who_failed() {
        let turns = Turns::among(3, Away::default());
        assert_eq!([(); 4].map(|()| turns.next(None)), [0, 1, 2, 0]);
        // Whoever's turn it is.
        for failed in [0, 0, 0, 1, 1, 1, 2, 2, 2] {
            assert_ne!(turns.next(Some(failed)), failed);
        }
        assert_eq!(Turns::among(1, Away::default()).next(Some(0)), 0);
    }

    #[test]
    fn who_is_away_gets_no_turn_until_it_is_back() {
        let away = Away::default();
        let turns = Turns::among(3, away.clone());
        away.insert(1);
        assert_eq!([(); 4].map(|()| turns.next(None)), [0, 2, 2, 0]);
        assert_eq!([(); 3].map(|()| turns.next(Some(2))), [0, 0, 0]);
        // Better one that may not be there than one that has failed.
        away.insert(0);
        assert_ne!(turns.next(Some(2)), 2);
        away.remove(1);
        assert_eq!([(); 3].map(|()| turns.next(Some(2))), [1, 1, 1]);
    }
}
