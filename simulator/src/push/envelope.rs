//! How a message travels in each mode (docs/wechat.md, "Encryption"): the query and the body of a push. A test may ask
//! for one that was tampered with, which the account's server has to refuse.

use serde::Deserialize;

use super::cipher::{Key, Padding};
use super::message::{Message, cdata};
use super::signature::sign;
use crate::account::Account;
use crate::{MessageMode, random};

/// A push as it goes over the wire; every repeat of it is identical.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// What is wrong with a push that the platform never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tampered {
    /// `signature` does not fit.
    Signature,
    /// `msg_signature` does not fit.
    MsgSignature,
    /// No signature is there at all.
    Unsigned,
    /// The encrypted part names another app id.
    AppId,
    /// The encrypted part is closed up wrongly, with a signature that fits.
    Padding,
    /// In the clear and without `encrypt_type`, whatever the mode.
    Downgraded,
    /// As `downgraded`, but with `encrypt_type` and `msg_signature` still in the query.
    PlainBody,
    /// Signed long ago: the timestamp is a day old.
    Stale,
    /// Addressed to another account.
    ToUser,
    /// With a DOCTYPE and an entity.
    Doctype,
}

/// A day and a minute, beyond every window for clocks.
const STALE: u64 = 86_400 + 60;

/// Wraps `message`, from `openid`, for the account's server.
pub(crate) fn wrap(
    account: &Account,
    message: &Message,
    openid: &str,
    timestamp: u64,
    tampered: Option<Tampered>,
) -> Result<Push, random::Error> {
    let is = |kind| tampered == Some(kind);
    let timestamp = if is(Tampered::Stale) { timestamp.saturating_sub(STALE) } else { timestamp }.to_string();
    let nonce = random::nonce()?;
    let mut xml = message.xml();
    if is(Tampered::Doctype) {
        xml = format!("<!DOCTYPE xml [<!ENTITY e \"e\">]>{xml}");
    }
    let mut query = Vec::new();
    if !is(Tampered::Unsigned) {
        query.push((
            "signature",
            spoiled(sign(&[&account.token, &timestamp, &nonce]), is(Tampered::Signature)),
        ));
    }
    query.extend([("timestamp", timestamp.clone()), ("nonce", nonce.clone()), ("openid", openid.to_owned())]);

    let Some(key) = account.newest_key().filter(|_| !is(Tampered::Downgraded)) else {
        return Ok(Push { query, body: xml });
    };
    let encrypted = encrypt(account, key, &xml, tampered)?;
    query.push(("encrypt_type", "aes".to_owned()));
    if !is(Tampered::Unsigned) {
        let signature = sign(&[&account.token, &timestamp, &nonce, &encrypted]);
        query.push(("msg_signature", spoiled(signature, is(Tampered::MsgSignature))));
    }
    let body = match account.mode {
        _ if is(Tampered::PlainBody) => xml,
        MessageMode::Compatible => {
            format!("<xml>{}\n<Encrypt>{}</Encrypt>\n</xml>", message.nodes(), cdata(&encrypted))
        }
        MessageMode::Safe | MessageMode::Plain => format!(
            "<xml><ToUserName>{}</ToUserName><Encrypt>{}</Encrypt></xml>",
            cdata(message.to()),
            cdata(&encrypted)
        ),
    };
    Ok(Push { query, body })
}

fn encrypt(
    account: &Account,
    key: &Key,
    xml: &str,
    tampered: Option<Tampered>,
) -> Result<String, random::Error> {
    let receiver =
        if tampered == Some(Tampered::AppId) { "wx00000000000000ff" } else { account.app_id.as_str() };
    let padding = if tampered == Some(Tampered::Padding) { Padding::Wrong } else { Padding::Right };
    Ok(key.encrypt(random::bytes()?, xml.as_bytes(), receiver, padding))
}

/// The same signature with its last digit changed.
fn spoiled(mut signature: String, spoil: bool) -> String {
    if spoil && let Some(last) = signature.pop() {
        signature.push(if last == '0' { '1' } else { '0' });
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn account(mode: MessageMode) -> Account {
        let mut config = Config::random("http://127.0.0.1:1/cb", "http://127.0.0.1:2").unwrap();
        config.message_mode = mode;
        if mode == MessageMode::Plain {
            config.encoding_aes_keys.clear();
        }
        Account::new(config).unwrap()
    }

    fn message() -> Message {
        Message::event("gh_1", "o1", 1_763_800_042, "SCAN", Some("scene"))
    }

    fn value<'a>(push: &'a Push, name: &str) -> Option<&'a str> {
        push.query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn each_mode_sends_the_parameters_and_nodes_that_it_should() {
        let encrypted_part = |body: &str| {
            let start = body.find("<Encrypt><![CDATA[").unwrap() + 18;
            body[start..start + body[start..].find("]]>").unwrap()].to_owned()
        };
        for mode in [MessageMode::Plain, MessageMode::Compatible, MessageMode::Safe] {
            let account = account(mode);
            let push = wrap(&account, &message(), "o1", 1_763_800_042, None).unwrap();
            let (timestamp, nonce) = (value(&push, "timestamp").unwrap(), value(&push, "nonce").unwrap());
            assert_eq!(value(&push, "signature").unwrap(), sign(&[&account.token, timestamp, nonce]));
            assert_eq!(value(&push, "openid"), Some("o1"));
            assert_eq!(push.body.contains("<FromUserName>"), mode != MessageMode::Safe);
            if mode == MessageMode::Plain {
                assert_eq!(push.body, message().xml());
                assert_eq!((value(&push, "encrypt_type"), value(&push, "msg_signature")), (None, None));
                continue;
            }
            let encrypted = encrypted_part(&push.body);
            assert_eq!(value(&push, "encrypt_type"), Some("aes"));
            let signature = sign(&[&account.token, timestamp, nonce, &encrypted]);
            assert_eq!(value(&push, "msg_signature").unwrap(), signature);
            let opened = account.newest_key().unwrap().decrypt(&encrypted).unwrap();
            assert_eq!(opened.message, message().xml().into_bytes());
            assert_eq!(opened.receiver, account.app_id);
        }
    }

    #[test]
    fn a_downgraded_push_is_in_the_clear_and_names_no_mode() {
        let account = account(MessageMode::Safe);
        let push = wrap(&account, &message(), "o1", 1, Some(Tampered::Downgraded)).unwrap();
        assert_eq!(push.body, message().xml());
        assert_eq!(value(&push, "encrypt_type"), None);
        let push = wrap(&account, &message(), "o1", 1_763_800_042, Some(Tampered::Stale)).unwrap();
        assert_eq!(value(&push, "timestamp"), Some("1763713582"));
    }
}
