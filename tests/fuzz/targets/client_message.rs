//! A browser's message: the same whatever else stands in it and however it is spelled.

#![no_main]

use gateway::protocol::ClientMessage;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let kind =
        value.as_ref().filter(|value| value.is_object()).and_then(|value| value["message_type"].as_str());
    let expected =
        kind.map(|kind| if kind == "refresh" { ClientMessage::Refresh } else { ClientMessage::Unknown });
    let message = ClientMessage::parse(text);
    assert_eq!(message, expected);
    if message.is_none() {
        return;
    }
    let more = text.trim_start_matches([' ', '\t', '\r', '\n']).replacen('{', r#"{"later":[{}],"#, 1);
    assert_eq!(ClientMessage::parse(&format!("\t{more}\r\n ")), message, "{more}");
    assert_eq!(ClientMessage::parse(&value.unwrap().to_string()), message);
    assert_eq!(ClientMessage::parse(&format!("{text}{text}")), None, "two are none");
    assert_eq!(ClientMessage::parse(&format!("[{text}]")), None);
});
