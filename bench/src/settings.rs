//! The command line.

mod parties;
mod plans;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use shared::settings::Invalid;

pub use self::parties::{PartySettings, TextSettings};
pub use self::plans::{IdleSettings, LocalSettings, LoginSettings};
use self::plans::{rate, time};
use crate::endpoint::Endpoint;
use crate::floor::RedisUrl;
use crate::login::Parties;
use crate::resources::Process;
use crate::run::Target;

/// What `--help` of the login mode says below the flags.
const SECRETS: &str = "\
Secrets, each an environment variable or NAME_FILE=path, the same as the deployment's:
  WECHAT_TOKEN             What pushes are signed with
  WECHAT_ENCODING_AES_KEY  What pushes are encrypted with (not in plain mode)
  REDEEM_SECRET            What the application redeems codes with

The account is the simulator's: no real account's secrets belong here.";

/// Plays browsers, phones and applications against a deployment, measures it, and checks what it did
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub struct Settings {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Holds pages that wait, and tells what they cost
    Idle {
        /// Where.
        #[command(flatten)]
        target: TargetSettings,
        /// How much.
        #[command(flatten)]
        plan: IdleSettings,
        /// Results.
        #[command(flatten)]
        output: Output,
    },
    /// Logs people in at a rate, over pages that wait, and checks that every login ends as it should
    #[command(after_help = SECRETS)]
    Login {
        /// Where.
        #[command(flatten)]
        target: TargetSettings,
        /// With whom.
        #[command(flatten)]
        parties: Box<PartySettings>,
        /// How much.
        #[command(flatten)]
        plan: LoginSettings,
        /// Results.
        #[command(flatten)]
        output: Output,
    },
    /// Starts Redis, simulator, gateways and callbacks, runs a mode against them, and ends them all
    Local {
        /// What.
        #[command(flatten)]
        deployment: LocalSettings,
        /// Which mode.
        #[command(subcommand)]
        mode: LocalMode,
    },
    /// Measures Redis alone: from PUBLISH to SUBSCRIBE through blocking sockets
    Floor {
        /// The Redis URL: redis://HOST:PORT or redis+unix:///PATH
        #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
        redis: RedisUrl,
        /// Messages a second
        #[arg(long, value_name = "NUMBER", default_value = "200", value_parser = rate)]
        rate: f64,
        /// For how long, such as 10s
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = time)]
        time: Duration,
        /// Results.
        #[command(flatten)]
        output: JsonOutput,
    },
    /// Reads histories and tells what must not have happened; ends with 1 if there is anything
    Check {
        /// A file that --history wrote; each is judged by itself
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How long a page must have been there before a missing success is a loss, such as 5s
        #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = time)]
        patience: Duration,
    },
}

/// The modes that can be run against a deployment of one's own.
#[derive(Debug, Subcommand)]
pub enum LocalMode {
    /// Holds pages that wait, and tells what they cost
    Idle {
        /// How much.
        #[command(flatten)]
        plan: IdleSettings,
        /// Results.
        #[command(flatten)]
        output: Output,
    },
    /// Logs people in at a rate, over pages that wait, and checks that every login ends as it should
    Login {
        /// How much.
        #[command(flatten)]
        plan: LoginSettings,
        /// Replaces the gateways one after the other meanwhile, as a rolling update does
        #[arg(long)]
        rolling_restart: bool,
        /// Results.
        #[command(flatten)]
        output: Output,
    },
    /// Only waits, for other drivers: prints shell variables with their flags, until it is interrupted
    Up,
}

/// Where browsers go.
#[derive(Debug, Args)]
pub struct TargetSettings {
    /// The http URL of a gateway, or of what stands before them; several times for several
    #[arg(long = "gateway", value_name = "URL", required = true)]
    gateways: Vec<Endpoint>,
    /// Whose pages they are; the gateway's own origin if not set
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// A process whose memory and processor time are looked at, such as gateway=1234; several times for several
    #[arg(long = "pid", value_name = "NAME=PID")]
    processes: Vec<Process>,
    /// Allows URLs of other machines: this is a flood, so it must be a deployment of your own
    #[arg(long)]
    beyond_loopback: bool,
}

