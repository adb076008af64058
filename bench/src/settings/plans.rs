//! How much, how fast, how long; and what is started for it.

use std::time::Duration;

use clap::Args;
use shared::settings::{self, Invalid};

use super::parties::TextSettings;
use crate::checker::Rules;
use crate::local::{self, REPLICAS_MAX};
use crate::{idle, login};

/// Bounds of what can be asked for.
const CONNECTIONS_MAX: u64 = 100_000;
const RATE_MAX: f64 = 20_000.0;
const LOGINS_MAX: u64 = 1_000_000;
const TIME_MAX: Duration = Duration::from_secs(3600);

/// How many pages wait, and for how long.
#[derive(Debug, Args)]
pub struct IdleSettings {
    /// Pages that are held
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    connections: u64,
    /// Pages opened a second
    #[arg(long, value_name = "NUMBER", default_value = "200", value_parser = rate)]
    rate: f64,
    /// How long all of them are held, such as 10s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = time)]
    hold: Duration,
    /// Pages that are opened before anything is measured
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(u64).range(0..=CONNECTIONS_MAX))]
    warm_up: u64,
}

/// How many logins a second, and for how long.
#[derive(Debug, Args)]
pub struct LoginSettings {
    /// Pages that wait beside the logins
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u64).range(0..=CONNECTIONS_MAX))]
    connections: u64,
    /// Of these, opened a second
    #[arg(long, value_name = "NUMBER", default_value = "200", value_parser = rate)]
    connect_rate: f64,
    /// Logins a second
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = rate)]
    rate: f64,
    /// For how long, such as 15s
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = time)]
    time: Duration,
    /// From the opening of a page to the scan of its code, such as 2s
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = time)]
    lead: Duration,
    /// How long a person waits for the page, such as 30s; pages that lost their socket come back in this time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = time)]
    patience: Duration,
    /// How long a page stays after its success, to see whether more comes, such as 1s
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = time)]
    linger: Duration,
    /// Makes every so manieth login difficult: a rival, a push that comes twice, a code redeemed twice, a newer code, a
    /// page that is away. 0 for none
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    probe_every: u64,
    /// How long the floor is measured alone, such as 5s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = time)]
    floor_time: Duration,
}

/// What is started.
#[derive(Debug, Args)]
pub struct LocalSettings {
    /// Gateways
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=i64::from(REPLICAS_MAX)))]
    gateways: u16,
    /// Callbacks
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=i64::from(REPLICAS_MAX)))]
    callbacks: u16,
    /// How long a QR code can be scanned, such as 10m; pages whose code is over do not wait any more
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = settings::lifetime)]
    scene_ttl: Duration,
    /// What the services log
    #[arg(long, value_name = "FILTER", default_value = "info")]
    services_log: String,
    /// Their texts.
    #[command(flatten)]
    texts: TextSettings,
}

impl IdleSettings {
    /// How much.
    #[must_use]
    pub fn plan(&self) -> idle::Plan {
        let Self { connections, rate, hold, warm_up } = *self;
        idle::Plan { connections, rate, hold, warm_up }
    }
}

impl LoginSettings {
    /// How much.
    ///
    /// # Errors
    ///
    /// Too much.
    pub fn plan(&self) -> Result<login::Plan, Invalid> {
        let Self { connections, connect_rate, rate, time, lead, patience, linger, probe_every, floor_time } =
            *self;
        let plan = login::Plan {
            connections,
            connect_rate,
            rate,
            time,
            lead,
            patience,
            linger,
            probe_every,
            floor_time,
            // A page that leaves sooner would never be missed.
            rules: Rules { patience: Rules::default().patience.min(patience) },
        };
        if plan.logins() > LOGINS_MAX {
            return Err(Invalid::malformed(
                "--rate and --time",
                format!("at most {LOGINS_MAX} logins together"),
            ));
        }
        Ok(plan)
    }
}

impl LocalSettings {
    /// What to start.
    #[must_use]
    pub fn plan(self) -> local::Plan {
        local::Plan {
            gateways: self.gateways,
            callbacks: self.callbacks,
            scene_ttl: self.scene_ttl,
            rust_log: self.services_log,
            texts: self.texts.texts(),
        }
    }
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().map_err(|_| "a number".to_owned())?;
    if (0.1..=RATE_MAX).contains(&rate) { Ok(rate) } else { Err(format!("between 0.1 and {RATE_MAX}")) }
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = settings::duration(text).map_err(|error| error.to_string())?;
    if time <= TIME_MAX { Ok(time) } else { Err("at most 1h".to_owned()) }
}
