//! The platform's clock: the system's, and what a test moved it on by, so that lives can end without waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Furthest that the clock can be moved on: ten years, more than anything here lives.
const FURTHEST: u64 = 10 * 366 * 86_400;

/// Seconds since 1970. It decides over tokens, QR codes and message windows, and is the `Date` of the API's answers;
/// pushes carry the system's own time, which the account's server compares with its clock.
#[derive(Default)]
pub(crate) struct Clock {
    moved_on: AtomicU64,
}

impl Clock {
    /// The platform's time.
    pub(crate) fn now(&self) -> u64 {
        system_time() + self.moved_on.load(Ordering::Relaxed)
    }

    /// Moves the platform's time on, and says by how much in all. It stops at ten years.
    pub(crate) fn advance(&self, seconds: u64) -> u64 {
        let moved = |now: u64| Some(now.saturating_add(seconds).min(FURTHEST));
        match self.moved_on.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved) {
            Ok(before) | Err(before) => before.saturating_add(seconds).min(FURTHEST),
        }
    }
}

/// The system's time in seconds; 0 on a system that believes to be before 1970.
pub(crate) fn system_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
