//! Whose turn it is among several servers, as a load balancer deals them out.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Deals out the numbers of servers, one after the other.
#[derive(Debug)]
pub(crate) struct Turns {
    count: u16,
    next: AtomicUsize,
}

impl Turns {
    /// Turns among the first `count` numbers; what histories cannot number gets no turn.
    pub(crate) fn among(count: usize) -> Self {
        Self { count: u16::try_from(count).unwrap_or(u16::MAX), next: AtomicUsize::new(0) }
    }

    /// The next number, but another than that of `failed`, as long as there is another.
    pub(crate) fn next(&self, failed: Option<u16>) -> u16 {
        let count = self.count.max(1);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % usize::from(count);
        let number = u16::try_from(turn).unwrap_or_default();
        if failed == Some(number) { (number + 1) % count } else { number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_turn_and_nobody_is_sent_back_to_who_failed() {
        let turns = Turns::among(3);
        assert_eq!([(); 4].map(|()| turns.next(None)), [0, 1, 2, 0]);
        // Whoever's turn it is.
        for failed in [0, 0, 0, 1, 1, 1, 2, 2, 2] {
            assert_ne!(turns.next(Some(failed)), failed);
        }
        assert_eq!(Turns::among(1).next(Some(0)), 0);
    }
}
