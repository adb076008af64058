//! Logging: to standard error, filtered by `RUST_LOG`, as text for people or JSON for machines.

use std::error::Error as StdError;
use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// The shape of log lines (`LOG_FORMAT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What every program says about its logs.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct LogSettings {
    /// The log filter in the usual syntax, such as `info` or `info,gateway=debug`
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    rust_log: EnvFilterText,
    /// The shape of the log lines
    #[arg(long, env = "LOG_FORMAT", value_name = "text|json", default_value = "text")]
    log_format: LogFormat,
}

/// A filter that was checked when the settings were read.
#[derive(Clone, Debug)]
struct EnvFilterText(String);

impl std::str::FromStr for EnvFilterText {
    type Err = tracing_subscriber::filter::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        EnvFilter::try_new(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Libraries that carry our requests. Their finer lines show them whole: URLs with tokens, Redis commands with openids,
/// frames with sessions and codes.
const CARRIERS: [&str; 8] =
    ["fred", "h2", "hyper", "hyper_util", "reqwest", "rustls", "tokio_tungstenite", "tungstenite"];

/// Starts logging, once in a process; a second call changes nothing. Of the libraries that carry our requests only
/// warnings and errors are written, whatever the filter says.
pub fn start(settings: &LogSettings) {
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let harmless = filter_fn(|line| *line.level() <= Level::WARN || !is_carriers(line.target()));
    let lines = lines.with_filter(EnvFilter::new(&settings.rust_log.0).and(harmless));
    // The only failure is that logging has been started already, by a test in the same process.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// Where Redis begins to cite a command that it doesn't know, or isn't let know of.
const CITATION: &str = ", with args beginning with";

/// What is beneath an error, down to the last; JSON lines would leave it out of the error itself. `None`: nothing is.
/// What Redis cites of a command is left out, for it may be somebody's.
#[must_use]
pub fn causes(error: &dyn StdError) -> Option<String> {
    let (mut causes, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        let text = cause.to_string();
        causes.push(text.split(CITATION).next().unwrap_or_default().to_owned());
        next = cause.source();
    }
    (!causes.is_empty()).then(|| causes.join(": "))
}

fn is_carriers(target: &str) -> bool {
    CARRIERS.contains(&target.split("::").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn every_cause_is_told_and_no_commands_arguments() {
        let last = Link("ERR unknown command 'EVALSHA', with args beginning with: 'oSomebody'", None);
        let error = Link("top", Some(Box::new(Link("middle", Some(Box::new(last))))));
        assert_eq!(causes(&error).as_deref(), Some("middle: ERR unknown command 'EVALSHA'"));
        assert_eq!(causes(&Link("alone", None)), None);
    }

    #[test]
    fn a5_carriers_are_known_by_any_of_their_modules() {
        for carriers in ["tungstenite", "tungstenite::protocol", "hyper::proto::h1::io", "fred::router"] {
            assert!(is_carriers(carriers), "{carriers}");
        }
        for ours in ["gateway::connection", "shared::serve", "h2o", "hyperspace::x"] {
            assert!(!is_carriers(ours), "{ours}");
        }
    }
}
