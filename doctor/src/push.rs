//! Calls as the platform makes them, signed and wrapped (docs/wechat.md, "Pushes", "Encryption").

use std::time::{SystemTime, UNIX_EPOCH};

use callback::cipher::AesKey;
use callback::signature::Token;
use shared::random;

/// A follower whom nobody is; openids begin with an o.
const NOBODY: &str = "oScanLoginDoctor";
/// An event that the platform does not have, so that it changes nothing, and by which the callback's log shows whose it
/// was.
const EVENT: &str = "scan_login_doctor";
/// The account where its original id is not known. A callback that does not know it either takes any.
const ANY_ACCOUNT: &str = "gh_unknown";
/// A body that no callback can read, so that it is refused for that, once everything before is right.
pub(crate) const UNREADABLE: &str = "scan-login doctor";

/// The parameters of a call.
pub(crate) type Query = Vec<(&'static str, String)>;

/// A query that proves to know the Token.
pub(crate) fn signed(token: &Token) -> Query {
    let (timestamp, nonce) = (now().to_string(), digits(10));
    let signature = token.sign(&timestamp, &nonce);
    vec![("signature", signature), ("timestamp", timestamp), ("nonce", nonce)]
}

/// The query of a verification, and the echostr that is expected back (docs/wechat.md, "URL verification").
pub(crate) fn verification(token: &Token) -> (Query, String) {
    let echostr = digits(19);
    let mut query = signed(token);
    query.push(("echostr", echostr.clone()));
    (query, echostr)
}

/// The query of a push whose encrypted part is this text.
pub(crate) fn signed_encrypted(token: &Token, encrypted: &str) -> Query {
    let mut query = signed(token);
    let (timestamp, nonce) = (query[1].1.clone(), query[2].1.clone());
    query.push(("openid", NOBODY.to_owned()));
    query.push(("encrypt_type", "aes".to_owned()));
    query.push(("msg_signature", token.sign_encrypted(&timestamp, &nonce, encrypted)));
    query
}

/// The fields of an event that changes nothing, in `<xml>`.
pub(crate) fn event(original_id: Option<&str>) -> String {
    format!("<xml>{}</xml>", fields(original_id))
}

/// As [`event`], with the encrypted part beside the fields, as compatible pushes have it.
pub(crate) fn event_beside(original_id: Option<&str>, encrypted: &str) -> String {
    format!("<xml>{}\n<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>", fields(original_id))
}

/// An encrypted part, as safe pushes have it: beside the account, where one is named, and nothing else.
pub(crate) fn envelope(original_id: Option<&str>, encrypted: &str) -> String {
    let to = original_id.map(|id| format!("<ToUserName><![CDATA[{id}]]></ToUserName>\n")).unwrap_or_default();
    format!("<xml>{to}<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>")
}

/// Encrypts for the account.
pub(crate) fn encrypt(key: &AesKey, message: &str, app_id: &str) -> String {
    key.encrypt(random::bytes(), message.as_bytes(), app_id)
}

/// A Token that is not the account's.
pub(crate) fn another_token() -> Token {
    Token::parse(&digits(32)).expect("digits are what a Token may have")
}

fn fields(original_id: Option<&str>) -> String {
    let to = original_id.unwrap_or(ANY_ACCOUNT);
    let now = now();
    format!(
        "<ToUserName><![CDATA[{to}]]></ToUserName>\n<FromUserName><![CDATA[{NOBODY}]]></FromUserName>\n\
         <CreateTime>{now}</CreateTime>\n<MsgType><![CDATA[event]]></MsgType>\n<Event><![CDATA[{EVENT}]]></Event>"
    )
}

/// So many random digits, the first of them not 0.
fn digits(number: usize) -> String {
    let random: [u8; 64] = random::bytes();
    let digit =
        |(place, byte): (usize, &u8)| char::from(if place == 0 { b'1' + byte % 9 } else { b'0' + byte % 10 });
    random.iter().enumerate().map(digit).take(number).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use callback::message::{Fields, Kind, Message};

    use super::*;

    #[test]
    fn the_event_is_one_that_the_callback_ignores() {
        let message = |body: &str| Message::read(&Fields::read(body.as_bytes()).unwrap()).unwrap();
        let known = message(&event(Some("gh_5e1f0a9b7c2d")));
        assert_eq!((known.to.as_str(), known.kind), ("gh_5e1f0a9b7c2d", Kind::Other(EVENT.to_owned())));
        assert_eq!(message(&event(None)).to, ANY_ACCOUNT);
        assert!(Fields::read(UNREADABLE.as_bytes()).is_err());
    }

    #[test]
    fn an_encrypted_part_is_signed_and_found() {
        let token = another_token();
        let key = AesKey::parse("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap();
        let encrypted = encrypt(&key, "hello", "wx0123456789abcdef");
        for body in [envelope(None, &encrypted), event_beside(Some("gh_1"), &encrypted)] {
            assert_eq!(Fields::read(body.as_bytes()).unwrap().encrypted(), Some(encrypted.as_str()));
        }
        let query = signed_encrypted(&token, &encrypted);
        let of = |name| query.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let (timestamp, nonce) = (of("timestamp").unwrap(), of("nonce").unwrap());
        assert!(token.has_signed(timestamp, nonce, of("signature").unwrap()));
        assert!(token.has_signed_encrypted(timestamp, nonce, &encrypted, of("msg_signature").unwrap()));
        assert!(!another_token().has_signed(timestamp, nonce, of("signature").unwrap()));
    }

    #[test]
    fn an_echostr_has_nineteen_digits() {
        let (query, echostr) = verification(&another_token());
        assert!(
            echostr.len() == 19
                && echostr.bytes().all(|byte| byte.is_ascii_digit())
                && !echostr.starts_with('0')
        );
        assert_eq!(query.len(), 4);
    }
}
