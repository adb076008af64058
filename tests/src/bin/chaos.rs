//! Long runs of the chaos suite, by command: docs/testing.md, "Chaos".

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tests::chaos::schedule::Kind;
use tests::chaos::verdict::Verdict;
use tests::chaos::{self, Plan};

/// New seeds are below it, so that people can say them.
const SEEDS: u64 = 1_000_000;

/// Breaks everything while people log in, and says what must not have happened
///
/// Starts three gateways, two callbacks, nginx, the simulator and Redis on loopback, lets people log in, and kills,
/// stops, cuts off and delays all of it by a schedule that the seed decides. Then the checker judges what people saw.
/// It needs what `tests/run` installs, and takes as long as the logins do (10,000 at 16 a second: 11 minutes).
#[derive(Debug, Parser)]
#[command(after_help = "\
Prints the command that repeats the run, what breaks and how far the logins are on standard error, and a table at \
the end on standard output. The exit code is 1 if anything happened that must not, or too little happened to tell. \
docs/testing.md says what is \
broken, and what each row of the table means.")]
struct Arguments {
    /// Which Redis: single, sentinel or cluster
    #[arg(long, value_name = "KIND", required_unless_present = "judge")]
    redis: Option<Kind>,
    /// Judge this history again instead, with what was broken by the .json beside it
    #[arg(long, value_name = "FILE", exclusive = true)]
    judge: Option<PathBuf>,
    /// What the schedule of disruptions follows from; by default a new one, which is told
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Logins in all
    #[arg(long, value_name = "NUMBER", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    logins: u64,
    /// Logins a second; what this machine cannot keep up with looks like an outage
    #[arg(long, value_name = "NUMBER", default_value = "16", value_parser = rate)]
    rate: f64,
    /// REPLICATION_WAIT of the services: how many replicas must have a move before it is answered; by default all that
    /// there are, which is 1, and 0 with a single Redis
    #[arg(long, value_name = "NUMBER")]
    replication_wait: Option<u8>,
    /// What the services log, which is kept beside the history
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    services_log: String,
    /// Where the history, the diary and the logs are written; by default target/chaos
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.judge {
        return match chaos::judge(path) {
            Ok(verdict) => told(&verdict),
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    // One of the two is required.
    let kind = arguments.redis.unwrap_or(Kind::Single);
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().hash_one(0) % SEEDS);
    let short = Plan::short(kind, seed);
    let plan = Plan {
        logins: arguments.logins,
        rate: arguments.rate,
        replication_wait: arguments.replication_wait.unwrap_or(short.replication_wait),
        services_log: arguments.services_log,
        directory: arguments.directory.unwrap_or(short.directory),
        tells: true,
        ..short
    };
    told(&chaos::run(&plan).await)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=1000.0).contains(&rate) { Ok(rate) } else { Err("not between 0.1 and 1000".to_owned()) }
}

fn told(verdict: &Verdict) -> ExitCode {
    println!("{verdict}");
    if verdict.is_good() && verdict.is_a_test() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
