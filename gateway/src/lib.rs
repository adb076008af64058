//! The gateway: holds browsers, makes QR codes, pushes results, redeems codes.
//!
//! [`Gateway::new`] takes everything that it needs, [`Gateway::router`] is what it serves, [`Gateway::drain`] is how it
//! leaves.

mod browser;
mod connection;
pub mod limits;
mod metrics;
pub mod origin;
mod page;
pub mod protocol;
pub mod qr;
mod redeem;
pub mod settings;
mod upgrade;
pub mod wechat;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use prometheus::proto::MetricFamily;
use shared::admin::Report;
use shared::backplane::Backplane;
use shared::client::{ProxySettings, TrustedProxies};
use shared::serve;
use shared::settings::Secret;
use shared::shutdown::Departure;
use shared::throttle::Throttle;
use shared::traces::Traces;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::limits::{QrLimits, Visits};
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::wechat::{Account, Platform};

/// Descriptors that are no clients': listeners, Redis, the platform, operators.
const OTHER_FILES: usize = 256;
/// The share of the clients' descriptors that is for connections which are no browsers, or not yet; and its limits.
const SOCKETS_SHARE: usize = 8;
const SOCKETS: RangeInclusive<usize> = 64..=4096;

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account and where its API is.
    pub account: Account,
    /// The application's secret; `None` switches redeeming off.
    pub redeem_secret: Option<Secret>,
    /// The name that stands in for the nickname.
    pub display_name: String,
    /// How long a QR code can be scanned.
    pub scene_ttl: Duration,
    /// How long a session lives after its last move.
    pub session_ttl: Duration,
    /// Whose pages may open a session; empty: only our own.
    pub allowed_origins: Vec<Origin>,
    /// Browsers held at once.
    pub max_connections: usize,
    /// QR codes that may be made.
    pub qr_limits: QrLimits,
    /// Whose word is taken for where a request comes from.
    pub proxies: ProxySettings,
    /// Name of this replica in logs.
    pub replica: String,
}

/// One replica. Clones are the same replica.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    backplane: Backplane,
    platform: Platform,
    /// One permit a browser.
    browsers: Arc<Semaphore>,
    /// Connections that are no browsers, or not yet.
    max_sockets: usize,
    /// Who connects how often.
    visits: Visits,
    proxies: TrustedProxies,
    /// Log lines about browsers that were not let in.
    refusals: Throttle,
    connections: TaskTracker,
    departure: Departure,
    metrics: Metrics,
    traces: Traces,
}

impl Gateway {
    /// A gateway that leaves with its program, and tells of its logins to `traces`. Raises the soft limit of open files to the hard one, and holds
    /// fewer browsers if that is too low for `max_connections`.
    ///
    /// # Errors
    ///
    /// The client for the platform's API cannot be made: there is no TLS provider.
    pub fn new(
        mut config: Config,
        backplane: Backplane,
        departure: Departure,
        traces: Traces,
    ) -> Result<Self, wechat::Error> {
        let (browsers, max_sockets) = within_open_files(config.max_connections, serve::open_files());
        config.max_connections = browsers;
        if config.redeem_secret.is_none() {
            tracing::info!("redeeming is off: REDEEM_SECRET is not set");
        }
        let platform = Platform::new(config.account.clone())?;
        let browsers = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
        let connections = TaskTracker::new();
        let metrics = Metrics::of(&config.qr_limits);
        Ok(Self(Arc::new(Inner {
            visits: Visits::new(&config.qr_limits),
            proxies: config.proxies.trusted(),
            config,
            backplane,
            platform,
            browsers,
            max_sockets,
            refusals: Throttle::default(),
            connections,
            departure,
            metrics,
            traces,
        })))
    }

    /// The public paths.
    pub fn router(&self) -> Router {
        page::router(&self.0.metrics.pages)
            .route("/ws", get(upgrade::upgrade))
            .route("/api/redeem", post(redeem::redeem).layer(DefaultBodyLimit::max(redeem::REQUEST_MAX)))
            .with_state(self.clone())
    }

    /// Waits until all browsers, asked to move on by the departure, have gone.
    pub async fn drain(&self) {
        self.0.connections.close();
        self.0.connections.wait().await;
    }

    /// Whether this replica can open sessions, and what is wrong if not.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut wrong = Vec::new();
        if self.0.departure.has_begun() {
            wrong.push("draining");
        }
        if !self.0.backplane.is_reachable() {
            wrong.push("backplane_unreachable");
        }
        Report { ready: wrong.is_empty(), wrong }
    }

    /// What operators see of this replica, but for its backplane.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricFamily> {
        let Inner { config, browsers, metrics, platform, .. } = &*self.0;
        let limit = config.max_connections.min(Semaphore::MAX_PERMITS);
        metrics.set_connections(limit.saturating_sub(browsers.available_permits()), limit);
        [metrics.registry.families(), platform.metrics()].concat()
    }

    /// Connections that the accept loop should allow at once besides the browsers'.
    #[must_use]
    pub fn max_sockets(&self) -> usize {
        self.0.max_sockets
    }

    fn settings(&self) -> &Config {
        &self.0.config
    }

    fn backplane(&self) -> &Backplane {
        &self.0.backplane
    }

    fn platform(&self) -> &Platform {
        &self.0.platform
    }

    fn traces(&self) -> &Traces {
        &self.0.traces
    }

    fn visits(&self) -> &Visits {
        &self.0.visits
    }

    fn departure(&self) -> &Departure {
        &self.0.departure
    }

    fn replica(&self) -> &str {
        &self.0.config.replica
    }
}

/// Shares `files` descriptors out: to as many of `wanted` browsers as there is room for, and to other connections, so
/// that neither kind can take those of Redis, the platform and the operators.
fn within_open_files(wanted: usize, files: usize) -> (usize, usize) {
    let clients = files.saturating_sub(OTHER_FILES).max(2);
    let sockets = (clients / SOCKETS_SHARE).clamp(*SOCKETS.start(), *SOCKETS.end()).min(clients / 2);
    let room = clients - sockets;
    if room < wanted {
        tracing::info!(
            wanted,
            room,
            files,
            "the open-file limit leaves room for fewer browsers than MAX_CONNECTIONS"
        );
    }
    (wanted.min(room), sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_clients_never_get_all_descriptors() {
        for files in [0, 300, 1024, 1200, 20_000, 1_048_576] {
            let (browsers, sockets) = within_open_files(100_000, files);
            assert!(
                browsers > 0 && sockets > 0 && browsers + sockets <= files.saturating_sub(OTHER_FILES).max(2)
            );
        }
        assert_eq!(within_open_files(100, 20_000).0, 100);
    }
}