/// Where results go besides the table.
#[derive(Clone, Debug, Args)]
pub struct Output {
    /// Results.
    #[command(flatten)]
    pub json: JsonOutput,
    /// A file for what happened to every login, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

/// The report for machines.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct JsonOutput {
    /// A file for the results as one JSON object
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl TargetSettings {
    /// Where browsers go.
    ///
    /// # Errors
    ///
    /// It is another machine, and that was not allowed.
    pub fn target(self) -> Result<Target, Invalid> {
        for gateway in &self.gateways {
            check_loopback("--gateway", gateway, self.beyond_loopback)?;
        }
        Ok(Target { origin: self.origin, processes: self.processes, ..Target::of(self.gateways) })
    }

    /// Where browsers go, and whom a login needs besides.
    ///
    /// # Errors
    ///
    /// Something is another machine's, and that was not allowed; or a secret is missing.
    pub fn with(self, parties: PartySettings) -> Result<(Target, Parties), Invalid> {
        for callback in &parties.callbacks {
            check_loopback("--callback", callback, self.beyond_loopback)?;
        }
        for gateway in &parties.redeem_at {
            check_loopback("--redeem-at", gateway, self.beyond_loopback)?;
        }
        check_loopback("--simulator", &parties.simulator, self.beyond_loopback)?;
        if !self.beyond_loopback && parties.redis.as_ref().is_some_and(|redis| !redis.is_loopback()) {
            return Err(beyond_loopback("REDIS_URL"));
        }
        let target = self.target()?;
        let parties = parties.parties(&target)?;
        Ok((target, parties))
    }
}

fn check_loopback(flag: &str, endpoint: &Endpoint, beyond: bool) -> Result<(), Invalid> {
    if endpoint.is_loopback() || beyond {
        return Ok(());
    }
    Err(beyond_loopback(flag))
}

fn beyond_loopback(name: &str) -> Invalid {
    Invalid::malformed(name, "a loopback address, or --beyond-loopback beside it: this is a flood")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, clap::Error> {
        Settings::try_parse_from(line.split(' '))
    }

    #[test]
    fn other_machines_must_be_allowed_by_name() {
        let target = |line: &str| match parse(line).unwrap().command {
            Command::Idle { target, .. } => target.target(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            target("bench idle --gateway http://127.0.0.1:1 --gateway http://[::1]:2")
                .unwrap()
                .gateways
                .len(),
            2
        );
        let error =
            target("bench idle --gateway http://127.0.0.1:1 --gateway http://192.0.2.1:80").unwrap_err();
        assert!(error.to_string().contains("--beyond-loopback"), "{error}");
        target("bench idle --gateway http://192.0.2.1:80 --beyond-loopback").unwrap();
        let login = "bench login --gateway http://127.0.0.1:1 --callback http://127.0.0.1:2 --simulator \
                     http://192.0.2.1:3 --wechat-app-id wx1";
        let Command::Login { target, parties, .. } = parse(login).unwrap().command else { unreachable!() };
        assert!(target.with(*parties).unwrap_err().to_string().contains("--simulator"));
        let wordless = format!("{} --reply-success in", login.replace("192.0.2.1:3", "127.0.0.1:3"));
        let Command::Login { target, parties, .. } = parse(&wordless).unwrap().command else {
            unreachable!()
        };
        assert!(target.with(*parties).unwrap_err().to_string().contains("{count}"));
        for (redis, refused) in [("redis://192.0.2.1", true), ("redis://[::1]:7", false)] {
            let login = format!("{} --redis {redis}", login.replace("192.0.2.1:3", "127.0.0.1:3"));
            let Command::Login { target, parties, .. } = parse(&login).unwrap().command else {
                unreachable!()
            };
            let with = target.with(*parties);
            assert_eq!(with.is_err_and(|error| error.to_string().contains("REDIS_URL")), refused, "{redis}");
        }
    }

    #[test]
    fn runs_are_bounded() {
        for bad in [
            "bench local idle --connections 100001",
            "bench local idle --connections 0",
            "bench local idle --rate 0",
            "bench local idle --rate NaN",
            "bench local idle --hold 2h",
            "bench local idle --hold 10",
            "bench local --gateways 101 idle",
        ] {
            parse(bad).unwrap_err();
        }
        let line = "bench local login --rate 20000 --time 1h";
        let Command::Local { mode: LocalMode::Login { plan, .. }, .. } = parse(line).unwrap().command else {
            unreachable!()
        };
        plan.plan().unwrap_err();
    }

    #[test]
    fn flags_are_consistent() {
        <Settings as clap::CommandFactory>::command().debug_assert();
    }
}
