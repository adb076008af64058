//! Starts the callback.

use std::io;
use std::process::ExitCode;

use callback::settings::Settings;
use callback::{Callback, Config};
use shared::backplane::{Backplane, RedisBackplane, Role};
use shared::serve::{self, Server};
use shared::settings::{Invalid, Secret, complain, parse};
use shared::shutdown::{Departure, Drain};
use shared::traces::{Destination, Traces};
use shared::{admin, healthcheck, telemetry};
use uuid::Uuid;

/// Connections that the platform is far from, if the open-file limit leaves that many beside Redis and the rest.
const SOCKETS: usize = 10_000;
const OTHER_FILES: usize = 256;

#[tokio::main]
async fn main() -> ExitCode {
    let settings: Settings = parse().unwrap_or_else(|invalid| invalid.exit());
    if settings.healthcheck.healthcheck {
        return healthcheck::ask(settings.admin_listen).await;
    }
    let (config, redis, drain, destination) = check(&settings).unwrap_or_else(|invalid| invalid.exit());
    telemetry::start(&settings.log);
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = RedisBackplane::connect(&redis, Role::Moves, &settings.backplane)
        .unwrap_or_else(|error| error.invalid().exit());
    let instance = Uuid::new_v4().to_string();
    let traces = Traces::start(destination, "callback", &instance).unwrap_or_else(|invalid| invalid.exit());
    match run(&settings, config, Backplane::Redis(redis), drain, traces).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn check(settings: &Settings) -> Result<(Config, Secret, Drain, Option<Destination>), Invalid> {
    let drain = settings.drain.drain(Drain::REPLICA)?;
    Ok((settings.config()?, settings.redis_url()?, drain, settings.traces.destination()?))
}

async fn run(
    settings: &Settings,
    config: Config,
    backplane: Backplane,
    drain: Drain,
    traces: Traces,
) -> io::Result<()> {
    let callback = Callback::new(config, backplane.clone(), traces.clone());
    let departure = Departure::on_signals(drain)?;
    let public = serve::bind("public", "CALLBACK_LISTEN", settings.callback_listen)?;
    let admin = serve::bind("admin", "ADMIN_LISTEN", settings.admin_listen)?;
    let max_sockets = serve::open_files().saturating_sub(OTHER_FILES).clamp(OTHER_FILES, SOCKETS);
    let (asked, leaving, left) = (departure.clone(), callback.clone(), callback.clone());
    tokio::spawn(async move {
        asked.begun().await;
        leaving.drain();
    });
    let (reporting, counting, traced) = (callback.clone(), callback.clone(), traces.clone());
    let admin_router = admin::router(
        "callback",
        move || reporting.report(),
        move || [counting.metrics(), backplane.metrics(), traced.metrics()].concat(),
    );
    let server = Server { public, admin, max_sockets, departure };
    let leave = async move {
        left.leave().await;
        traces.flush().await;
    };
    server.run(callback.router(), admin_router, leave).await
}
