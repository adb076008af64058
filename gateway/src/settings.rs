//! The gateway's settings.

#![allow(rustdoc::bare_urls, reason = "the comments are the terminal's help, too")]

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser};
use shared::backplane::{BackplaneSettings, Rates};
use shared::client::ProxySettings;
use shared::healthcheck::HealthcheckSettings;
use shared::settings::{self, AccountSettings, Invalid, Secret, lifetime};
use shared::shutdown::DrainSettings;
use shared::telemetry::LogSettings;
use shared::traces::TraceSettings;

use crate::limits::QrLimits;
use crate::origin::Origin;
use crate::wechat::Account;
use crate::{Config, wechat};

/// What only the gateway knows of, as flags and variables.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct GatewaySettings {
    /// The time for which a QR code can be scanned, such as 120s
    #[arg(long, env = "SCENE_TTL", value_name = "DURATION", default_value = "120s", value_parser = lifetime)]
    pub scene_ttl: Duration,
    /// The time that a session lives after its last move or reconnect, such as 15m; not below SCENE_TTL
    #[arg(long, env = "SESSION_TTL", value_name = "DURATION", default_value = "15m", value_parser = lifetime)]
    pub session_ttl: Duration,
    /// The exact origins whose pages may open a session, such as https://app.example.com, separated by commas; only the
    /// gateway's own origin if not set
    #[arg(long, env = "ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<Origin>,
    /// The number of browsers that one replica holds, from 1; less where the open-file limit leaves less
    #[arg(long, env = "MAX_CONNECTIONS", value_name = "NUMBER", default_value = "100000",
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_connections: u32,
    /// The rates at which one client, an IPv4 address or an IPv6 /64, gets QR codes, such as 20/min,1000/day, or off
    #[arg(long, env = "QR_LIMIT_PER_CLIENT", value_name = "RATES", default_value = "20/min,1000/day")]
    pub qr_limit_per_client: Rates,
    /// The rates at which one network, an IPv4 /24 or an IPv6 /48, gets QR codes, such as 200/min,10000/day, or off
    #[arg(long, env = "QR_LIMIT_PER_NETWORK", value_name = "RATES", default_value = "200/min,10000/day")]
    pub qr_limit_per_network: Rates,
    /// The rates at which all replicas together make QR codes, such as 95000/day, or off; an account has 100,000 a day, a
    /// test account 10,000
    #[arg(long, env = "QR_LIMIT_TOTAL", value_name = "RATES", default_value = "95000/day")]
    pub qr_limit_total: Rates,
    /// The name of this replica in logs; the host name and a random part if not set
    #[arg(long, env = "REPLICA_ID", value_name = "NAME")]
    pub replica_id: Option<String>,
}

impl GatewaySettings {
    /// Puts everything together, and checks what belongs together.
    ///
    /// # Errors
    ///
    /// `SESSION_TTL` is below `SCENE_TTL`.
    pub fn config(
        self,
        account: Account,
        redeem_secret: Option<Secret>,
        display_name: String,
        proxies: ProxySettings,
    ) -> Result<Config, Invalid> {
        if self.session_ttl < self.scene_ttl {
            return Err(Invalid::malformed("SESSION_TTL", "a duration not below SCENE_TTL"));
        }
        Ok(Config {
            account,
            redeem_secret,
            display_name,
            scene_ttl: self.scene_ttl,
            session_ttl: self.session_ttl,
            allowed_origins: self.allowed_origins,
            max_connections: usize::try_from(self.max_connections).unwrap_or(usize::MAX),
            qr_limits: QrLimits {
                per_client: self.qr_limit_per_client,
                per_network: self.qr_limit_per_network,
                total: self.qr_limit_total,
            },
            proxies,
            replica: self.replica_id.unwrap_or_else(replica_id),
        })
    }
}

/// The base of the platform's API, without a slash at its end.
///
/// # Errors
///
/// Not an http or https URL, or one with a user, a password, a query or a fragment. The platform asks for no password, and
/// this is no place for one, for it is printed.
pub fn api_base(text: &str) -> Result<String, &'static str> {
    let url = reqwest::Url::parse(text).map_err(|_| "not a URL")?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.has_host();
    let nobodys = url.username().is_empty() && url.password().is_none();
    if plain && nobodys && matches!(url.scheme(), "http" | "https") {
        // As the URL standard writes it: a blank at the end would become a part of every path.
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err("not an http or https URL without user, password and query")
    }
}

