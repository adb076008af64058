//! What all runs have in common: what they are against, what they come to, and what can prevent them.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use shared::serve::open_files;
use tokio::task::JoinSet;
use tokio::time;

use crate::browser::{self, Gateways};
use crate::checker::Judgement;
use crate::endpoint::Endpoint;
use crate::history::History;
use crate::pace::{Schedule, Ticks};
use crate::recorder::{Recorder, rfc3339};
use crate::report::{Machine, Report};
use crate::resources::{Process, Usage};
use crate::turns::Away;

/// Descriptors that are no browsers: phones, applications, files.
const OTHER_FILES: u64 = 512;
/// How long pages that were opened may take for their first code.
const CODES_TIME: Duration = Duration::from_secs(30);
/// Between two looks at something that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the browsers go, and whose resources are looked at.
#[derive(Clone, Debug)]
pub struct Target {
    /// The gateways, or what stands before them. Pages come back to another one than they lost.
    pub gateways: Vec<Endpoint>,
    /// Whose pages they are; the gateway's own origin if left out.
    pub origin: Option<String>,
    /// Processes of the deployment that are there when the run begins. One that ends meanwhile has no row in the tables.
    pub processes: Vec<Process>,
    /// Gateways that get no pages for a while.
    pub away: Away,
}

impl Target {
    /// These gateways, for their own pages; nothing is looked at.
    #[must_use]
    pub fn of(gateways: Vec<Endpoint>) -> Self {
        Self { gateways, origin: None, processes: Vec::new(), away: Away::default() }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// For people and machines.
    pub report: Report,
    /// Every event.
    pub history: History,
    /// What the checker says of it.
    pub judgement: Judgement,
}

/// What prevents a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The limit of open files is too low for so many browsers.
    #[error(
        "{wanted} open files are needed, and this process may have {limit}: run several, or fewer connections"
    )]
    OpenFiles {
        /// What is needed.
        wanted: u64,
        /// What there is.
        limit: u64,
    },
    /// There is nobody to connect to.
    #[error("there is no {0}")]
    Nobody(&'static str),
    /// A process that should be watched is not there.
    #[error("process {name} cannot be watched")]
    Process {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Redis cannot be measured.
    #[error("the floor cannot be measured")]
    Floor(#[source] io::Error),
    /// The account's settings do not fit together.
    #[error("the account's settings do not fit together")]
    Account(#[from] simulator::Error),
    /// The system has no more timers, threads or descriptors.
    #[error("the driver cannot run")]
    System(#[from] io::Error),
}

/// Pages that nobody watches. They are there until this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    gateways: Arc<Gateways>,
    recorder: Arc<Recorder>,
    pages: JoinSet<()>,
}

/// How opening the crowd went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// From the first planned moment to the last page's first code.
    pub(crate) took: Duration,
    /// Pages that never got a code.
    pub(crate) failed: u64,
}

impl Crowd {
    pub(crate) fn new(gateways: Arc<Gateways>, recorder: Arc<Recorder>) -> Self {
        Self { gateways, recorder, pages: JoinSet::new() }
    }

    /// Opens pages at a rate, and waits until all show a code, but not for ever.
    pub(crate) async fn open(&mut self, logins: Range<u64>, rate: f64) -> Opening {
        let (begin, before) = (Instant::now(), self.recorder.tally().shown);
        let wanted = logins.end - logins.start;
        let mut ticks = Ticks::of(Schedule::new(begin, rate), wanted);
        for login in logins {
            let Some(due) = ticks.next().await else { break };
            self.pages.spawn(browser::idle(self.gateways.clone(), self.recorder.clone(), login, due));
        }
        let shown = || self.recorder.tally().shown - before;
        let until = Instant::now() + CODES_TIME;
        while shown() < wanted && Instant::now() < until {
            time::sleep(LOOK_EVERY).await;
        }
        Opening { took: begin.elapsed(), failed: wanted.saturating_sub(shown()) }
    }
}

/// Looks at the processes, the driver's own last, before anything can have happened to them.
pub(crate) fn look(target: &Target) -> Result<Vec<(Process, Usage)>, Error> {
    let usage = |process: Process| match process.usage() {
        Ok(usage) => Ok((process, usage)),
        Err(source) => Err(Error::Process { name: process.name, source }),
    };
    watched(target).map(usage).collect()
}

/// Looks at them again. Those that are gone are left out: that is no reason to lose the run.
pub(crate) fn look_again(target: &Target) -> Vec<(Process, Usage)> {
    watched(target).filter_map(|process| process.usage().ok().map(|usage| (process, usage))).collect()
}

fn watched(target: &Target) -> impl Iterator<Item = Process> {
    target.processes.iter().cloned().chain([Process::this()])
}

/// Refuses to run against nobody.
pub(crate) fn check_servers(what: &'static str, servers: &[Endpoint]) -> Result<(), Error> {
    if servers.is_empty() { Err(Error::Nobody(what)) } else { Ok(()) }
}

/// Raises the limit of open files, and refuses what is above it.
pub(crate) fn check_open_files(browsers: u64) -> Result<(), Error> {
    let (wanted, limit) = (browsers + OTHER_FILES, open_files() as u64);
    if wanted > limit { Err(Error::OpenFiles { wanted, limit }) } else { Ok(()) }
}

/// A report with nothing in it.
pub(crate) fn report(mode: &'static str, plan: Vec<(&'static str, String)>) -> Report {
    Report::new(mode, rfc3339(SystemTime::now()), Machine::this(), plan)
}
