//! `POST /simulator/scan`: somebody points a phone at a QR code.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;

use super::{NotPushed, Outcome, Problem, person, read};
use crate::codes::{Code, Found};
use crate::people::Act;
use crate::push::delivery::Delivery;
use crate::push::message::Message;
use crate::{Simulator, clock};

/// A follow that comes later after the scan has lost its scene: as users measured, at five minutes.
const SCENE_LOST_AFTER: u64 = 300;

/// `{"content":"http://…/q/02…"}`, and what else a test may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scan {
    /// The text inside the QR code, byte for byte.
    content: String,
    /// Who scans; somebody new if left out.
    #[serde(default)]
    openid: Option<String>,
    /// Whether they follow the account already. A follower's scan is pushed as SCAN; anybody else sees the follow page first.
    #[serde(default = "yes")]
    follower: bool,
    /// Whether somebody who sees the follow page taps follow. Only that is pushed, as subscribe; the scan alone is not.
    #[serde(default = "yes")]
    follows: bool,
    /// How long they looked at the follow page. From 300 seconds on, the event has lost its scene and ticket.
    #[serde(default)]
    follow_after_seconds: u64,
    /// The person's id across accounts, as `user/info` tells it from now on.
    #[serde(default)]
    unionid: Option<String>,
}

fn yes() -> bool {
    true
}

/// Scans, follows if need be, and answers what the phone shows.
pub(super) async fn scan(State(simulator): State<Simulator>, body: Bytes) -> Result<Json<Outcome>, Problem> {
    let scan: Scan = read(&body)?;
    let openid = person(scan.openid.clone())?;
    let now = simulator.now();
    // The scan itself lies as far back as the person looked at the follow page.
    let looked = if scan.follower { 0 } else { scan.follow_after_seconds };
    let found = simulator.codes().find(&scan.content, now.saturating_sub(looked));
    let code = match found {
        Found::Live(code) => code,
        Found::Expired => return Ok(nothing_pushed(openid, NotPushed::Expired)),
        Found::Unknown => return Err(Problem::UnknownContent),
    };
    if let Some(unionid) = &scan.unionid {
        let plausible = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if unionid.is_empty() || unionid.len() > 64 || !unionid.bytes().all(plausible) {
            return Err(Problem::Malformed(
                "unionid has 1 to 64 letters, digits, dashes and underscores".to_owned(),
            ));
        }
        simulator.people().unite(&openid, unionid.clone());
    }
    if scan.follower {
        return scan_as_follower(&simulator, &openid, &code).await.map(Json);
    }
    simulator.people().unfollow(&openid);
    if !scan.follows {
        return Ok(nothing_pushed(openid, NotPushed::NotFollowed));
    }
    let through = (looked < SCENE_LOST_AFTER).then_some(&code);
    follow(&simulator, &openid, through).await.map(Json)
}

async fn scan_as_follower(simulator: &Simulator, openid: &str, code: &Code) -> Result<Outcome, Problem> {
    {
        let (now, mut people) = (simulator.now(), simulator.people());
        people.assume_follower(openid, now);
        people.act(openid, Act::Scanned, now);
    }
    let (account, at) = (simulator.account(), clock::system_time());
    let ticket = simulator.codes().ticket(code);
    let message = Message::event(&account.original_id, openid, at, "SCAN", Some(&code.scene.key));
    simulator.push(&message.text_node("Ticket", &ticket), openid, "SCAN", None).await
}

/// The tap on follow, with the code that led there unless that was too long ago.
async fn follow(simulator: &Simulator, openid: &str, through: Option<&Code>) -> Result<Outcome, Problem> {
    let scene = through.map(|code| (code.scene.key.clone(), code.scene.number));
    let now = simulator.now();
    simulator.people().follow(openid, scene, now);
    let (account, at) = (simulator.account(), clock::system_time());
    let event = |key: &str| Message::event(&account.original_id, openid, at, "subscribe", Some(key));
    let message = match through {
        None => event(""),
        Some(code) => {
            let ticket = simulator.codes().ticket(code);
            event(&format!("qrscene_{}", code.scene.key)).text_node("Ticket", &ticket)
        }
    };
    simulator.push(&message, openid, "subscribe", None).await
}

fn nothing_pushed(openid: String, why: NotPushed) -> Json<Outcome> {
    Json(Outcome { openid, event: None, not_pushed: Some(why), delivery: Delivery::nothing() })
}
