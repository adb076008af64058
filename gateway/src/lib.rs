//! The gateway: holds browsers, makes QR codes, pushes results, redeems codes.
//!
//! [`Gateway::new`] takes everything that it needs, [`Gateway::router`] is what it serves, [`Gateway::drain`] is how it
//! leaves.

mod browser;
mod connection;
pub mod origin;
mod page;
pub mod protocol;
mod qr;
mod redeem;
pub mod settings;
mod upgrade;
pub mod wechat;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use shared::admin::Report;
use shared::backplane::Backplane;
use shared::settings::Secret;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::timeout::TimeoutLayer;

use crate::origin::Origin;
use crate::wechat::{Account, Platform};

/// Descriptors that are not browsers': listeners, Redis, the platform, requests that are no upgrades.
const OTHER_FILES: usize = 512;
/// A whole redemption: a look-up of 2 s beside up to three moves of 2 s.
const REDEEM_TIMEOUT: Duration = Duration::from_secs(10);

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
    connections: TaskTracker,
    shutdown: CancellationToken,
}

impl Gateway {
    /// A gateway that leaves when `shutdown` is cancelled. Raises the soft limit of open files to the hard one, and holds
    /// fewer browsers if that is too low for `max_connections`.
    ///
    /// # Errors
    ///
    /// The client for the platform's API cannot be made: there is no TLS provider.
    pub fn new(
        mut config: Config,
        backplane: Backplane,
        shutdown: CancellationToken,
    ) -> Result<Self, wechat::Error> {
        config.max_connections = within_open_files(config.max_connections);
        let platform = Platform::new(config.account.clone())?;
        let browsers = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
        let connections = TaskTracker::new();
        Ok(Self(Arc::new(Inner { config, backplane, platform, browsers, connections, shutdown })))
    }

    /// The public paths.
    pub fn router(&self) -> Router {
        let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REDEEM_TIMEOUT);
        let redeem = Router::new()
            .route("/api/redeem", post(redeem::redeem))
            .layer(DefaultBodyLimit::max(redeem::REQUEST_MAX))
            .layer(timeout);
        page::router().route("/ws", get(upgrade::upgrade)).merge(redeem).with_state(self.clone())
    }

    /// Waits until all browsers, told to go elsewhere by the shutdown, have gone.
    pub async fn drain(&self) {
        self.0.connections.close();
        self.0.connections.wait().await;
    }

    /// Whether this replica can open sessions, and what is wrong if not.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut wrong = Vec::new();
        if self.0.shutdown.is_cancelled() {
            wrong.push("draining");
        }
        if !self.0.backplane.is_reachable() {
            wrong.push("backplane_unreachable");
        }
        Report { ready: wrong.is_empty(), wrong }
    }

    /// Connections that the accept loop should allow at once besides the browsers'.
    #[must_use]
    pub fn max_sockets(&self) -> usize {
        self.0.config.max_connections.saturating_add(OTHER_FILES / 2)
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

    fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    fn replica(&self) -> &str {
        &self.0.config.replica
    }
}

/// As many of `wanted` browsers as the open-file limit leaves room for, once it is raised as far as it goes.
fn within_open_files(wanted: usize) -> usize {
    let files = rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap_or(1024);
    let room = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES).max(1);
    if room < wanted {
        tracing::info!(
            wanted,
            room,
            files,
            "the open-file limit leaves room for fewer browsers than MAX_CONNECTIONS"
        );
    }
    wanted.min(room)
}
