//! From a body to a message that is authentic, ours, and in the mode that was set (docs/wechat.md, "Encryption").

use shared::backplane::MessageHash;
use shared::random;

use crate::cipher::AesKey;
use crate::config::Config;
use crate::error::Error;
use crate::message::{Fields, Message};
use crate::reply;
use crate::request::{Query, now};

/// A push that was opened.
pub(crate) struct Push<'c> {
    pub(crate) message: Message,
    /// The message's, decrypted: a repeat of the platform's has the same, however it is wrapped.
    pub(crate) hash: MessageHash,
    /// The key that its encryption was made with, for the answer's.
    key: Option<&'c AesKey>,
}

impl<'c> Push<'c> {
    /// Refuses a plain push where they are encrypted, as far as the query alone shows it: before any of the body is read.
    pub(crate) fn check_mode(config: &Config, query: &Query) -> Result<(), Error> {
        match config.mode.keys() {
            Some(_) if query.msg_signature().is_none() => Err(refusal(config, "plain")),
            _ => Ok(()),
        }
    }

    /// Opens a push whose query is authentic and passed [`Self::check_mode`].
    pub(crate) fn open(config: &'c Config, query: &Query, body: &[u8]) -> Result<Self, Error> {
        let Some(keys) = config.mode.keys() else {
            return Self::open_plain(config, query, body);
        };
        let fields = Fields::read(body)?;
        // Both modes that encrypt take what the other one's pushes look like: whatever stands beside the encrypted part
        // is not read, so it can do no harm, and an operator can change the console's mode without losing a login.
        let (Some(encrypted), Some(signature)) = (fields.encrypted(), query.msg_signature()) else {
            return Err(refusal(config, "plain"));
        };
        query.authenticate_encrypted(&config.token, signature, encrypted)?;
        if fields.to().is_some_and(|to| !config.is_ours(to)) {
            return Err(Error::Account);
        }
        let (message, key) = keys.decrypt(encrypted, &config.app_id)?;
        let hash = MessageHash::of(&message);
        let message = Message::read(&Fields::read(&message)?)?;
        if config.is_ours(&message.to) {
            Ok(Self { message, hash, key: Some(key) })
        } else {
            Err(Error::Account)
        }
    }

    fn open_plain(config: &Config, query: &Query, body: &[u8]) -> Result<Self, Error> {
        if query.is_encrypted() {
            return Err(refusal(config, "encrypted (safe or compatible)"));
        }
        let fields = Fields::read(body)?;
        if fields.encrypted().is_some() {
            return Err(refusal(config, if fields.is_plain() { "compatible" } else { "safe" }));
        }
        let message = Message::read(&fields)?;
        let hash = MessageHash::of(body);
        if config.is_ours(&message.to) { Ok(Self { message, hash, key: None }) } else { Err(Error::Account) }
    }

    /// The reply to it that shows `content`, encrypted if the push was.
    pub(crate) fn reply(&self, config: &Config, content: &str) -> String {
        let now = now();
        let reply = reply::text(self.message.from.expose(), &self.message.to, now, content);
        let Some(key) = self.key else { return reply };
        let encrypted = key.encrypt(random::bytes(), reply.as_bytes(), &config.app_id);
        let (timestamp, nonce) = (now.to_string(), u64::from_be_bytes(random::bytes()).to_string());
        let signature = config.token.sign_encrypted(&timestamp, &nonce, &encrypted);
        reply::envelope(&encrypted, &signature, &timestamp, &nonce)
    }
}

impl Config {
    /// Whether the account with this original id is ours, as far as we know.
    fn is_ours(&self, original_id: &str) -> bool {
        self.original_id.as_deref().is_none_or(|ours| ours == original_id)
    }
}

fn refusal(config: &Config, push: &'static str) -> Error {
    Error::Mode { configured: config.mode.name(), push }
}
