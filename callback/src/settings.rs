//! The callback's settings: what an operator writes, and what becomes of it.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use shared::backplane::BackplaneSettings;
use shared::client::ProxySettings;
use shared::healthcheck::HealthcheckSettings;
use shared::settings::{self, AccountSettings, Invalid, Secret};
use shared::shutdown::DrainSettings;
use shared::telemetry::LogSettings;
use shared::traces::TraceSettings;

use crate::cipher::AesKeys;
use crate::config::{Config, Mode};
use crate::reply::{NotATemplate, Replies, Template};
use crate::signature::Token;

const TOKEN: &str = "WECHAT_TOKEN";
const TOKEN_IS: &str = "the account's Token from the console, 3 to 32 letters or digits";
const AES_KEY: &str = "WECHAT_ENCODING_AES_KEY";
const AES_KEY_IS: &str =
    "the account's EncodingAESKey from the console, 43 characters; several by commas, newest first";
const REDIS_URL: &str = "REDIS_URL";
const REDIS_URL_IS: &str = "the URL of the Redis that gateway and callback share, such as redis://redis:6379";

/// What `--help` says below the flags.
const SECRETS: &str = "\
Secrets, each an environment variable or NAME_FILE=path:
  WECHAT_TOKEN
          The account's Token from the console, 3 to 32 letters or digits
  WECHAT_ENCODING_AES_KEY
          The account's EncodingAESKey from the console, 43 characters;
          several by commas, newest first, while a key is rotated. Required,
          but refused in plain mode
  REDIS_URL
          The Redis that gateway and callback share, such as
          redis://redis:6379; TLS, Unix sockets, Sentinel and Cluster too
  OTEL_EXPORTER_OTLP_HEADERS
          Headers for the collector of traces, such as x-api-key=secret,
          separated by commas; OTEL_EXPORTER_OTLP_TRACES_HEADERS is the same,
          and wins";

/// Receives the WeChat platform's calls, claims scenes, and answers the phone
#[derive(Clone, Debug, Parser)]
#[command(name = "callback", version, after_help = SECRETS)]
pub struct Settings {
    /// The address of the public listener, for the platform
    #[arg(long, env = "CALLBACK_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    pub callback_listen: SocketAddr,
    /// The address of the admin listener, for health checks and metrics; never in public
    #[arg(long, env = "ADMIN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9091")]
    pub admin_listen: SocketAddr,
    /// The account.
    #[command(flatten)]
    pub account: AccountSettings,
    /// What is the callback's own.
    #[command(flatten)]
    pub callback: CallbackSettings,
    /// What stands before it.
    #[command(flatten)]
    pub proxies: ProxySettings,
    /// How moves are made.
    #[command(flatten)]
    pub backplane: BackplaneSettings,
    /// How it leaves.
    #[command(flatten)]
    pub drain: DrainSettings,
    /// Logging.
    #[command(flatten)]
    pub log: LogSettings,
    /// Traces.
    #[command(flatten)]
    pub traces: TraceSettings,
    /// Whether only to ask.
    #[command(flatten)]
    pub healthcheck: HealthcheckSettings,
}

impl Settings {
    /// What the callback needs to know, with the secrets of the environment.
    ///
    /// # Errors
    ///
    /// The first setting that is missing or malformed.
    pub fn config(&self) -> Result<Config, Invalid> {
        self.callback.config(&self.account, &Secrets::read()?, self.proxies.clone())
    }

    /// Where the backplane is.
    ///
    /// # Errors
    ///
    /// It is not set, or its file cannot be read.
    pub fn redis_url(&self) -> Result<Secret, Invalid> {
        settings::required_secret(REDIS_URL, REDIS_URL_IS)
    }
}

/// How the platform wraps its pushes, as an operator writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MessageMode {
    /// 安全模式: only encrypted pushes
    #[default]
    Safe,
    /// 兼容模式: an encrypted part is required, what stands beside it is ignored
    Compatible,
    /// 明文模式: nothing is encrypted; for development
    Plain,
}

/// What is the callback's own among the settings.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct CallbackSettings {
    /// The account's original id, gh_… (console: 设置与开发 > 账号设置); when set, messages to another are refused
    #[arg(long, env = "WECHAT_ORIGINAL_ID", value_name = "ID", value_parser = original_id)]
    pub wechat_original_id: Option<String>,
    /// The message mode that is set in the console: safe, compatible or plain
    #[arg(long, env = "WECHAT_MESSAGE_MODE", value_name = "MODE", default_value = "safe")]
    pub wechat_message_mode: MessageMode,
    /// The duration that a call's timestamp may lie from the clock, such as 10m
    #[arg(long, env = "CALLBACK_MAX_SKEW", value_name = "DURATION", default_value = "10m",
          value_parser = settings::lifetime)]
    pub callback_max_skew: Duration,
    /// The text after a login, at most 2,000 bytes, with {nickname}, {count} and \n for a line break
    #[arg(long, env = "REPLY_SUCCESS", value_name = "TEXT", value_parser = Template::parse_counting,
          default_value = r"{nickname},登录成功!\n这是你第{count}次登录,玩的开心!")]
    pub reply_success: Template,
    /// The text for a QR code that is used, unknown or over, at most 2,000 bytes, with {nickname} and \n
    #[arg(long, env = "REPLY_USED", value_name = "TEXT", value_parser = Template::parse,
          default_value = "这个二维码已被使用或已失效，请刷新登录页面后扫描新的二维码。")]
    pub reply_used: Template,
    /// The text while the backplane cannot be reached, at most 2,000 bytes, with {nickname} and \n
    #[arg(long, env = "REPLY_RETRY", value_name = "TEXT", value_parser = Template::parse,
          default_value = "服务暂时繁忙，请稍后再扫描一次二维码。")]
    pub reply_retry: Template,
    /// The text for new followers and for any message, at most 2,000 bytes, with {nickname} and \n
    #[arg(long, env = "REPLY_GREETING", value_name = "TEXT", value_parser = Template::parse,
          default_value = "您好!欢迎使用 SwooleWechat 扫描登录")]
    pub reply_greeting: Template,
}

