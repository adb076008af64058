//! The simulator's settings: what a developer writes, and what becomes of it.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use shared::healthcheck::HealthcheckSettings;
use shared::settings::{self, Invalid};
use shared::telemetry::LogSettings;
use simulator::{Config, Error};

const APP_SECRET: &str = "WECHAT_APP_SECRET";
const APP_SECRET_IS: &str = "the account's app secret, the same as the gateway's";
const TOKEN: &str = "WECHAT_TOKEN";
const TOKEN_IS: &str = "3 to 32 letters or digits, the same as the callback's";
const KEY: &str = "WECHAT_ENCODING_AES_KEY";
const KEY_IS: &str = "43 letters or digits, the same as the callback's; several by commas, newest first";

/// What `--help` says below the flags.
const SECRETS: &str = "\
Secrets, each an environment variable or NAME_FILE=path of a file that holds it:
  WECHAT_APP_SECRET        What the gateway fetches access tokens with (required)
  WECHAT_TOKEN             What pushes are signed with, 3 to 32 letters or digits
                           (required)
  WECHAT_ENCODING_AES_KEY  What pushes are encrypted with, 43 letters or digits;
                           several by commas, newest first: the first encrypts
                           pushes, each decrypts answers (required, but refused
                           in plain mode)

The values are made up, and the same as those of gateway and callback. A real
account's do not belong here: anybody can log in as anybody.";

/// Plays the WeChat platform for development and tests: its API, QR codes, pushes, and a page that is the phone
#[derive(Clone, Debug, Parser)]
#[command(name = "simulator", version, after_help = SECRETS)]
pub(crate) struct Settings {
    /// The address of the public listener, for the gateway and for phones
    #[arg(long, env = "SIMULATOR_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8082")]
    pub(crate) simulator_listen: SocketAddr,
    /// The address of the admin listener, for health checks and metrics; never in public
    #[arg(long, env = "ADMIN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9092")]
    pub(crate) admin_listen: SocketAddr,
    /// The app id of the account that is played, such as wx0123456789abcdef
    #[arg(long, env = "WECHAT_APP_ID", value_name = "ID", value_parser = app_id)]
    wechat_app_id: Option<String>,
    /// The account's original id, gh_ and letters or digits, which pushes are addressed to; made up if not set
    #[arg(long, env = "WECHAT_ORIGINAL_ID", value_name = "ID", value_parser = original_id)]
    wechat_original_id: Option<String>,
    /// Message mode, the same as the callback's: safe, compatible or plain
    #[arg(long, env = "WECHAT_MESSAGE_MODE", value_name = "MODE", default_value = "safe")]
    wechat_message_mode: MessageMode,
    /// The http or https URL that pushes go to, the callback's
    #[arg(
        long,
        env = "SIMULATOR_CALLBACK_URL",
        value_name = "URL",
        default_value = "http://localhost:8081/wechat/callback"
    )]
    simulator_callback_url: String,
    /// The http or https URL under which phones reach this simulator, for it is inside the QR codes; localhost and the
    /// listener's port if not set
    #[arg(long, env = "SIMULATOR_PUBLIC_URL", value_name = "URL")]
    pub(crate) simulator_public_url: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogSettings,
    #[command(flatten)]
    pub(crate) healthcheck: HealthcheckSettings,
}

/// How pushes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageMode {
    /// 安全模式: only encrypted
    Safe,
    /// 兼容模式: encrypted, and once more in the clear beside it
    Compatible,
    /// 明文模式: in the clear
    Plain,
}

impl Settings {
    /// The account, with the secrets of the environment.
    ///
    /// # Errors
    ///
    /// The first setting that is missing, malformed, or does not go with the others.
    pub(crate) fn config(&self) -> Result<Config, Invalid> {
        let app_id = self.wechat_app_id.clone();
        let keys = settings::secret(KEY)?;
        let keys = keys.iter().flat_map(|keys| keys.expose().split(',')).map(|key| key.trim().to_owned());
        let config = Config {
            app_id: app_id.ok_or_else(|| Invalid::missing("WECHAT_APP_ID", "the account's app id, wx…"))?,
            app_secret: settings::required_secret(APP_SECRET, APP_SECRET_IS)?.expose().to_owned(),
            original_id: match &self.wechat_original_id {
                Some(id) => id.clone(),
                None => Config::random_original_id().map_err(|error| invalid(&error))?,
            },
            token: settings::required_secret(TOKEN, TOKEN_IS)?.expose().to_owned(),
            encoding_aes_keys: keys.collect(),
            message_mode: match self.wechat_message_mode {
                MessageMode::Safe => simulator::MessageMode::Safe,
                MessageMode::Compatible => simulator::MessageMode::Compatible,
                MessageMode::Plain => simulator::MessageMode::Plain,
            },
            callback_url: self.simulator_callback_url.clone(),
            public_url: self.public_url(self.simulator_listen),
        };
        config.check().map_err(|error| invalid(&error))?;
        Ok(config)
    }

    /// What QR codes lead to, with the address that the listener got.
    pub(crate) fn public_url(&self, bound: SocketAddr) -> String {
        self.simulator_public_url.clone().unwrap_or_else(|| format!("http://localhost:{}", bound.port()))
    }
}

/// What the library refuses, in the words of the settings.
fn invalid(error: &Error) -> Invalid {
    match error {
        Error::MalformedKey => Invalid::malformed(KEY, KEY_IS),
        Error::MissingKey => {
            Invalid::missing(KEY, format!("{KEY_IS} (or {KEY}_FILE=path, or WECHAT_MESSAGE_MODE=plain)"))
        }
        Error::UnwantedKey => {
            Invalid::unwanted(KEY, "WECHAT_MESSAGE_MODE is plain, which has no use for a key")
        }
        Error::MalformedToken => Invalid::malformed(TOKEN, TOKEN_IS),
        Error::MalformedCallbackUrl => Invalid::malformed(
            "SIMULATOR_CALLBACK_URL",
            "an absolute URL such as http://localhost:8081/wechat/callback",
        ),
        Error::MalformedPublicUrl => Invalid::malformed(
            "SIMULATOR_PUBLIC_URL",
            "an absolute URL such as http://192.168.1.2:8082, of at most 180 characters and without a query",
        ),
        Error::NoTlsProvider | Error::Randomness(_) | Error::Client(_) => {
            Invalid::missing("WECHAT_ORIGINAL_ID", format!("the account's original id, gh_… ({error})"))
        }
    }
}

fn app_id(text: &str) -> Result<String, &'static str> {
    let plausible =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plausible { Ok(text.to_owned()) } else { Err("letters and digits, without blanks") }
}

fn original_id(text: &str) -> Result<String, &'static str> {
    let name = text.strip_prefix("gh_").unwrap_or_default();
    let plausible = (1..=61).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if plausible { Ok(text.to_owned()) } else { Err("gh_ and letters or digits: it is not the app id") }
}
