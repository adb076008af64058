//! Chance that can be repeated.

use std::time::Duration;

/// Numbers that follow from a seed: SplitMix64 (<https://doi.org/10.1145/2714064.2660195>).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The seed decides all that comes.
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `number`.
    pub(super) fn below(&mut self, number: usize) -> usize {
        usize::try_from(self.next() % number as u64).unwrap_or_default()
    }

    /// Between so many milliseconds.
    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from + 1))
    }

    /// The numbers below `number` in some order.
    pub(super) fn shuffled(&mut self, number: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..number).collect();
        for last in (1..number).rev() {
            numbers.swap(last, self.below(last + 1));
        }
        numbers
    }
}