/// The host's name, and a random part that is new at every start.
fn replica_id() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", if host.is_empty() { "gateway" } else { host }, &random[..8])
}

/// What the secrets are, for `--help`.
const SECRETS: &str = "\
Secrets (only as variables, or as NAME_FILE=path):
  WECHAT_APP_SECRET  The account's app secret
  REDIS_URL          redis://, rediss://, redis+unix://, redis-sentinel:// or redis-cluster:// URL
  REDEEM_SECRET      What the application's server sends as its bearer token to POST /api/redeem;
                     redeeming is off if not set
  OTEL_EXPORTER_OTLP_HEADERS
                     Headers for the collector of traces, such as x-api-key=secret, separated by commas;
                     OTEL_EXPORTER_OTLP_TRACES_HEADERS is the same, and wins";

/// The gateway: holds browsers, makes QR codes, pushes results, redeems codes.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, about, after_help = SECRETS)]
pub struct Settings {
    /// The address of the public listener, such as 0.0.0.0:8080
    #[arg(long, env = "GATEWAY_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub gateway_listen: SocketAddr,
    /// The address of the operators' listener (health and metrics), such as 0.0.0.0:9090
    #[arg(long, env = "ADMIN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,
    /// The base URL of the platform's API, such as https://api.weixin.qq.com, or the simulator's
    #[arg(long, env = "WECHAT_API_BASE", value_name = "URL", default_value = wechat::API_BASE, value_parser = api_base)]
    pub wechat_api_base: String,
    /// The account.
    #[command(flatten)]
    pub account: AccountSettings,
    /// What only the gateway knows of.
    #[command(flatten)]
    pub gateway: GatewaySettings,
    /// What stands before it.
    #[command(flatten)]
    pub proxies: ProxySettings,
    /// How moves are made.
    #[command(flatten)]
    pub backplane: BackplaneSettings,
    /// How it leaves.
    #[command(flatten)]
    pub drain: DrainSettings,
    /// Logs.
    #[command(flatten)]
    pub log: LogSettings,
    /// Traces.
    #[command(flatten)]
    pub traces: TraceSettings,
    /// Whether only to ask.
    #[command(flatten)]
    pub healthcheck: HealthcheckSettings,
}

/// The account's app secret.
///
/// # Errors
///
/// It is not set, or has characters that no app secret has.
pub fn app_secret() -> Result<Secret, Invalid> {
    let secret = settings::required_secret("WECHAT_APP_SECRET", "the account's app secret")?;
    let expected = "the account's app secret, letters and digits without blanks";
    if is_token(&secret) { Ok(secret) } else { Err(Invalid::malformed("WECHAT_APP_SECRET", expected)) }
}

/// The secret that the application's server shows; `None` switches redeeming off.
///
/// # Errors
///
/// Its file cannot be read, or no header could carry it.
pub fn redeem_secret() -> Result<Option<Secret>, Invalid> {
    let expected = "visible ASCII characters without blanks, as a header carries them";
    match settings::secret("REDEEM_SECRET")? {
        Some(secret) if !is_token(&secret) => Err(Invalid::malformed("REDEEM_SECRET", expected)),
        secret => Ok(secret),
    }
}

fn is_token(secret: &Secret) -> bool {
    secret.expose().bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_of_the_api_is_what_is_called() {
        let read = |text| api_base(text).unwrap();
        assert_eq!(read("https://api.weixin.qq.com"), "https://api.weixin.qq.com");
        assert_eq!(read("http://127.0.0.1:8090/wechat//"), "http://127.0.0.1:8090/wechat");
        for odd in [" http://simulator/ ", "http://simulator\n", "HTTP://Simulator", r"http:\\simulator\"] {
            assert_eq!(read(odd), "http://simulator", "{odd:?}");
        }
        for wrong in ["", "simulator", "ftp://simulator", "http://", "http://a/?b", "http://a/#b"] {
            assert!(api_base(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_base_of_the_api_carries_no_password() {
        for wrong in ["http://user:secret@a", "http://:secret@a/", "http://user@a", "https://user:@a"] {
            assert!(api_base(wrong).is_err(), "{wrong:?}");
        }
    }
}
