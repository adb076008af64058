//! Starts the driver.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench::checker::{Rules, check};
use bench::floor::{Floor, RedisUrl};
use bench::history::History;
use bench::local::Deployment;
use bench::progress::Progress;
use bench::recorder::Recorder;
use bench::report::Report;
use bench::run::{self, Outcome, Target};
use bench::settings::{Command, JsonOutput, LocalMode, Output, Settings};
use bench::{floor, idle, login, table};
use clap::Parser as _;
use shared::settings::complain;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// Between two looks at how far the logins are.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whatever ended it. It is shown with its causes.
type Failure = Box<dyn std::error::Error>;

/// One thread: it shares the machine with what it measures, and children end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    let run = async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run(settings.command) => done,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminate.recv() => Err("told to end".into()),
        }
    };
    match run.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            let mut text = failure.to_string();
            let mut cause = failure.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            complain(&text);
            ExitCode::FAILURE
        }
    }
}

/// Whether everything is as it should be.
async fn run(command: Command) -> Result<bool, Failure> {
    match command {
        Command::Idle { target, plan, output } => {
            let target = target.target().unwrap_or_else(|invalid| invalid.exit());
            let files = Files::create(&output)?;
            let recorder = Arc::<Recorder>::default();
            let progress = Progress::of(recorder.clone());
            let outcome = idle::run(&target, &plan.plan(), recorder).await?;
            drop(progress);
            files.keep(&outcome)
        }
        Command::Login { target, parties, plan, output } => {
            let (target, parties) = target.with(*parties).unwrap_or_else(|invalid| invalid.exit());
            let plan = plan.plan().unwrap_or_else(|invalid| invalid.exit());
            let files = Files::create(&output)?;
            let recorder = Arc::<Recorder>::default();
            let progress = Progress::of(recorder.clone());
            let outcome = login::run(&target, &parties, &plan, recorder).await?;
            drop(progress);
            files.keep(&outcome)
        }
        Command::Local { deployment, mode } => run_local(deployment.plan(), mode).await,
        Command::Floor { redis, rate, time, output } => measure_floor(&redis, rate, time, &output).await,
        Command::Check { files, patience } => check_files(&files, &Rules { patience }),
    }
}

async fn run_local(plan: bench::local::Plan, mode: LocalMode) -> Result<bool, Failure> {
    let mut deployment = Deployment::start(plan).await?;
    let (target, parties) = (deployment.target(), deployment.parties());
    let recorder = Arc::<Recorder>::default();
    match mode {
        LocalMode::Idle { plan, output } => {
            let files = Files::create(&output)?;
            let progress = Progress::of(recorder.clone());
            let outcome = idle::run(&target, &plan.plan(), recorder).await?;
            drop(progress);
            files.keep(&outcome)
        }
        LocalMode::Login { plan, rolling_restart, output } => {
            let plan = plan.plan().unwrap_or_else(|invalid| invalid.exit());
            let files = Files::create(&output)?;
            let progress = Progress::of(recorder.clone());
            let run = login::run(&target, &parties, &plan, recorder.clone());
            let (restarted, outcome) = match rolling_restart {
                true => restarting(&mut deployment, &target, &recorder, run).await,
                false => (Ok(()), run.await),
            };
            drop(progress);
            // Whatever became of the restarts, what happened to the logins meanwhile is kept.
            let is_good = files.keep(&outcome?)?;
            restarted.map(|()| is_good)
        }
        LocalMode::Up => wait(&deployment).await,
    }
}

async fn wait(deployment: &Deployment) -> Result<bool, Failure> {
    let mut out = io::stdout();
    write!(out, "{}", deployment.directions())?;
    out.flush()?;
    std::future::pending().await
}

/// Replaces the gateways while people log in.
async fn restarting(
    deployment: &mut Deployment,
    target: &Target,
    recorder: &Recorder,
    run: impl Future<Output = Result<Outcome, run::Error>>,
) -> (Result<(), Failure>, Result<Outcome, run::Error>) {
    let mut restarts = pin!(async {
        while recorder.tally().redeemed == 0 {
            sleep(LOOK_EVERY).await;
        }
        deployment.restart_gateways(&target.away).await
    });
    let mut run = pin!(run);
    tokio::select! {
        restarted = &mut restarts => (restarted.map_err(Failure::from), run.await),
        outcome = &mut run => {
            let late = "the logins were over before the gateways were replaced: a longer --time";
            (Err(late.into()), outcome)
        }
    }
}

async fn measure_floor(
    redis: &RedisUrl,
    rate: f64,
    time: Duration,
    output: &JsonOutput,
) -> Result<bool, Failure> {
    let json = output.json.as_deref().map(create).transpose()?;
    let floor = Floor::begin(redis, rate)?;
    sleep(time).await;
    let report = floor::report(&floor.end()?, rate, time);
    print(&report)?;
    if let Some(json) = json {
        write_json(json, &report)?;
    }
    Ok(true)
}

fn check_files(paths: &[PathBuf], rules: &Rules) -> Result<bool, Failure> {
    let mut good = true;
    for path in paths {
        writeln!(io::stdout(), "{}", path.display())?;
        good &= check_file(path, rules)?;
    }
    Ok(good)
}

fn check_file(path: &Path, rules: &Rules) -> Result<bool, Failure> {
    let file = File::open(path).map_err(|error| named(path, &error))?;
    let history = History::read(BufReader::new(file))?;
    let judgement = check(&history, rules);
    let mut out = io::stdout().lock();
    write!(out, "{}", table::kinds(&history.events))?;
    for finding in &judgement.findings {
        writeln!(out, "\n{finding}")?;
    }
    writeln!(out, "\n{} violations, {} not judged", judgement.findings.len(), judgement.unjudged)?;
    Ok(judgement.findings.is_empty())
}

/// Files for the results, made before the run so that it is not for nothing.
struct Files {
    json: Option<BufWriter<File>>,
    history: Option<BufWriter<File>>,
}

impl Files {
    fn create(output: &Output) -> Result<Self, Failure> {
        let json = output.json.json.as_deref().map(create).transpose()?;
        let history = output.history.as_deref().map(create).transpose()?;
        Ok(Self { json, history })
    }

    /// Writes and shows everything; whether there is nothing to complain of.
    fn keep(self, outcome: &Outcome) -> Result<bool, Failure> {
        if let Some(file) = self.history {
            outcome.history.write(file)?;
        }
        if let Some(file) = self.json {
            write_json(file, &outcome.report)?;
        }
        print(&outcome.report)?;
        Ok(outcome.judgement.findings.is_empty())
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    Ok(BufWriter::new(File::create(path).map_err(|error| named(path, &error))?))
}

fn named(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn write_json(mut file: BufWriter<File>, report: &Report) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut file, report)?;
    file.write_all(b"\n")?;
    Ok(file.flush()?)
}

fn print(report: &Report) -> io::Result<()> {
    write!(io::stdout(), "{report}")
}
