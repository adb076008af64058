//! `POST /simulator/push`: any other event or message, and pushes that the platform would never send.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Deserializer};

use super::{Outcome, Problem, find, person, read};
use crate::codes::Code;
use crate::people::Act;
use crate::push::envelope::Tampered;
use crate::push::message::Message;
use crate::{Simulator, clock, random};

/// Longest name of an event, type or node.
const NAME_MAX: usize = 64;
/// Another account, for pushes that are addressed wrongly.
const FOREIGN_ACCOUNT: &str = "gh_000000000000";

/// One of `event`, `text` and `msg_type`, and what goes with it:
/// `{"event":"subscribe"}` follows by search, `{"event":"unsubscribe","openid":"o…"}` leaves, `{"text":"你好"}` writes,
/// `{"event":"CLICK","event_key":"menu"}`, `{"msg_type":"image","nodes":{"PicUrl":"…","MediaId":"…"}}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPush {
    /// Who acts; somebody new if left out.
    #[serde(default)]
    openid: Option<String>,
    #[serde(default)]
    event: Option<String>,
    /// Empty if left out, as in real events; null leaves the node out.
    #[serde(default, deserialize_with = "present")]
    event_key: Option<Option<String>>,
    #[serde(default)]
    ticket: Option<String>,
    /// A QR code's text, live or not: it fills in the key and the ticket that are left out.
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    msg_type: Option<String>,
    /// More nodes with text in them, by name.
    #[serde(default)]
    nodes: BTreeMap<String, String>,
    /// Unix seconds; now if left out.
    #[serde(default)]
    create_time: Option<u64>,
    /// What is wrong with the push.
    #[serde(default)]
    tampered: Option<Tampered>,
}

/// Pushes it, and answers as a scan does.
pub(super) async fn push(State(simulator): State<Simulator>, body: Bytes) -> Result<Json<Outcome>, Problem> {
    let raw: RawPush = read(&body)?;
    raw.check()?;
    let openid = person(raw.openid.clone())?;
    let code = raw.content.as_deref().map(|content| find(&simulator, content)).transpose()?;
    remember(&simulator, &raw, &openid, code.as_ref());
    let (message, name) = raw.message(&simulator, &openid, code.as_ref())?;
    let mut outcome = simulator.push(&message, &openid, name, raw.tampered).await?;
    if raw.leaves() {
        // Whoever left sees neither an answer nor the fault line.
        (outcome.delivery.shown, outcome.delivery.fault) = (None, false);
    }
    Ok(Json(outcome))
}

impl RawPush {
    fn check(&self) -> Result<(), Problem> {
        let kinds = [&self.event, &self.text, &self.msg_type].into_iter().flatten().count();
        if kinds != 1 {
            return Err(Problem::Malformed("exactly one of event, text and msg_type is needed".to_owned()));
        }
        let of_events = self.event_key.is_some() || self.ticket.is_some() || self.content.is_some();
        if of_events && self.event.is_none() {
            return Err(Problem::Malformed("event_key, ticket and content go with event".to_owned()));
        }
        let named = |name: &String| (1..=NAME_MAX).contains(&name.len());
        if ![&self.event, &self.msg_type].into_iter().flatten().all(named) {
            return Err(Problem::Malformed("event and msg_type have 1 to 64 bytes".to_owned()));
        }
        let tag = |name: &String| {
            named(name)
                && name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !self.nodes.keys().all(tag) {
            return Err(Problem::Malformed(
                "a node's name has 1 to 64 letters, digits and underscores".to_owned(),
            ));
        }
        Ok(())
    }

    fn is(&self, event: &str) -> bool {
        self.event.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(event))
    }

    fn leaves(&self) -> bool {
        self.is("unsubscribe")
    }

    /// The message, and its name for the log.
    fn message(
        &self,
        simulator: &Simulator,
        openid: &str,
        code: Option<&Code>,
    ) -> Result<(Message, &str), Problem> {
        let at = self.create_time.unwrap_or_else(clock::system_time);
        let account = match self.tampered {
            Some(Tampered::ToUser) => FOREIGN_ACCOUNT,
            _ => &simulator.account().original_id,
        };
        let (mut message, name) = if let Some(text) = &self.text {
            (Message::text(account, openid, at, text, message_id()?), "text")
        } else if let Some(kind) = &self.msg_type {
            (Message::other(account, openid, at, kind, message_id()?), kind.as_str())
        } else {
            let event = self.event.as_deref().unwrap_or_default();
            let key = match (&self.event_key, code) {
                (Some(key), _) => key.clone(),
                (None, Some(code)) if self.is("subscribe") => Some(format!("qrscene_{}", code.scene.key)),
                (None, Some(code)) => Some(code.scene.key.clone()),
                (None, None) => Some(String::new()),
            };
            (Message::event(account, openid, at, event, key.as_deref()), event)
        };
        let ticket = self.ticket.clone().or_else(|| code.map(|code| simulator.codes().ticket(code)));
        if let Some(ticket) = ticket {
            message = message.text_node("Ticket", &ticket);
        }
        for (name, text) in &self.nodes {
            message = message.text_node(name.clone(), text);
        }
        Ok((message, name))
    }
}

/// What the act changes for the API's other calls.
fn remember(simulator: &Simulator, raw: &RawPush, openid: &str, code: Option<&Code>) {
    let (now, mut people) = (simulator.now(), simulator.people());
    if raw.is("subscribe") {
        people.follow(openid, code.map(|code| (code.scene.key.clone(), code.scene.number)), now);
    } else if raw.leaves() {
        people.unfollow(openid);
    } else {
        people.assume_follower(openid, now);
        match () {
            () if raw.is("SCAN") => people.act(openid, Act::Scanned, now),
            () if raw.is("CLICK") => people.act(openid, Act::TappedMenu, now),
            () if raw.event.is_none() => people.act(openid, Act::Wrote, now),
            () => {}
        }
    }
}

/// Real ones do not fit into a double.
fn message_id() -> Result<u64, random::Error> {
    let [a, b, c, d] = random::bytes()?;
    Ok(24_866_000_000_000_001 + u64::from(u32::from_be_bytes([a, b, c, d])))
}

/// Tells null from a field that is left out.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}
