//! What was done, and when.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bench::recorder::{Recorder, Tally};

use super::outages::Outage;
use super::schedule::Fault;

/// Lines with their times, and what was broken from when to when.
#[derive(Debug)]
pub struct Diary {
    begin: Instant,
    tells: bool,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    text: String,
    broken: Vec<(Fault, Instant, Instant)>,
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

    /// Writes that a disruption begins, and tells when.
    pub fn begins(&self, fault: Fault) -> Instant {
        self.write(&format!("{fault:?}"));
        Instant::now()
    }

    /// Writes that it is over.
    pub fn ends(&self, fault: Fault, begun: Instant) {
        self.write(&format!("over: {fault:?}"));
        self.pages().broken.push((fault, begun, Instant::now()));
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

    /// What was broken, by the clock of the history.
    #[must_use]
    pub fn outages(&self, recorder: &Recorder) -> Vec<Outage> {
        let outage = |&(fault, from, until): &(Fault, Instant, Instant)| {
            let [from_us, until_us] = [from, until].map(|at| recorder.micros(at));
            Outage { fault, from_us, until_us }
        };
        self.pages().broken.iter().map(outage).collect()
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
