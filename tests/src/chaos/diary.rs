//! What was done, and when.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bench::recorder::Tally;

use super::schedule::Fault;

/// Lines with their times, and how often each kind of disruption came.
#[derive(Debug)]
pub struct Diary {
    begin: Instant,
    tells: bool,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    text: String,
    counts: BTreeMap<&'static str, u64>,
}

impl Diary {
    /// Begins one; `tells` on standard error what is written.
    #[must_use]
    pub fn begin(tells: bool) -> Self {
        Self { begin: Instant::now(), tells, pages: Mutex::default() }
    }

    /// Since its begin.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Says on standard error what everybody should see, however the run ends.
    pub fn announce(&self, what: &str) {
        // Whoever closed it does not want to know.
        let _ = writeln!(io::stderr(), "{what}");
    }

    /// Writes a line.
    pub fn write(&self, what: &str) {
        let line = format!("{:>8.3} s  {what}", self.elapsed().as_secs_f64());
        self.say(&line);
        // Writing to a string cannot fail.
        let _ = writeln!(self.pages().text, "{line}");
    }

    /// Writes that a disruption begins, and counts it.
    pub fn count(&self, fault: &Fault) {
        self.write(&format!("{fault:?}"));
        *self.pages().counts.entry(fault.name()).or_default() += 1;
    }

    /// Tells how far the logins have come.
    pub fn tell(&self, tally: &Tally) {
        let Tally { opened, shown, pushed, accepted, delivered, redeemed, .. } = tally;
        let seconds = self.elapsed().as_secs();
        self.say(&format!(
            "{seconds:>4} s  sockets {opened}  codes {shown}  pushes {pushed}  told success {accepted}  \
             delivered {delivered}  redeemed {redeemed}"
        ));
    }

    /// All lines.
    #[must_use]
    pub fn text(&self) -> String {
        self.pages().text.clone()
    }

    /// How often each kind of disruption began.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.pages().counts.clone()
    }

    fn say(&self, line: &str) {
        if self.tells {
            self.announce(line);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
