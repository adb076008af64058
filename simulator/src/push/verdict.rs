//! What the platform makes of an answer (docs/wechat.md, "Answers"). Pure: no clock, no network.

use super::{reply, signature};
use crate::MessageMode;
use crate::account::Account;

/// What came back over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Good {
    /// The seven bytes `success`.
    Success,
    /// No bytes at all.
    Empty,
    /// A passive reply, and what the phone shows of it.
    Reply(Option<String>),
}

/// Why an answer is none: the platform tries again, and in the end shows the fault line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bad {
    #[error("the status is {0}: only 200 counts, and a redirect is not followed")]
    Status(u16),
    #[error("the body is larger than any reply")]
    TooLarge,
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("success stands in quotes, as JSON")]
    QuotedSuccess,
    #[error("the body is a JSON document")]
    Json,
    #[error("the body is the serialised absence of a reply")]
    SerialisedNull,
    #[error("the body is an HTML page")]
    Html,
    #[error("a whole HTTP response is printed into the body")]
    HttpInBody,
    #[error("the body begins with a blank, a line end or a byte order mark")]
    LeadingBlank,
    #[error("something follows success")]
    TrailingSuccess,
    #[error("the body is neither success, nor empty, nor one <xml> document")]
    NotXml,
    #[error("the reply is not encrypted, and the mode is safe")]
    NotEncrypted,
    #[error("the reply is encrypted, and the mode is plain")]
    Encrypted,
    #[error("the envelope lacks Encrypt, MsgSignature, TimeStamp or Nonce")]
    Envelope,
    #[error("MsgSignature does not fit")]
    Signature,
    #[error("Encrypt cannot be decrypted with any of the account's keys")]
    Undecryptable,
    #[error("the encrypted part names another app id")]
    AppId,
    #[error("a time is not in seconds")]
    NotSeconds,
    #[error("the pushed event is echoed")]
    EchoedEvent,
    #[error("ToUserName and FromUserName are not swapped")]
    NotSwapped,
    #[error("the reply is not from the account to the person")]
    NotAddressed,
    #[error("MsgType is missing")]
    NoMsgType,
    #[error("there is no reply of that MsgType")]
    UnknownMsgType,
    #[error("Content is empty")]
    EmptyContent,
    #[error("Content is longer than 2048 bytes")]
    TooLong,
    #[error("there are no articles, or more than eight")]
    NoArticles,
}

/// Judges the answer to a push from `openid`.
pub(crate) fn judge(account: &Account, openid: &str, answer: &Answer) -> Result<Good, Bad> {
    if answer.status != 200 {
        return Err(Bad::Status(answer.status));
    }
    let body = std::str::from_utf8(&answer.body).map_err(|_| Bad::NotUtf8)?;
    match body {
        "success" => return Ok(Good::Success),
        "" => return Ok(Good::Empty),
        _ => {}
    }
    not_a_known_mistake(body)?;
    let shown = match (reply::envelope(body)?, account.mode) {
        (Some(_), MessageMode::Plain) => return Err(Bad::Encrypted),
        (None, MessageMode::Safe) => return Err(Bad::NotEncrypted),
        (None, MessageMode::Plain | MessageMode::Compatible) => {
            reply::read(body, &account.original_id, openid)?
        }
        (Some(envelope), MessageMode::Safe | MessageMode::Compatible) => {
            reply::read(&open(account, &envelope)?, &account.original_id, openid)?
        }
    };
    Ok(Good::Reply(shown))
}

/// The answers that others gave and regretted.
fn not_a_known_mistake(body: &str) -> Result<(), Bad> {
    let text = body.trim_start_matches('\u{feff}').trim_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    match text {
        _ if text.trim_end() == "\"success\"" => Err(Bad::QuotedSuccess),
        _ if matches!(text.trim_end(), "null" | "\"null\"" | "\"\"" | "<xml/>" | "<xml></xml>") => {
            Err(Bad::SerialisedNull)
        }
        _ if begins("HTTP/1.") || begins("HTTP/2") => Err(Bad::HttpInBody),
        _ if begins("<!DOCTYPE html") || begins("<html") || begins("<head") || begins("<body") => {
            Err(Bad::Html)
        }
        _ if text.starts_with(['{', '[', '"']) => Err(Bad::Json),
        _ if text.len() != body.len() => Err(Bad::LeadingBlank),
        _ if text.starts_with("success") => Err(Bad::TrailingSuccess),
        _ => Ok(()),
    }
}

/// What is inside an encrypted reply.
fn open(account: &Account, envelope: &reply::Envelope) -> Result<String, Bad> {
    let parts = [&*account.token, &*envelope.time_stamp, &*envelope.nonce, &*envelope.encrypt];
    if signature::sign(&parts) != envelope.msg_signature {
        return Err(Bad::Signature);
    }
    let opened =
        account.keys().iter().find_map(|key| key.decrypt(&envelope.encrypt)).ok_or(Bad::Undecryptable)?;
    if opened.receiver != account.app_id {
        return Err(Bad::AppId);
    }
    String::from_utf8(opened.message).map_err(|_| Bad::NotUtf8)
}

#[cfg(test)]
mod tests;
