//! The start of the simulator: settings, logging, listeners.

mod settings;

use std::future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use settings::Settings;
use shared::admin::{self, Report};
use shared::serve::{self, Server};
use shared::shutdown::{Departure, Drain};
use shared::{healthcheck, telemetry};
use simulator::{Config, Simulator};

/// Connections at once; more wait in the kernel's queue.
const MAX_SOCKETS: usize = 10_000;
/// For calls and pushes under way to end, of which one attempt may take 5 s.
const GRACE_TIME: Duration = Duration::from_secs(6);

#[tokio::main]
async fn main() -> ExitCode {
    let settings: Settings = shared::settings::parse().unwrap_or_else(|invalid| invalid.exit());
    if settings.healthcheck.healthcheck {
        return healthcheck::ask(settings.admin_listen).await;
    }
    let config = settings.config().unwrap_or_else(|invalid| invalid.exit());
    telemetry::start(&settings.log);
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&settings, config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shared::settings::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings, mut config: Config) -> io::Result<()> {
    let departure = Departure::on_signals(Drain { grace: GRACE_TIME, ..Drain::ALONE })?;
    let public = serve::bind("public", "SIMULATOR_LISTEN", settings.simulator_listen)?;
    let admin = serve::bind("admin", "ADMIN_LISTEN", settings.admin_listen)?;
    config.public_url = settings.public_url(public.local_addr()?);
    tracing::info!(
        public_url = config.public_url,
        callback_url = config.callback_url,
        message_mode = ?config.message_mode,
        original_id = config.original_id,
        "playing the WeChat platform"
    );
    tracing::warn!("for development only: anybody can log in as anybody here");
    let simulator = Simulator::new(config).map_err(io::Error::other)?;
    let router =
        Router::new().route("/", get(|| async { Redirect::to("simulator/phone") })).merge(simulator.router());
    let draining = departure.clone();
    let report = move || match draining.has_begun() {
        false => Report { ready: true, wrong: Vec::new() },
        true => Report { ready: false, wrong: vec!["draining"] },
    };
    let server = Server { public, admin, max_sockets: MAX_SOCKETS, departure };
    server.run(router, admin::router("simulator", report, Vec::new), future::ready(())).await
}
