//! Starts the gateway.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use gateway::settings::{self, Settings};
use gateway::wechat::Account;
use gateway::{Config, Gateway};
use shared::backplane::{Backplane, RedisBackplane, Role};
use shared::serve::{self, Server};
use shared::settings::{Invalid, Secret, complain, required_secret};
use shared::{admin, shutdown, telemetry};

/// For browsers to leave and requests to end; within the 10 s that container engines wait before they kill.
const LEAVE_TIME: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> ExitCode {
    let settings: Settings = shared::settings::parse().unwrap_or_else(|invalid| invalid.exit());
    let (config, redis) = check(&settings).unwrap_or_else(|invalid| invalid.exit());
    telemetry::start(&settings.log);
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = RedisBackplane::connect(&redis, Role::Watches).unwrap_or_else(|error| error.invalid().exit());
    match run(settings, config, Backplane::Redis(redis)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn check(settings: &Settings) -> Result<(Config, Secret), Invalid> {
    let account = Account {
        app_id: settings.account.required_app_id()?,
        app_secret: settings::app_secret()?,
        api_base: settings.wechat_api_base.clone(),
    };
    let redis = required_secret("REDIS_URL", "a Redis URL such as redis://host:6379")?;
    let (name, proxies) = (settings.account.display_name.clone(), settings.proxies.clone());
    Ok((settings.gateway.clone().config(account, settings::redeem_secret()?, name, proxies)?, redis))
}

async fn run(settings: Settings, config: Config, backplane: Backplane) -> io::Result<()> {
    let shutdown = shutdown::on_signals()?;
    let public = serve::bind("public", "GATEWAY_LISTEN", settings.gateway_listen)?;
    let admin = serve::bind("admin", "ADMIN_LISTEN", settings.admin_listen)?;
    let gateway = Gateway::new(config, backplane, shutdown.clone()).map_err(io::Error::other)?;
    let report = gateway.clone();
    let server = Server { public, admin, max_sockets: gateway.max_sockets(), leave_time: LEAVE_TIME };
    server.run(gateway.router(), admin::router(move || report.report()), shutdown, gateway.drain()).await
}
