//! Starts the gateway.

use std::io;
use std::process::ExitCode;

use gateway::settings::{self, Settings};
use gateway::wechat::Account;
use gateway::{Config, Gateway};
use shared::backplane::{Backplane, RedisBackplane, Role};
use shared::serve::{self, Server};
use shared::settings::{Invalid, Secret, complain, required_secret};
use shared::shutdown::{Departure, Drain};
use shared::traces::{Destination, Traces};
use shared::{admin, healthcheck, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let settings: Settings = shared::settings::parse().unwrap_or_else(|invalid| invalid.exit());
    if settings.healthcheck.healthcheck {
        return healthcheck::ask(settings.admin_listen).await;
    }
    let (config, redis, drain, destination) = check(&settings).unwrap_or_else(|invalid| invalid.exit());
    telemetry::start(&settings.log);
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = RedisBackplane::connect(&redis, Role::Watches, &settings.backplane)
        .unwrap_or_else(|error| error.invalid().exit());
    let traces =
        Traces::start(destination, "gateway", &config.replica).unwrap_or_else(|invalid| invalid.exit());
    match run(settings, config, Backplane::Redis(redis), drain, traces).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn check(settings: &Settings) -> Result<(Config, Secret, Drain, Option<Destination>), Invalid> {
    let account = Account {
        app_id: settings.account.required_app_id()?,
        app_secret: settings::app_secret()?,
        api_base: settings.wechat_api_base.clone(),
    };
    let redis = required_secret("REDIS_URL", "a Redis URL such as redis://host:6379")?;
    let (name, proxies) = (settings.account.display_name.clone(), settings.proxies.clone());
    Ok((
        settings.gateway.clone().config(account, settings::redeem_secret()?, name, proxies)?,
        redis,
        settings.drain.drain(Drain::REPLICA)?,
        settings.traces.destination()?,
    ))
}

async fn run(
    settings: Settings,
    config: Config,
    backplane: Backplane,
    drain: Drain,
    traces: Traces,
) -> io::Result<()> {
    let departure = Departure::on_signals(drain)?;
    let public = serve::bind("public", "GATEWAY_LISTEN", settings.gateway_listen)?;
    let admin = serve::bind("admin", "ADMIN_LISTEN", settings.admin_listen)?;
    let gateway = Gateway::new(config, backplane.clone(), departure.clone(), traces.clone());
    let gateway = gateway.map_err(io::Error::other)?;
    let (reporting, counting, left) = (gateway.clone(), gateway.clone(), gateway.clone());
    let traced = traces.clone();
    let admin_router = admin::router(
        "gateway",
        move || reporting.report(),
        move || [counting.metrics(), backplane.metrics(), traced.metrics()].concat(),
    );
    let server = Server { public, admin, max_sockets: gateway.max_sockets(), departure };
    let leave = async move {
        left.drain().await;
        traces.flush().await;
    };
    server.run(gateway.router(), admin_router, leave).await
}