/// The secrets that the callback shares with the platform, as they were written.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// `WECHAT_TOKEN`.
    pub token: Secret,
    /// `WECHAT_ENCODING_AES_KEY`.
    pub encoding_aes_key: Option<Secret>,
}

impl Secrets {
    /// Reads them from the environment.
    ///
    /// # Errors
    ///
    /// The Token is not set, or a file cannot be read.
    pub fn read() -> Result<Self, Invalid> {
        Ok(Self { token: read_token()?, encoding_aes_key: aes_key()? })
    }
}

/// The Token of the environment.
///
/// # Errors
///
/// It is not set, its file cannot be read, or it is not what the console takes.
pub fn token() -> Result<Token, Invalid> {
    parse_token(&read_token()?)
}

/// The key, or keys, of the environment, as they were written.
///
/// # Errors
///
/// The file cannot be read.
pub fn aes_key() -> Result<Option<Secret>, Invalid> {
    settings::secret(AES_KEY)
}

fn read_token() -> Result<Secret, Invalid> {
    settings::required_secret(TOKEN, TOKEN_IS)
}

fn parse_token(text: &Secret) -> Result<Token, Invalid> {
    Token::parse(text.expose()).ok_or_else(|| Invalid::malformed(TOKEN, TOKEN_IS))
}

impl CallbackSettings {
    /// What the callback needs to know.
    ///
    /// # Errors
    ///
    /// The first setting that is missing, malformed, or does not go with the others.
    pub fn config(
        &self,
        account: &AccountSettings,
        secrets: &Secrets,
        proxies: ProxySettings,
    ) -> Result<Config, Invalid> {
        let token = parse_token(&secrets.token)?;
        Ok(Config {
            app_id: account.required_app_id()?,
            original_id: self.wechat_original_id.clone(),
            token,
            mode: self.mode(secrets.encoding_aes_key.as_ref())?,
            max_skew: self.callback_max_skew,
            proxies,
            replies: self.replies(&account.display_name)?,
        })
    }

    /// How the platform wraps its pushes, with the keys that it takes.
    ///
    /// # Errors
    ///
    /// The key is missing or malformed, or must not be set in this mode.
    pub fn mode(&self, key: Option<&Secret>) -> Result<Mode, Invalid> {
        let encrypting: fn(AesKeys) -> Mode = match (self.wechat_message_mode, key) {
            (MessageMode::Plain, None) => return Ok(Mode::Plain),
            (MessageMode::Plain, Some(_)) => {
                return Err(Invalid::unwanted(
                    AES_KEY,
                    "WECHAT_MESSAGE_MODE is plain, which has no use for a key",
                ));
            }
            (MessageMode::Safe, _) => Mode::Safe,
            (MessageMode::Compatible, _) => Mode::Compatible,
        };
        let key = key.ok_or_else(|| {
            Invalid::missing(
                AES_KEY,
                format!("{AES_KEY_IS} (or {AES_KEY}_FILE=path, or WECHAT_MESSAGE_MODE=plain)"),
            )
        })?;
        AesKeys::parse(key.expose()).map(encrypting).ok_or_else(|| Invalid::malformed(AES_KEY, AES_KEY_IS))
    }

    /// The texts that cannot be sent with this nickname.
    #[must_use]
    pub fn unsendable_replies(&self, nickname: &str) -> Vec<Invalid> {
        let texts = [
            ("REPLY_SUCCESS", &self.reply_success),
            ("REPLY_USED", &self.reply_used),
            ("REPLY_RETRY", &self.reply_retry),
            ("REPLY_GREETING", &self.reply_greeting),
        ];
        let unsendable = |(setting, template): (_, &Template)| {
            Some(Invalid::malformed(setting, unsendable(template.check(nickname).err()?)))
        };
        texts.into_iter().filter_map(unsendable).collect()
    }

    fn replies(&self, nickname: &str) -> Result<Replies, Invalid> {
        match self.unsendable_replies(nickname).into_iter().next() {
            Some(invalid) => Err(invalid),
            None => Ok(Replies {
                nickname: nickname.to_owned(),
                success: self.reply_success.clone(),
                used: self.reply_used.clone(),
                retry: self.reply_retry.clone(),
                greeting: self.reply_greeting.clone(),
            }),
        }
    }
}

fn unsendable(why: NotATemplate) -> String {
    format!("a text that can be sent with DISPLAY_NAME as {{nickname}} and any {{count}} ({why})")
}

fn original_id(text: &str) -> Result<String, &'static str> {
    let name = text.strip_prefix("gh_").unwrap_or_default();
    let plausible = (1..=61).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plausible { Ok(text.to_owned()) } else { Err("gh_ and letters or digits: it is not the app id") }
}
