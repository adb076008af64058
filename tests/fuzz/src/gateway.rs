//! A gateway in memory, whose platform cannot be reached.

use std::sync::LazyLock;
use std::time::Duration;

use gateway::limits::QrLimits;
use gateway::wechat::Account;
use gateway::{Config, Gateway};
use shared::backplane::{Backplane, MemoryBackplane, Rates};
use shared::client::ProxySettings;
use shared::settings::Secret;
use shared::shutdown::{Departure, Drain};
use shared::traces::Traces;
use tokio::runtime::{Builder, Runtime};

/// The application's secret.
pub const SECRET: &str = "redeem-secret-0123456789";

/// Runs everything on the fuzzer's own thread.
pub static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// Where the gateway's logins are.
pub static BACKPLANE: LazyLock<Backplane> = LazyLock::new(|| Backplane::Memory(MemoryBackplane::default()));

/// The gateway.
pub static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
    // Once in a process; the only error is that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config {
        account: Account {
            app_id: crate::account::APP_ID.to_owned(),
            app_secret: Secret::new("0123456789abcdef0123456789abcdef"),
            // No host has this port: connecting fails at once, and nothing leaves the process.
            api_base: "http://127.0.0.1:0".to_owned(),
        },
        redeem_secret: Some(Secret::new(SECRET)),
        display_name: "微信用户".to_owned(),
        scene_ttl: Duration::from_secs(120),
        session_ttl: Duration::from_secs(900),
        allowed_origins: Vec::new(),
        max_connections: 100,
        // The fuzzer is one client, and asks for as much as it can.
        qr_limits: QrLimits {
            per_client: Rates::default(),
            per_network: Rates::default(),
            total: Rates::default(),
        },
        proxies: ProxySettings::default(),
        replica: "fuzz".to_owned(),
    };
    Gateway::new(config, BACKPLANE.clone(), Departure::new(Drain::ALONE), Traces::off()).unwrap()
});
