//! The account that is played, and where its server and its phones are.

use std::fmt;

use crate::account::Account;
use crate::random;

/// How pushes travel: the console's 消息加解密方式 (docs/wechat.md, "Encryption").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageMode {
    /// Only encrypted: 安全模式.
    #[default]
    Safe,
    /// Encrypted, and once more in the clear beside it: 兼容模式.
    Compatible,
    /// In the clear: 明文模式.
    Plain,
}

/// One account, and what the platform knows of it. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `wx…`.
    pub app_id: String,
    /// What tokens are fetched with.
    pub app_secret: String,
    /// `gh_…`, what pushes are addressed to.
    pub original_id: String,
    /// What pushes are signed with: 3 to 32 letters or digits.
    pub token: String,
    /// 43 characters each, newest first. The first encrypts pushes, every one decrypts answers; none in plain mode.
    pub encoding_aes_keys: Vec<String>,
    /// How pushes travel.
    pub message_mode: MessageMode,
    /// Where pushes go, whole: `http://127.0.0.1:8081/wechat/callback`.
    pub callback_url: String,
    /// Where phones reach this simulator, without the slash at the end: QR codes lead to `PUBLIC_URL/q/ID`.
    pub public_url: String,
}

impl Config {
    /// A made-up account in safe mode, for a process that plays both sides and needs no settings.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn random(
        callback_url: impl Into<String>,
        public_url: impl Into<String>,
    ) -> Result<Self, crate::Error> {
        Ok(Self {
            app_id: format!("wx{}", random::hex::<8>()?),
            app_secret: random::hex::<16>()?,
            original_id: Self::random_original_id()?,
            token: random::alphanumeric(32)?,
            encoding_aes_keys: vec![random::alphanumeric(43)?],
            message_mode: MessageMode::Safe,
            callback_url: callback_url.into(),
            public_url: public_url.into(),
        })
    }

    /// A made-up `gh_…` id, for an account whose settings name none.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn random_original_id() -> Result<String, crate::Error> {
        Ok(format!("gh_{}", random::hex::<6>()?))
    }

    /// Whether the settings fit together, before a [`crate::Simulator`] is made of them.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub fn check(&self) -> Result<(), crate::Error> {
        Account::new(self.clone()).map(drop)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("app_id", &self.app_id)
            .field("original_id", &self.original_id)
            .field("message_mode", &self.message_mode)
            .field("callback_url", &self.callback_url)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let config = Config::random("http://127.0.0.1:1/cb", "http://127.0.0.1:2").unwrap();
        let shown = format!("{config:?}");
        for secret in [&config.app_secret, &config.token, &config.encoding_aes_keys[0]] {
            assert!(!shown.contains(secret.as_str()));
        }
    }
}
