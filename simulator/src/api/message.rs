//! `POST /cgi-bin/message/custom/send` (docs/wechat.md, "Customer-service messages").

use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use super::user::is_openid;
use crate::Simulator;

/// About where the platform stops; measured by users, not documented.
const TEXT_MAX: usize = 2048;
const TYPES: [&str; 12] = [
    "text",
    "image",
    "voice",
    "video",
    "music",
    "news",
    "mpnews",
    "mpnewsarticle",
    "msgmenu",
    "wxcard",
    "miniprogrampage",
    "location",
];

/// Sends a message to somebody who did something lately.
pub(super) fn send(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_post()?;
    call.must_be_authorized(simulator)?;
    let body = call.json()?;
    let openid = body.get("touser").and_then(Value::as_str).filter(|openid| is_openid(openid));
    let openid = openid.ok_or(Refusal::INVALID_OPENID)?;
    let kind = body.get("msgtype").and_then(Value::as_str).filter(|kind| TYPES.contains(kind));
    if kind.ok_or(Refusal::INVALID_MESSAGE_TYPE)? == "text" {
        let text =
            body.get("text").and_then(|text| text.get("content")).and_then(Value::as_str).unwrap_or_default();
        match text.len() {
            0 => return Err(Refusal::EMPTY_TEXT),
            1..=TEXT_MAX => {}
            _ => return Err(Refusal::TEXT_TOO_LONG),
        }
    }
    let now = simulator.now();
    simulator.people().write_to(openid, now)?;
    simulator.journal().counters.custom_messages += 1;
    Ok(json!({ "errcode": 0, "errmsg": "ok" }))
}
