//! What an operator, or a newcomer with nothing at all, writes.

#![allow(rustdoc::bare_urls, reason = "the comments are the terminal's help, too")]

use std::net::SocketAddr;

use callback::settings::{CallbackSettings, MessageMode, Secrets};
use clap::{Parser, ValueEnum};
use gateway::settings::{GatewaySettings, api_base};
use shared::backplane::BackplaneSettings;
use shared::client::ProxySettings;
use shared::healthcheck::HealthcheckSettings;
use shared::settings::{AccountSettings, Invalid, Secret, secret};
use shared::shutdown::{Drain, DrainSettings};
use shared::telemetry::LogSettings;
use shared::traces::{Destination, TraceSettings};

use crate::account::Account;

/// Whether the simulator may be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Simulate {
    /// While no account is configured, and on loopback only
    #[default]
    Auto,
    /// Also where other machines reach it: anybody can log in as anybody
    On,
    /// Never: an account must be configured
    Off,
}

/// What the secrets are, for `--help`.
const SECRETS: &str = "\
Without any WECHAT_… setting a simulated WeChat is inside, and anybody can log in as anybody. With one of them set,
the account's settings must be complete.

Secrets (only as variables, or as NAME_FILE=path):
  WECHAT_APP_SECRET        The account's app secret
  WECHAT_TOKEN             The account's Token, 3 to 32 letters or digits
  WECHAT_ENCODING_AES_KEY  The account's EncodingAESKey, 43 characters; several by commas, newest first
  REDEEM_SECRET            What the application's server sends as its bearer token to POST /api/redeem; with the
                           simulator one is made if it is not set, without it redeeming is off then
  REDIS_URL                Keeps logins in Redis; in memory if not set, and counts begin anew at each start
  OTEL_EXPORTER_OTLP_HEADERS
                           Headers for the collector of traces, such as x-api-key=secret, separated by commas;
                           OTEL_EXPORTER_OTLP_TRACES_HEADERS is the same, and wins";

/// The whole login in one process.
#[derive(Clone, Debug, Parser)]
#[command(name = "standalone", version, about, after_help = SECRETS)]
pub(crate) struct Settings {
    /// The address of the public listener, such as 127.0.0.1:8080
    #[arg(long, env = "STANDALONE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) standalone_listen: SocketAddr,
    /// The address of the operators' listener (health and metrics), such as 127.0.0.1:9090
    #[arg(long, env = "ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) admin_listen: SocketAddr,
    /// The word for whether the simulated WeChat may be inside: auto, on or off
    #[arg(long, env = "SIMULATOR", value_name = "auto|on|off", default_value = "auto")]
    pub(crate) simulator: Simulate,
    /// The address of the simulated WeChat as a phone reaches it, such as http://192.0.2.7:8080
    #[arg(long, env = "SIMULATOR_PUBLIC_URL", value_name = "URL", value_parser = api_base)]
    pub(crate) simulator_public_url: Option<String>,
    /// The base URL of the platform's API; https://api.weixin.qq.com if not set
    #[arg(long, env = "WECHAT_API_BASE", value_name = "URL", value_parser = api_base)]
    pub(crate) wechat_api_base: Option<String>,
    /// The account.
    #[command(flatten)]
    pub(crate) account: AccountSettings,
    /// The gateway's own.
    #[command(flatten)]
    pub(crate) gateway: GatewaySettings,
    /// The callback's own.
    #[command(flatten)]
    pub(crate) callback: CallbackSettings,
    /// What stands before it.
    #[command(flatten)]
    pub(crate) proxies: ProxySettings,
    /// How moves are made.
    #[command(flatten)]
    pub(crate) backplane: BackplaneSettings,
    /// How it leaves.
    #[command(flatten)]
    pub(crate) drain: DrainSettings,
    /// Logs.
    #[command(flatten)]
    pub(crate) log: LogSettings,
    /// Traces.
    #[command(flatten)]
    pub(crate) traces: TraceSettings,
    /// Whether only to ask.
    #[command(flatten)]
    pub(crate) healthcheck: HealthcheckSettings,
}

/// What the settings come to.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) account: Account,
    pub(crate) redis: Option<Secret>,
    pub(crate) drain: Drain,
    pub(crate) traces: Option<Destination>,
}

impl Settings {
    /// Finds out whether there is an account, and whether its settings are complete.
    pub(crate) fn check(&self) -> Result<Checked, Invalid> {
        let (redis, drain) = (secret("REDIS_URL")?, self.drain.drain(Drain::ALONE)?);
        let (redeem_secret, traces) = (gateway::settings::redeem_secret()?, self.traces.destination()?);
        let configured = self.names_an_account();
        match self.simulator {
            Simulate::On if configured => {
                return Err(Invalid::unwanted(
                    "SIMULATOR",
                    "on does not go with WECHAT_… settings: the simulator has its own account",
                ));
            }
            Simulate::Auto if !configured && !self.standalone_listen.ip().is_loopback() => {
                let why = "a loopback address while the simulated WeChat is inside, for it lets anybody log in as \
                           anybody (or SIMULATOR=on, or a real account)";
                return Err(Invalid::malformed("STANDALONE_LISTEN", why));
            }
            _ => {}
        }
        if !configured && self.simulator != Simulate::Off {
            let account = Account::Simulated { redeem_secret };
            account.check(self)?;
            return Ok(Checked { account, redis, drain, traces });
        }
        let api_base = self.wechat_api_base.clone().unwrap_or_else(|| gateway::wechat::API_BASE.to_owned());
        let account = gateway::wechat::Account {
            app_id: self.account.required_app_id()?,
            app_secret: gateway::settings::app_secret()?,
            api_base,
        };
        let name = self.account.display_name.clone();
        let callback = self.callback.config(&self.account, &Secrets::read()?, self.proxies.clone())?;
        let gateway = self.gateway.clone().config(account, redeem_secret, name, self.proxies.clone())?;
        Ok(Checked {
            account: Account::Real { gateway: Box::new(gateway), callback: Box::new(callback) },
            redis,
            drain,
            traces,
        })
    }

    /// Whether any flag or variable speaks of an account; a variable that is empty does not.
    fn names_an_account(&self) -> bool {
        let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            name.to_string_lossy().starts_with("WECHAT_") && !value.is_empty()
        };
        std::env::vars_os().any(variable)
            || self.account.wechat_app_id.is_some()
            || self.wechat_api_base.is_some()
            || self.callback.wechat_original_id.is_some()
            || self.callback.wechat_message_mode != MessageMode::default()
    }
}
