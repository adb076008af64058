//! Logging: to standard error, filtered by `RUST_LOG`, as text for people or JSON for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

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

/// Starts logging, once in a process; a second call changes nothing.
///
/// The libraries that carry our requests log them whole (URLs with tokens, Redis commands with openids) at debug, so
/// their level is held at `warn` whatever the filter says of the rest.
pub fn start(settings: &LogSettings) {
    let quiet =
        ["fred", "hyper", "hyper_util", "reqwest", "h2", "rustls", "tungstenite", "tokio_tungstenite"];
    let mut filter = EnvFilter::new(&settings.rust_log.0);
    for library in quiet {
        if let Ok(directive) = format!("{library}=warn").parse() {
            filter = filter.add_directive(directive);
        }
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // The only failure is that logging has been started already, by a test in the same process.
    let _ = match settings.log_format {
        LogFormat::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
