//! The reader of the API's answers: total, and of strict JSON it says what the JSON says.

#![no_main]

use gateway::wechat::answer::Answer;
use gateway::wechat::{Error, Person};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::{Map, Value};

/// As the token's call has it, and the QR code's.
#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "access_token", alias = "ticket")]
    text: String,
    expires_in: u64,
}

fuzz_target!(|body: &[u8]| {
    let object = Answer(body.to_vec()).read::<Map<String, Value>>();
    let person = Answer(body.to_vec()).read::<Person>();
    let wanted = Answer(body.to_vec()).read::<Wanted>();
    for error in [object.as_ref().err(), person.as_ref().err(), wanted.as_ref().err()].into_iter().flatten() {
        check(error);
    }
    if let Ok(object) = &object {
        assert!(object.get("errcode").is_none_or(|code| code.as_i64() == Some(0)));
        let text = |name| object.get(name).and_then(Value::as_str);
        let life = object.get("expires_in").and_then(Value::as_u64);
        let fitting = match (object.get("access_token"), object.get("ticket")) {
            (Some(text), None) | (None, Some(text)) => text.as_str().zip(life),
            _ => None,
        };
        assert_eq!(wanted.as_ref().ok().map(|wanted| (&*wanted.text, wanted.expires_in)), fitting);
        if let Ok(person) = &person {
            assert_eq!(
                (person.unionid.as_deref(), person.nickname.as_deref()),
                (text("unionid"), text("nickname"))
            );
        }
    } else {
        assert!(person.is_err() && wanted.is_err(), "a refusal is one whatever was asked for");
    }
    if let Ok(strict) = serde_json::from_slice::<Value>(body) {
        match (strict.as_object(), strict.get("errcode").map(Value::as_i64)) {
            (Some(_), None | Some(Some(0))) => assert_eq!(object.as_ref().ok(), strict.as_object()),
            (Some(_), Some(Some(said))) => {
                assert!(matches!(object, Err(Error::Refused { code, .. }) if code == said));
            }
            (None, _) | (_, Some(None)) => assert!(matches!(object, Err(Error::Unreadable(_)))),
        }
    }
});

/// An error is short and on one line, whatever the platform said, and says when to try again.
fn check(error: &Error) {
    let shown = error.to_string();
    assert!(shown.len() < 1200 && !shown.chars().any(char::is_control), "{shown:?}");
    // 45009 rests until after the midnight of Beijing.
    assert!((1..=86_400 + 300).contains(&error.retry_after().as_secs()), "{error}");
}
