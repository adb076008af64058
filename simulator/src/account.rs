//! The account as the parts need it: settings that were checked.

use reqwest::Url;

use crate::push::cipher::Key;
use crate::{Config, Error, MessageMode};

/// A QR code's ticket has one byte for the length of its text, and `/q/` and the id need 28 characters of it.
const PUBLIC_URL_MAX: usize = 180;

/// A [`Config`] whose parts fit together.
pub(crate) struct Account {
    pub(crate) app_id: String,
    pub(crate) app_secret: String,
    pub(crate) original_id: String,
    pub(crate) token: String,
    pub(crate) mode: MessageMode,
    /// Newest first; empty in plain mode, never otherwise.
    keys: Vec<Key>,
    pub(crate) callback_url: Url,
    /// Without a slash at the end.
    pub(crate) public_url: String,
}

impl Account {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let plausible = config.token.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plausible || !(3..=32).contains(&config.token.len()) {
            return Err(Error::MalformedToken);
        }
        match (config.message_mode, config.encoding_aes_keys.is_empty()) {
            (MessageMode::Plain, false) => return Err(Error::UnwantedKey),
            (MessageMode::Safe | MessageMode::Compatible, true) => return Err(Error::MissingKey),
            _ => {}
        }
        let keys = config.encoding_aes_keys.iter().map(|key| Key::new(key).ok_or(Error::MalformedKey));
        let callback_url = web_url(&config.callback_url).ok_or(Error::MalformedCallbackUrl)?;
        let public_url = config.public_url.trim_end_matches('/').to_owned();
        let plain = web_url(&public_url).is_some_and(|url| url.query().is_none() && url.fragment().is_none());
        if !plain || public_url.len() > PUBLIC_URL_MAX {
            return Err(Error::MalformedPublicUrl);
        }
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            app_id: config.app_id,
            app_secret: config.app_secret,
            original_id: config.original_id,
            token: config.token,
            mode: config.message_mode,
            callback_url,
            public_url,
        })
    }

    /// The key of new pushes; `None` in plain mode.
    pub(crate) fn newest_key(&self) -> Option<&Key> {
        self.keys.first()
    }

    /// Every key that an answer may come in.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::random("http://127.0.0.1:1/cb", "http://127.0.0.1:2/").unwrap()
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        let refused = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            Account::new(config).err().unwrap()
        };
        assert!(matches!(refused(|c| c.token.clear()), Error::MalformedToken));
        assert!(matches!(refused(|c| c.token = "with-dash".into()), Error::MalformedToken));
        assert!(matches!(refused(|c| c.message_mode = MessageMode::Plain), Error::UnwantedKey));
        assert!(matches!(refused(|c| c.encoding_aes_keys.clear()), Error::MissingKey));
        assert!(matches!(refused(|c| c.encoding_aes_keys[0].truncate(42)), Error::MalformedKey));
        assert!(matches!(refused(|c| c.callback_url = "callback".into()), Error::MalformedCallbackUrl));
        assert!(matches!(refused(|c| c.public_url = "ftp://x".into()), Error::MalformedPublicUrl));
        assert_eq!(Account::new(config()).unwrap().public_url, "http://127.0.0.1:2");
    }
}
