//! The chaos suite: people log in while everything breaks that can, by a schedule that a seed decides; then the checker
//! judges what they saw.
//!
//! * [`schedule`]: what breaks, when and for how long. [`deployment`]: what is broken. [`store`]: its Redis.
//! * [`breaking`]: does what the schedule says. [`diary`]: what was done, and when.
//! * [`record`]: what a run was, so that it can be judged again. [`outages`]: what that excuses.
//! * [`verdict`], with its [`counts`], [`sessions`] and [`given_back`]: what the history came to. [`run`] is all of it, and
//!   [`judge`] the last part.

pub mod breaking;
pub mod counts;
pub mod deployment;
pub mod diary;
mod dice;
pub mod given_back;
pub mod outages;
pub mod record;
pub mod schedule;
pub mod sessions;
pub mod store;
pub mod verdict;

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bench::checker::Rules;
use bench::history::History;
use bench::login;
use bench::recorder::Recorder;
use bench::run::Outcome;
use tokio::time;

use self::deployment::Deployment;
use self::diary::Diary;
use self::outages::Outage;
use self::record::Record;
use self::schedule::{Kind, Schedule};
use self::verdict::Verdict;
use crate::load;
use crate::patience::within_time;
use crate::program::target_directory;

/// From the opening of a page to its scan.
const LEAD: Duration = Duration::from_secs(2);
/// What a person waits for the page after the phone's answer. Longer than anything that is broken for a while, with the
/// longest back-off of a page (15 s) behind it.
const PATIENCE: Duration = Duration::from_secs(30);
/// A page that was there for so long at the end of that has had its chance: whatever was broken in the moment in which it
/// came is whole again, and found to be.
const CHANCE: Duration = Duration::from_secs(12);
const RULES: Rules = Rules { patience: CHANCE };
/// How long a page stays to see whether more comes.
const LINGER: Duration = Duration::from_millis(500);
/// Pages that nobody scans, and how many of them are opened a second.
const WAITING: u64 = 30;
const WAITING_A_SECOND: f64 = 60.0;
/// Every third login is made difficult.
const PROBE_EVERY: u64 = 3;
/// What the last logins may take, beyond the patience that they have.
const LAST_LOGINS: Duration = Duration::from_secs(270);
/// The extensions of a run's files.
const HISTORY: &str = "jsonl";
const RECORD: &str = "json";
/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which Redis.
    pub kind: Kind,
    /// What the schedule follows from.
    pub seed: u64,
    /// Logins in all.
    pub logins: u64,
    /// Logins a second.
    pub rate: f64,
    /// `REPLICATION_WAIT`; a single Redis has no replicas, and needs none.
    pub replication_wait: u8,
    /// What the services log.
    pub services_log: String,
    /// Where the history and the diary are written.
    pub directory: PathBuf,
    /// Whether the run tells on standard error what happens.
    pub tells: bool,
}

impl Plan {
    /// A short run, as a test has it.
    #[must_use]
    pub fn short(kind: Kind, seed: u64) -> Self {
        let replication_wait = kind.replicas();
        Self {
            kind,
            seed,
            logins: 300,
            rate: 12.0,
            replication_wait,
            services_log: "info".to_owned(),
            directory: target_directory().join("chaos"),
            tells: false,
        }
    }

    /// The command that makes this run again.
    #[must_use]
    pub fn command(&self) -> String {
        self.record(Vec::new()).command()
    }

    fn record(&self, outages: Vec<Outage>) -> Record {
        let Self { kind, seed, logins, rate, replication_wait, .. } = *self;
        Record { kind, seed, logins, rate, replication_wait, outages }
    }

    fn time(&self) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let logins = self.logins as f64;
        Duration::from_secs_f64(logins / self.rate)
    }

    fn logins(&self) -> login::Plan {
        login::Plan {
            connections: WAITING,
            connect_rate: WAITING_A_SECOND,
            rate: self.rate,
            time: self.time(),
            lead: LEAD,
            patience: PATIENCE,
            linger: LINGER,
            probe_every: PROBE_EVERY,
            floor_time: Duration::ZERO,
            rules: RULES,
        }
    }
}

