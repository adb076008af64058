//! Long runs of the chaos suite, by command: docs/testing.md.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tests::chaos::schedule::Kind;
use tests::chaos::{self, Plan};

/// Breaks everything while people log in, and says what must not have happened
#[derive(Debug, Parser)]
struct Arguments {
    /// Which Redis: single, sentinel or cluster
    #[arg(long, value_name = "KIND")]
    redis: Kind,
    /// What the schedule of disruptions follows from
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,
    /// Logins in all
    #[arg(long, value_name = "NUMBER", default_value = "10000")]
    logins: u64,
    /// Logins a second
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    rate: f64,
    /// How many replicas must have a move; by default all there are
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
    let short = Plan::short(arguments.redis, arguments.seed);
    let plan = Plan {
        logins: arguments.logins,
        rate: arguments.rate,
        replication_wait: arguments.replication_wait.unwrap_or(short.replication_wait),
        services_log: arguments.services_log,
        directory: arguments.directory.unwrap_or(short.directory),
        tells: true,
        ..short
    };
    let verdict = chaos::run(&plan).await;
    println!("{verdict}");
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
