//! The whole login in one process: gateway and callback on one listener, joined by memory or Redis, and the simulator
//! while no WeChat account is configured.

mod account;
mod greeting;
mod local;
mod settings;

use std::io;
use std::process::ExitCode;

use callback::Callback;
use gateway::Gateway;
use shared::backplane::{Backplane, MemoryBackplane, RedisBackplane, Role};
use shared::serve::{self, Server};
use shared::settings::{Invalid, complain};
use shared::shutdown::Departure;
use shared::traces::Traces;
use shared::{admin, healthcheck, telemetry};
use simulator::Simulator;

use crate::account::Played;
use crate::greeting::Greeting;
use crate::settings::{Checked, Settings, Simulate};

#[tokio::main]
async fn main() -> ExitCode {
    let settings: Settings = shared::settings::parse().unwrap_or_else(|invalid| invalid.exit());
    if settings.healthcheck.healthcheck {
        return healthcheck::ask(settings.admin_listen).await;
    }
    let checked = settings.check().unwrap_or_else(|invalid| invalid.exit());
    telemetry::start(&settings.log);
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let backplane = backplane(&settings, &checked).unwrap_or_else(|invalid| invalid.exit());
    match run(settings, checked, backplane).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn backplane(settings: &Settings, checked: &Checked) -> Result<Backplane, Invalid> {
    match &checked.redis {
        None => Ok(Backplane::Memory(MemoryBackplane::default())),
        Some(url) => RedisBackplane::connect(url, Role::Watches, &settings.backplane)
            .map(Backplane::Redis)
            .map_err(|error| error.invalid()),
    }
}

async fn run(settings: Settings, checked: Checked, backplane: Backplane) -> io::Result<()> {
    let departure = Departure::on_signals(checked.drain)?;
    let public = serve::bind("public", "STANDALONE_LISTEN", settings.standalone_listen)?;
    let admin = serve::bind("admin", "ADMIN_LISTEN", settings.admin_listen)?;
    let here = format!("http://{}", serve::reachable(public.local_addr()?));

    let Played { gateway, callback, simulator, redeem_secret } =
        checked.account.play(&settings, &here).map_err(io::Error::other)?;
    let simulator = simulator.map(Simulator::new).transpose().map_err(io::Error::other)?;
    let redeems = gateway.redeem_secret.is_some();
    let traces = Traces::start(checked.traces, "standalone", &gateway.replica);
    let traces = traces.unwrap_or_else(|invalid| invalid.exit());
    let gateway = Gateway::new(gateway, backplane.clone(), departure.clone(), traces.clone());
    let gateway = gateway.map_err(io::Error::other)?;
    let callback = Callback::new(callback, backplane.clone(), traces.clone());
    let mut router = gateway.router().merge(callback.router());
    if let Some(simulator) = &simulator {
        router = router.merge(simulator.router());
        if settings.simulator != Simulate::On {
            router = router.layer(axum::middleware::from_fn(local::only));
        }
    }

    Greeting {
        here: &here,
        simulated: simulator.is_some(),
        redeem_secret,
        redeems,
        counts_last: checked.redis.is_some(),
    }
    .print();
    let (reporting, counting, counted) = (gateway.clone(), gateway.clone(), callback.clone());
    let traced = traces.clone();
    let admin_router = admin::router(
        "standalone",
        move || reporting.report(),
        move || [counting.metrics(), counted.metrics(), backplane.metrics(), traced.metrics()].concat(),
    );
    let drain = gateway.drain();
    let leave = async move {
        tokio::join!(drain, callback.leave());
        traces.flush().await;
    };
    let server = Server { public, admin, max_sockets: gateway.max_sockets(), departure };
    server.run(router, admin_router, leave).await
}
