//! From a document to a message: what is read is what is there, survives being written again, and can be answered.

#![no_main]

use callback::message::{Fields, Kind, Message};
use callback::{reply, xml};
use fuzz::xml::{Reading, read as second};
use libfuzzer_sys::fuzz_target;
use shared::login::{Scene, Ticket};

const WANTED: [&str; 10] = [
    "ToUserName",
    "FromUserName",
    "MsgType",
    "Event",
    "EventKey",
    "Ticket",
    "Encrypt",
    "CreateTime",
    "MsgId",
    "Content",
];

fuzz_target!(|document: &[u8]| {
    let fields = Fields::read(document);
    let other = second(document, WANTED);
    if let Reading::Fields(texts) = &other {
        let odd = texts[..7].iter().flatten().any(|text| trim(text).chars().any(char::is_control));
        assert_eq!(fields.is_err(), odd, "{texts:?}");
    }
    let Ok(fields) = fields else { return };
    let Ok(message) = Message::read(&fields) else { return };
    assert!(fields.is_plain());
    let graphic =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    assert!(graphic(&message.to, 64) && graphic(message.from.expose(), 512));
    if let Reading::Fields([to, from, kind, event, key, ticket, ..]) = &other {
        assert_eq!(
            (to.as_deref().map(trim), from.as_deref().map(trim)),
            (Some(&*message.to), Some(message.from.expose()))
        );
        let texts = [kind, event, key, ticket].map(|text| trim(text.as_deref().unwrap_or_default()));
        assert_eq!(summary(&message.kind), expected(texts), "{texts:?}");
    }
    let again = write(&message);
    let mut written = message.clone();
    if let Kind::Scan { ticket, .. } = &mut written.kind {
        *ticket = ticket.take().and(Ticket::parse("t"));
    }
    assert_eq!(
        Fields::read(again.as_bytes()).and_then(|fields| Message::read(&fields)),
        Ok(written),
        "{again}"
    );
    let answer = reply::text(message.from.expose(), &message.to, 1_763_800_031, "]]>");
    let [to, from] = xml::read(answer.as_bytes(), ["ToUserName", "FromUserName"]).unwrap();
    assert_eq!((to.as_deref(), from.as_deref()), (Some(message.from.expose()), Some(&*message.to)));
});

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// What happened, by docs/wechat.md, "Events".
fn expected([kind, event, key, ticket]: [&str; 4]) -> (&str, Option<String>, bool) {
    let scan = |name, scene: &str| {
        // Two ids of 16 bytes in their one spelling: each ends in a character that carries two bits.
        let is_id = |id: &str| {
            id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                && id.ends_with(['A', 'Q', 'g', 'w'])
        };
        let scene = scene
            .split_at_checked(22)
            .filter(|(login, nonce)| nonce.len() == 22 && is_id(login) && is_id(nonce));
        let ticket = (1..=512).contains(&ticket.len()) && ticket.bytes().all(|b| b.is_ascii_graphic());
        (name, scene.map(|(login, nonce)| format!("{login}{nonce}")), ticket)
    };
    if !kind.eq_ignore_ascii_case("event") {
        return ("message", None, false);
    }
    match &*event.to_ascii_lowercase() {
        "scan" => scan("scan", key),
        "subscribe" => match key.strip_prefix("qrscene_") {
            Some(scene) => scan("subscribe by scan", scene),
            None => ("subscribe", None, false),
        },
        "unsubscribe" => ("unsubscribe", None, false),
        _ => ("other", None, false),
    }
}

fn summary(kind: &Kind) -> (&str, Option<String>, bool) {
    match kind {
        Kind::Scan { followed, scene, ticket } => {
            let name = if *followed { "subscribe by scan" } else { "scan" };
            (name, scene.as_ref().map(Scene::expose), ticket.is_some())
        }
        Kind::Follow => ("subscribe", None, false),
        Kind::Unfollow => ("unsubscribe", None, false),
        Kind::Message => ("message", None, false),
        Kind::Other(name) => {
            assert!(
                name.len() <= 64 && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')),
                "{name}"
            );
            ("other", None, false)
        }
    }
}

/// The message as the platform would write it. A ticket has no text to be seen, so any stands in for it.
fn write(message: &Message) -> String {
    let mut ticketed = String::new();
    let (kind, event, key) = match &message.kind {
        Kind::Scan { followed, scene, ticket } => {
            let scene = scene.as_ref().map_or("0".to_owned(), Scene::expose);
            ticketed.push_str(if ticket.is_some() { "<Ticket>t</Ticket>" } else { "" });
            if *followed {
                ("event", "subscribe", format!("qrscene_{scene}"))
            } else {
                ("event", "SCAN", scene)
            }
        }
        Kind::Follow => ("event", "subscribe", String::new()),
        Kind::Unfollow => ("event", "unsubscribe", String::new()),
        Kind::Message => ("text", "", String::new()),
        Kind::Other(name) => ("event", &**name, String::new()),
    };
    let created = message.created.map_or(String::new(), |at| format!("<CreateTime>{at}</CreateTime>"));
    let [to, from] = [&*message.to, message.from.expose()].map(|text| text.replace("]]>", "]]]]><![CDATA[>"));
    format!(
        "<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[{from}]]></FromUserName>\
         {created}<MsgType>{kind}</MsgType><Event>{event}</Event><EventKey>{key}</EventKey>{ticketed}</xml>"
    )
}