/// Starts everything, lets people log in while it breaks, and judges. Call it from the thread that outlives it, not from a
/// task: the programs end with their thread.
pub async fn run(plan: &Plan) -> Verdict {
    std::fs::create_dir_all(&plan.directory).unwrap();
    let mut deployment = Deployment::start(plan).await;
    let recorder = Arc::<Recorder>::default();
    let logins = tokio::spawn({
        let (target, login_plan, recorder) =
            (load::target(&deployment.pages()), plan.logins(), recorder.clone());
        let parties = load::parties(
            &deployment.account,
            &deployment.simulator,
            &deployment.pages(),
            &deployment.pushes(),
        );
        async move { login::run(&target, &parties, &login_plan, recorder).await }
    });
    let diary = Diary::begin(plan.tells);
    // A run that ends in a panic of the harness has no verdict that tells it.
    diary.announce(&plan.command());
    let _saved = Saved { plan, diary: &diary, recorder: &recorder };
    let schedule = Schedule::of(plan.seed, plan.kind, plan.time() + LEAD);
    let all = async {
        breaking::play(&schedule, &mut deployment, &diary).await;
        diary.write("all is whole");
        within_time(PATIENCE + LAST_LOGINS, "the last logins", logins).await.unwrap().unwrap()
    };
    let telling = async {
        loop {
            time::sleep(TELL_EVERY).await;
            diary.tell(&recorder.tally());
        }
    };
    let outcome: Outcome = tokio::select! {
        outcome = Box::pin(all) => outcome,
        () = telling => unreachable!("it tells for ever"),
    };
    let record = plan.record(diary.outages(&recorder));
    let path = save(plan, &outcome.history, &record, &diary).unwrap();
    std::fs::write(path.with_extension("log"), deployment.printed()).unwrap();
    Verdict::of(&record, &outcome.history, path)
}

/// Writes down what happened, and returns where the history is.
fn save(plan: &Plan, history: &History, record: &Record, diary: &Diary) -> io::Result<PathBuf> {
    // The time of its begin, so that a run that is repeated leaves what the one before it has found.
    let started = history.header.started.replace(['-', ':'], "");
    let path = plan.directory.join(format!("{}-{}-{started}.{HISTORY}", plan.kind, plan.seed));
    history.write(BufWriter::new(File::create(&path)?)).map_err(io::Error::other)?;
    record.write(&path.with_extension(RECORD))?;
    std::fs::write(path.with_extension("diary"), diary.text())?;
    Ok(path)
}

/// Writes it down where the run ends in a panic: a program that did not leave well, or something that took too long.
struct Saved<'a> {
    plan: &'a Plan,
    diary: &'a Diary,
    recorder: &'a Recorder,
}

impl Drop for Saved<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let history = self.recorder.finish(Vec::new(), Vec::new());
            let record = self.plan.record(self.diary.outages(self.recorder));
            match save(self.plan, &history, &record, self.diary) {
                Ok(path) => self.diary.announce(&format!("so far: {}", path.display())),
                Err(error) => self.diary.announce(&format!("what happened cannot be written: {error}")),
            }
        }
    }
}

/// Judges a run again whose history and record are in files beside each other.
///
/// # Errors
///
/// One of them cannot be read; which, the error says.
pub fn judge(path: &Path) -> io::Result<Verdict> {
    let beside = path.with_extension(RECORD);
    let history =
        File::open(path).and_then(|file| History::read(BufReader::new(file)).map_err(io::Error::other));
    let history = history.map_err(|error| of_file(path, &error))?;
    let record = Record::read(&beside).map_err(|error| of_file(&beside, &error))?;
    Ok(Verdict::of(&record, &history, path.to_owned()))
}

fn of_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
