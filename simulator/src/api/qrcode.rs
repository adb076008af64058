//! `POST /cgi-bin/qrcode/create` (docs/wechat.md, "QR codes").

use serde_json::{Map, Value, json};

use super::call::Call;
use super::error::Refusal;
use crate::Simulator;
use crate::codes::{self, Scene};

/// Life of a temporary code that names none, as the present page says; older pages say 30.
const DEFAULT_SECONDS: u32 = 60;
/// Thirty days.
const MAX_SECONDS: u32 = 2_592_000;
/// Characters of a string scene.
const SCENE_MAX: usize = 64;

/// Makes a code. The one deliberate difference from the platform: the text in the picture is this simulator's address, so
/// that a phone's browser that reads it lands on the phone page.
pub(super) fn create(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_post()?;
    call.must_be_authorized(simulator)?;
    let body = call.json()?;
    let (kind, permanent) = match body.get("action_name").and_then(Value::as_str) {
        Some("QR_SCENE") => (Kind::Number, false),
        Some("QR_STR_SCENE") => (Kind::Text, false),
        Some("QR_LIMIT_SCENE") => (Kind::Number, true),
        Some("QR_LIMIT_STR_SCENE") => (Kind::Text, true),
        _ => return Err(Refusal::INVALID_ACTION_NAME),
    };
    let scene = scene(&body, kind)?;
    let expire_seconds = if permanent { None } else { Some(expire_seconds(&body)?) };
    let now = simulator.now();
    let mut codes = simulator.codes();
    let code = codes.create(scene, expire_seconds, now).map_err(|error| match error {
        codes::Error::Full => Refusal::TOO_MANY_PERMANENT,
        codes::Error::Randomness(_) => Refusal::BUSY,
    })?;
    let mut answer = json!({ "ticket": codes.ticket(&code), "url": codes.url(&code) });
    drop(codes);
    if let Some(seconds) = expire_seconds {
        answer["expire_seconds"] = seconds.into();
    }
    simulator.journal().counters.qr_codes += 1;
    Ok(answer)
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Text,
}

fn scene(body: &Map<String, Value>, kind: Kind) -> Result<Scene, Refusal> {
    let info = body.get("action_info").and_then(Value::as_object).ok_or(Refusal::INVALID_ACTION_INFO)?;
    // Without this wrapper the platform accepts the call, and every scan then reports 0.
    let Some(scene) = info.get("scene") else { return Ok(numbered(0)) };
    let scene = scene.as_object().ok_or(Refusal::INVALID_ACTION_INFO)?;
    match kind {
        Kind::Number => Ok(numbered(clamped(scene.get("scene_id")))),
        Kind::Text => match scene.get("scene_str").and_then(Value::as_str) {
            Some(text) if (1..=SCENE_MAX).contains(&text.chars().count()) => {
                Ok(Scene { key: text.to_owned(), number: 0 })
            }
            _ => Err(Refusal::INVALID_ACTION_INFO),
        },
    }
}

fn numbered(number: u32) -> Scene {
    Scene { key: number.to_string(), number }
}

/// A number that does not fit is accepted, and comes back as the greatest one or, when it is greater still, as 0. Where the
/// second begins is not known; here it is where a 64-bit number ends.
fn clamped(id: Option<&Value>) -> u32 {
    let Some(id) = id.and_then(Value::as_i64).and_then(|id| u64::try_from(id).ok()) else { return 0 };
    u32::try_from(id).unwrap_or(u32::MAX)
}

/// Longer lives are cut to thirty days, and 0 is the default; that the platform does so too is an assumption.
fn expire_seconds(body: &Map<String, Value>) -> Result<u32, Refusal> {
    match body.get("expire_seconds") {
        None => Ok(DEFAULT_SECONDS),
        Some(seconds) => match seconds.as_u64().ok_or(Refusal::NOT_JSON)? {
            0 => Ok(DEFAULT_SECONDS),
            seconds => Ok(u32::try_from(seconds).unwrap_or(MAX_SECONDS).min(MAX_SECONDS)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Kind, body: &Value) -> Result<String, Refusal> {
        scene(body.as_object().unwrap(), kind).map(|scene| scene.key)
    }

    fn with_scene(kind: Kind, scene: &Value) -> Result<String, Refusal> {
        key(kind, &json!({ "action_info": { "scene": scene } }))
    }

    #[test]
    fn a_call_without_the_scene_wrapper_is_accepted_and_reports_0() {
        assert_eq!(key(Kind::Text, &json!({ "action_info": { "scene_str": "abc" } })), Ok("0".to_owned()));
        assert_eq!(key(Kind::Number, &json!({ "action_info": { "scene_id": 7 } })), Ok("0".to_owned()));
        assert_eq!(key(Kind::Text, &json!({})), Err(Refusal::INVALID_ACTION_INFO));
    }

    #[test]
    fn numbers_out_of_range_are_clamped() {
        for (id, expected) in [
            (json!(123), "123"),
            (json!(4_294_967_295_u32), "4294967295"),
            (json!(4_294_967_296_u64), "4294967295"),
            (json!(1e30), "0"),
            (json!(0), "0"),
            (json!(-1), "0"),
        ] {
            assert_eq!(with_scene(Kind::Number, &json!({ "scene_id": id })).unwrap(), expected);
        }
    }

    #[test]
    fn a_string_scene_has_1_to_64_characters() {
        assert_eq!(with_scene(Kind::Text, &json!({ "scene_str": "lg_5f3c9a" })), Ok("lg_5f3c9a".to_owned()));
        assert!(with_scene(Kind::Text, &json!({ "scene_str": "字".repeat(64) })).is_ok());
        for wrong in [json!(""), json!("x".repeat(65)), json!(7), json!(null)] {
            assert_eq!(
                with_scene(Kind::Text, &json!({ "scene_str": wrong })),
                Err(Refusal::INVALID_ACTION_INFO)
            );
        }
    }

    #[test]
    fn expire_seconds_has_a_default_and_a_limit() {
        let seconds = |value: Value| expire_seconds(json!({ "expire_seconds": value }).as_object().unwrap());
        assert_eq!(expire_seconds(&Map::new()), Ok(60));
        assert_eq!(seconds(json!(120)), Ok(120));
        assert_eq!(seconds(json!(9_999_999_999_u64)), Ok(MAX_SECONDS));
        assert_eq!(seconds(json!("120")), Err(Refusal::NOT_JSON));
    }
}
