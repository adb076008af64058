//! The platform's part in a scan without the network around it, for a program that pushes by itself.

use reqwest::Url;

use crate::account::Account;
use crate::push::envelope;
use crate::push::message::Message;
use crate::push::verdict::{self, Answer, Bad, Good};
use crate::{Config, Error, clock};

/// Writes one account's pushes, and judges the answers to them.
pub struct Pushes {
    account: Account,
}

/// A push as it goes over the wire. Every repeat of it is identical (docs/wechat.md, "Time and repeats").
#[derive(Clone)]
pub struct Push {
    /// What comes after the question mark of the callback's URL.
    pub query: String,
    /// XML.
    pub body: String,
}

/// An answer that the platform does not accept: it tries again, and in the end the phone shows the fault line.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BadAnswer(#[from] Bad);

impl Pushes {
    /// An account's pushes; its callback URL and public URL are not used.
    ///
    /// # Errors
    ///
    /// The account's settings do not fit together.
    pub fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { account: Account::new(config)? })
    }

    /// The push after a follower has scanned, with the present time in it. `POST /simulator/scenes` tells scene and
    /// ticket.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn scan(&self, openid: &str, scene: &str, ticket: &str) -> Result<Push, Error> {
        let at = clock::system_time();
        let message = Message::event(&self.account.original_id, openid, at, "SCAN", Some(scene));
        let push = envelope::wrap(&self.account, &message.text_node("Ticket", ticket), openid, at, None)?;
        let mut url = self.account.callback_url.clone();
        Url::set_query(&mut url, None);
        url.query_pairs_mut().extend_pairs(&push.query);
        Ok(Push { query: url.query().unwrap_or_default().to_owned(), body: push.body })
    }

    /// What the phone shows after the answer to a push from `openid`; `None` for a good answer that shows nothing.
    ///
    /// # Errors
    ///
    /// The platform would not accept it.
    pub fn shown(&self, openid: &str, status: u16, body: Vec<u8>) -> Result<Option<String>, BadAnswer> {
        Ok(match verdict::judge(&self.account, openid, &Answer { status, body })? {
            Good::Success | Good::Empty => None,
            Good::Reply(shown) => shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageMode;

    #[test]
    fn a_scan_is_signed_encrypted_and_judged_as_the_simulators_own() {
        let mut config = Config::random("http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:2").unwrap();
        let pushes = Pushes::new(config.clone()).unwrap();
        let push = pushes.scan("o1", "scene", "ticket+/=").unwrap();
        let named = |name: &str| push.query.contains(&format!("{name}="));
        assert!(["signature", "timestamp", "nonce", "msg_signature"].iter().all(|name| named(name)));
        assert!(named("openid") && !named("x"), "{}", push.query);
        assert!(push.body.contains("<Encrypt>") && !push.body.contains("ticket"));
        assert_eq!(pushes.shown("o1", 200, b"success".to_vec()).unwrap(), None);
        for bad in [(500, b"success".to_vec()), (200, b"{}".to_vec()), (200, b"<xml></xml>".to_vec())] {
            assert!(pushes.shown("o1", bad.0, bad.1).is_err());
        }
        config.message_mode = MessageMode::Plain;
        config.encoding_aes_keys.clear();
        let push = Pushes::new(config).unwrap().scan("o1", "scene", "ticket+/=").unwrap();
        assert!(push.body.contains("<EventKey><![CDATA[scene]]>") && push.body.contains("ticket+/="));
    }
}
