//! Starts the callback.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use callback::settings::Settings;
use callback::{Callback, Config};
use shared::backplane::{Backplane, RedisBackplane, Role};
use shared::serve::{self, Server};
use shared::settings::{Invalid, Secret, complain, parse};
use shared::{admin, shutdown, telemetry};

/// The longest call under way: a slow body and a slow backplane.
const LEAVE_TIME: Duration = Duration::from_secs(5);
/// Connections that the platform is far from, if the open-file limit leaves that many beside Redis and the rest.
const SOCKETS: usize = 10_000;
const OTHER_FILES: usize = 256;

#[tokio::main]
async fn main() -> ExitCode {
    let settings: Settings = parse().unwrap_or_else(|invalid| invalid.exit());
    let (config, redis) = check(&settings).unwrap_or_else(|invalid| invalid.exit());
    telemetry::start(&settings.log);
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = RedisBackplane::connect(&redis, Role::Moves).unwrap_or_else(|error| error.invalid().exit());
    match run(&settings, Callback::new(config, Backplane::Redis(redis))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn check(settings: &Settings) -> Result<(Config, Secret), Invalid> {
    Ok((settings.config()?, settings.redis_url()?))
}

async fn run(settings: &Settings, callback: Callback) -> io::Result<()> {
    let shutdown = shutdown::on_signals()?;
    let public = serve::bind("public", "CALLBACK_LISTEN", settings.callback_listen)?;
    let admin = serve::bind("admin", "ADMIN_LISTEN", settings.admin_listen)?;
    let max_sockets = serve::open_files().saturating_sub(OTHER_FILES).clamp(OTHER_FILES, SOCKETS);
    let (asked, leaving, report) = (shutdown.clone(), callback.clone(), callback.clone());
    tokio::spawn(async move {
        asked.cancelled_owned().await;
        leaving.drain();
    });
    let server = Server { public, admin, max_sockets, leave_time: LEAVE_TIME };
    server.run(callback.router(), admin::router(move || report.report()), shutdown, async {}).await
}
