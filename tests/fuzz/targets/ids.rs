//! The ids: a text is an id exactly when it is the one spelling of its bytes, and then it is that id's text.

#![no_main]

use fuzz::cipher::{from_base64, to_base64};
use libfuzzer_sys::fuzz_target;
use shared::login::{Code, CodeHash, ConnectionId, OpenId, RecordId, Scene, SessionId, Ticket};

fuzz_target!(|text: &str| {
    let is = |parts: &[usize]| is_spelled(text, parts);
    let same = |shown: Option<String>, expected: bool| {
        assert_eq!(shown.is_some(), expected);
        assert!(shown.is_none_or(|shown| shown == text));
    };
    same(SessionId::parse(text).map(|id| id.expose()), is(&[32]));
    same(CodeHash::parse(text).map(|hash| hash.text()), is(&[32]));
    same(RecordId::parse(text).map(|id| id.to_string()), is(&[16]));
    same(ConnectionId::parse(text).map(|id| id.to_string()), is(&[16]));
    same(Scene::parse(text).map(|scene| scene.expose()), is(&[16, 16]));
    same(Code::parse(text).map(|code| code.expose()), is(&[16, 32]));
    let name = (1..=512).contains(&text.len()) && text.chars().all(|c| ('!'..='~').contains(&c));
    same(OpenId::parse(text).map(|id| id.expose().to_owned()), name);
    assert_eq!(Ticket::parse(text).is_some(), name);

    if let Some(scene) = Scene::parse(text) {
        assert_eq!(format!("{}{}", scene.login(), scene.nonce()), text);
        assert!(scene.expose().len() <= 64, "longer than a scene may be");
    }
    if let Some(session) = SessionId::parse(text) {
        let code = session.code();
        assert_eq!(code.login(), session.record_id());
        assert!(Code::parse(&code.expose()).unwrap().hash() == code.hash());
        assert!(CodeHash::parse(&code.hash().text()).unwrap() == code.hash());
        let shown = format!("{session:?}{code:?}{:?}", code.hash());
        assert_eq!(shown, "SessionId(…)Code(…)CodeHash(…)");
    }
    if let (Some(person), Some(ticket)) = (OpenId::parse(text), Ticket::parse(text)) {
        assert!(RecordId::parse(&person.hash()).is_some() && person.hash() == ticket.hash());
        assert_eq!(format!("{person:?}{ticket:?}"), "OpenId(…)Ticket(…)");
    }
});

/// Whether the text is so many bytes, and so many, each in base64url without padding.
fn is_spelled(text: &str, parts: &[usize]) -> bool {
    let mut rest = text;
    for &bytes in parts {
        let Some((part, behind)) = rest.split_at_checked((bytes * 8).div_ceil(6)) else { return false };
        rest = behind;
        if part.contains(['+', '/', '=']) {
            return false;
        }
        let mut padded = part.replace('-', "+").replace('_', "/");
        padded.push_str(&"=".repeat((3 - bytes % 3) % 3));
        if from_base64(&padded).is_none_or(|read| read.len() != bytes || to_base64(&read) != padded) {
            return false;
        }
    }
    rest.is_empty()
}
