//! The XML of messages and events (docs/wechat.md, "Pushes").

use std::borrow::Cow;
use std::fmt::Write as _;

/// One message or event, node by node.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    to: String,
    nodes: Vec<(Cow<'static, str>, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(u64),
}

impl Message {
    /// The nodes that all have: to the account's original id, from a person's openid, at a second.
    fn new(to: &str, from: &str, create_time: u64, kind: &str) -> Self {
        let message = Self { to: to.to_owned(), nodes: Vec::new() };
        message
            .text_node("ToUserName", to)
            .text_node("FromUserName", from)
            .number_node("CreateTime", create_time)
            .text_node("MsgType", kind)
    }

    /// An event. `key` is present and empty in many real ones, and `None` where the node is missing altogether. Events have
    /// no MsgId.
    pub(crate) fn event(to: &str, from: &str, create_time: u64, event: &str, key: Option<&str>) -> Self {
        let message = Self::new(to, from, create_time, "event").text_node("Event", event);
        match key {
            Some(key) => message.text_node("EventKey", key),
            None => message,
        }
    }

    /// A text that a person wrote.
    pub(crate) fn text(to: &str, from: &str, create_time: u64, content: &str, id: u64) -> Self {
        Self::new(to, from, create_time, "text").text_node("Content", content).number_node("MsgId", id)
    }

    /// A message of any other type, which has an id too.
    pub(crate) fn other(to: &str, from: &str, create_time: u64, kind: &str, id: u64) -> Self {
        Self::new(to, from, create_time, kind).number_node("MsgId", id)
    }

    /// Adds a node at the end.
    pub(crate) fn text_node(mut self, name: impl Into<Cow<'static, str>>, text: &str) -> Self {
        self.nodes.push((name.into(), Value::Text(text.to_owned())));
        self
    }

    fn number_node(mut self, name: &'static str, number: u64) -> Self {
        self.nodes.push((name.into(), Value::Number(number)));
        self
    }

    /// Whom the message is for.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// The whole document, a line for each node.
    pub(crate) fn xml(&self) -> String {
        format!("<xml>{}\n</xml>", self.nodes())
    }

    /// The nodes alone.
    pub(crate) fn nodes(&self) -> String {
        let mut xml = String::new();
        for (name, value) in &self.nodes {
            if !xml.is_empty() {
                xml.push('\n');
            }
            let _ = match value {
                Value::Text(text) => write!(xml, "<{name}>{}</{name}>", cdata(text)),
                Value::Number(number) => write!(xml, "<{name}>{number}</{name}>"),
            };
        }
        xml
    }
}

/// Text as the platform writes it; the one thing that it must not hold is split over two sections.
pub(crate) fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::cipher::tests::vectors;

    /// The vectors S1 and S2 hold both scan events as the platform writes them.
    #[test]
    fn scan_events_look_as_recorded() {
        let (account, openid) = ("gh_5e1f0a9b7c2d", "oSim0_1a2B3c4D5e6F7g8H9i0JkL");
        let ticket = "gQFm7zwAAAAAAAAAAS5odHRwOi8vd2VpeGluLnFxLmNvbS9xLzAyU2ltdUxhdG9yRGVtb1FyMDAwMDEAAgTAcyFpAwQsAQAA";
        let recorded = |id: &str| vectors().into_iter().find(|v| v.id == id).unwrap().plaintext.unwrap();
        let follow = Message::event(account, openid, 1_763_800_030, "subscribe", Some("qrscene_lg_5f3c9a"));
        assert_eq!(follow.text_node("Ticket", ticket).xml(), recorded("S1"));
        let scan = Message::event(account, openid, 1_763_800_042, "SCAN", Some("lg_5f3c9a"));
        assert_eq!(scan.text_node("Ticket", ticket).xml(), recorded("S2"));
    }

    #[test]
    fn a_text_that_ends_its_own_section_is_split() {
        assert_eq!(cdata("a]]>b"), "<![CDATA[a]]]]><![CDATA[>b]]>");
        let text = Message::text("gh_1", "o1", 7, "你好 👋 ", 24_866_000_000_000_001).xml();
        assert!(
            text.ends_with(
                "<Content><![CDATA[你好 👋 ]]></Content>\n<MsgId>24866000000000001</MsgId>\n</xml>"
            )
        );
    }
}
