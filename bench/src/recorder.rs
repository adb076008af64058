//! Where everybody who plays writes down what happens, in one order.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use crate::history::{Answer, Event, Header, History, Redemption, What};

/// The history as it grows, and how far it has come.
#[derive(Debug)]
pub struct Recorder {
    begin: Instant,
    started: SystemTime,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    tally: Tally,
}

/// How often something has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sockets that were asked for.
    pub opening: u64,
    /// Sockets that were had.
    pub opened: u64,
    /// Sockets that were refused.
    pub refused: u64,
    /// Sockets that the other side closed, or that broke.
    pub closed: u64,
    /// QR codes that were shown.
    pub shown: u64,
    /// Attempts to push.
    pub pushed: u64,
    /// Answers that said "logged in".
    pub accepted: u64,
    /// Successes that browsers got.
    pub delivered: u64,
    /// Codes that were redeemed.
    pub redeemed: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { begin: Instant::now(), started: SystemTime::now(), inner: Mutex::default() }
    }
}

impl Recorder {
    /// Writes down what happens now.
    pub fn record(&self, login: u64, what: What) {
        self.record_at(Instant::now(), login, what);
    }

    /// Writes down what happened at `at`, a moment ago.
    pub fn record_at(&self, at: Instant, login: u64, what: What) {
        let mut inner = self.lock();
        inner.tally.count(&what);
        inner.events.push(Event { at_us: self.micros(at), login, what });
    }

    /// A moment as histories have it; what lay before the begin counts as the begin.
    #[must_use]
    pub fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begin).as_micros()).unwrap_or(u64::MAX)
    }

    /// How far it has come.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// Takes the history out, with the present moment as its end.
    #[must_use]
    pub fn finish(&self, gateways: Vec<String>, callbacks: Vec<String>) -> History {
        let mut header = Header::new(rfc3339(self.started), self.micros(Instant::now()));
        (header.gateways, header.callbacks) = (gateways, callbacks);
        History { header, events: std::mem::take(&mut self.lock().events) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn count(&mut self, what: &What) {
        let counter = match what {
            What::Opening { .. } => &mut self.opening,
            What::Opened => &mut self.opened,
            What::Refused { .. } => &mut self.refused,
            What::Closed { .. } => &mut self.closed,
            What::Shown { .. } => &mut self.shown,
            What::Pushed { .. } => &mut self.pushed,
            What::Answered { answer: Answer::Accepted(_), .. } => &mut self.accepted,
            What::Delivered { .. } => &mut self.delivered,
            What::Redeemed { outcome: Redemption::Identity { .. }, .. } => &mut self.redeemed,
            _ => return,
        };
        *counter += 1;
    }
}

/// A time of the clock, to the second.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
