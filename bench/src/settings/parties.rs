//! Whom a login needs besides a browser: the account, and how its phones are answered.

use clap::{Args, ValueEnum};
use shared::settings::{self, Invalid};

use crate::endpoint::Endpoint;
use crate::floor::RedisUrl;
use crate::login::Parties;
use crate::phone::{self, Text, Texts};
use crate::run::Target;

/// Whom a login needs besides a browser.
#[derive(Debug, Args)]
pub struct PartySettings {
    /// The http URL of a callback; its path is /wechat/callback if it has none; several times for several
    #[arg(long = "callback", value_name = "URL", required = true)]
    pub(super) callbacks: Vec<Endpoint>,
    /// The http URL of a gateway at which the application redeems; the browsers' if not set
    #[arg(long = "redeem-at", value_name = "URL")]
    pub(super) redeem_at: Vec<Endpoint>,
    /// The http URL of the simulator, which tells the scenes of QR codes
    #[arg(long, value_name = "URL")]
    pub(super) simulator: Endpoint,
    /// The Redis URL at which the floor is measured, redis://HOST:PORT or redis+unix:///PATH; not measured if not set
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub(super) redis: Option<RedisUrl>,
    /// The account's app id
    #[arg(long, env = "WECHAT_APP_ID", value_name = "ID")]
    wechat_app_id: String,
    /// The account's original id, where the callbacks check it
    #[arg(long, env = "WECHAT_ORIGINAL_ID", value_name = "ID", default_value = "gh_0")]
    wechat_original_id: String,
    /// Message mode, the same as the callbacks': safe, compatible or plain
    #[arg(long, env = "WECHAT_MESSAGE_MODE", value_name = "MODE", default_value = "safe")]
    wechat_message_mode: MessageMode,
    /// The callbacks' texts.
    #[command(flatten)]
    texts: TextSettings,
}

/// How pushes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageMode {
    /// Only encrypted
    Safe,
    /// Encrypted, and once more in the clear beside it
    Compatible,
    /// In the clear
    Plain,
}

/// The callbacks' texts, by which the driver knows how a scan went. The defaults are theirs (docs/settings.md, "Callback").
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct TextSettings {
    /// The callbacks' text after a login
    #[arg(long, env = "REPLY_SUCCESS", value_name = "TEXT", default_value = phone::SUCCESS)]
    reply_success: Text,
    /// The callbacks' text for a QR code that is used, unknown or over
    #[arg(long, env = "REPLY_USED", value_name = "TEXT", default_value = phone::USED)]
    reply_used: Text,
    /// The callbacks' text while Redis cannot be reached
    #[arg(long, env = "REPLY_RETRY", value_name = "TEXT", default_value = phone::RETRY)]
    reply_retry: Text,
}

impl PartySettings {
    pub(super) fn parties(self, target: &Target) -> Result<Parties, Invalid> {
        let (mode, encrypts) = match self.wechat_message_mode {
            MessageMode::Safe => (simulator::MessageMode::Safe, true),
            MessageMode::Compatible => (simulator::MessageMode::Compatible, true),
            MessageMode::Plain => (simulator::MessageMode::Plain, false),
        };
        if !self.texts.reply_success.counts() {
            let expected = "a text with {count}, for counts are checked: set the callbacks' so for the run";
            return Err(Invalid::malformed("REPLY_SUCCESS", expected));
        }
        let expected = "the simulator's, 43 characters; several by commas, newest first";
        let keys = match encrypts {
            true => Some(settings::required_secret("WECHAT_ENCODING_AES_KEY", expected)?),
            false => None,
        };
        let keys = keys.iter().flat_map(|keys| keys.expose().split(','));
        let account = simulator::Config {
            app_id: self.wechat_app_id,
            app_secret: String::new(),
            original_id: self.wechat_original_id,
            token: settings::required_secret("WECHAT_TOKEN", "the simulator's")?.expose().to_owned(),
            encoding_aes_keys: keys.map(|key| key.trim().to_owned()).collect(),
            message_mode: mode,
            callback_url: "http://localhost/".to_owned(),
            public_url: "http://localhost".to_owned(),
        };
        account
            .check()
            .map_err(|error| Invalid::malformed("the account", format!("the simulator's ({error})")))?;
        let path = |callback: Endpoint| callback.or_path("/wechat/callback");
        let redeem_at = if self.redeem_at.is_empty() { target.gateways.clone() } else { self.redeem_at };
        Ok(Parties {
            callbacks: self.callbacks.into_iter().map(path).collect(),
            redeem_at,
            redeem_secret: settings::required_secret("REDEEM_SECRET", "the gateways'")?,
            simulator: self.simulator,
            account,
            texts: self.texts.texts(),
            redis: self.redis,
        })
    }
}

impl TextSettings {
    pub(super) fn texts(self) -> Texts {
        Texts { success: self.reply_success, used: self.reply_used, retry: self.reply_retry }
    }
}
