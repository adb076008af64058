//! Log lines that strangers can cause: a few a second, and how many were left out.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Enough to see what is going on, too few to fill a disk.
const LINES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(1);

/// Admits a few lines in each second.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Throttle {
    /// `None`: leave the line out. Else the line may be written, and says how many were left out before it.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            window.began = Some(now);
            window.lines = 0;
        }
        if window.lines >= LINES {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

/// A throttle for each kind of line, so that a flood of one hides no other. The kinds must be few, and ours.
#[derive(Debug)]
pub struct Throttles<K>(Mutex<HashMap<K, Throttle>>);

impl<K> Default for Throttles<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Throttles<K> {
    /// As [`Throttle::admit`], for lines of this kind.
    pub fn admit(&self, kind: K, now: Instant) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default().admit(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_few_lines_a_second_and_a_count_of_the_rest() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let admitted =
            |at: Duration| (0..1000).filter_map(|_| throttle.admit(start + at)).collect::<Vec<_>>();
        assert_eq!(admitted(Duration::ZERO), [0, 0, 0, 0, 0]);
        assert_eq!(admitted(WINDOW), [995, 0, 0, 0, 0]);
        assert!(admitted(WINDOW + WINDOW / 2).is_empty());
    }

    #[test]
    fn a_flood_of_one_kind_leaves_another_alone() {
        let (throttles, now) = (Throttles::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| throttles.admit("flood", now).is_some()).count(), 5);
        assert_eq!(throttles.admit("other", now), Some(0));
    }
}
