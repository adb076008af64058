//! Passive replies (docs/wechat.md, "Replies"): the XML with which the account's server may answer a push.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;

use super::verdict::Bad;

/// About where the platform stops; measured by users, not documented.
const TEXT_MAX: usize = 2048;
/// Articles in one message.
const ARTICLES_MAX: usize = 8;

/// The encrypted envelope.
pub(crate) struct Envelope {
    pub(crate) encrypt: String,
    pub(crate) msg_signature: String,
    pub(crate) time_stamp: String,
    pub(crate) nonce: String,
}

/// The envelope's nodes, any of which may be missing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Nodes {
    encrypt: Option<String>,
    msg_signature: Option<String>,
    time_stamp: Option<String>,
    nonce: Option<String>,
}

/// A reply's nodes; names are case-sensitive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    to_user_name: Option<String>,
    from_user_name: Option<String>,
    create_time: Option<String>,
    msg_type: Option<String>,
    content: Option<String>,
    articles: Option<Articles>,
}

#[derive(Deserialize)]
struct Articles {
    #[serde(default)]
    item: Vec<Article>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Article {
    title: Option<String>,
}

/// The reply's text as the phone shows it; `None` for a reply that shows nothing.
pub(crate) fn read(xml: &str, original_id: &str, openid: &str) -> Result<Option<String>, Bad> {
    document(xml)?;
    let reply: Reply = quick_xml::de::from_str(xml).map_err(|_| Bad::NotXml)?;
    let kind = reply.msg_type.as_deref().ok_or(Bad::NoMsgType)?;
    if kind == "event" {
        return Err(Bad::EchoedEvent);
    }
    let (to, from) = (reply.to_user_name.as_deref(), reply.from_user_name.as_deref());
    if to == Some(original_id) && from == Some(openid) {
        return Err(Bad::NotSwapped);
    }
    if to != Some(openid) || from != Some(original_id) {
        return Err(Bad::NotAddressed);
    }
    seconds(reply.create_time.as_deref().unwrap_or_default())?;
    match kind {
        "text" => match reply.content {
            Some(text) if text.len() > TEXT_MAX => Err(Bad::TooLong),
            Some(text) if !text.trim().is_empty() => Ok(Some(text)),
            _ => Err(Bad::EmptyContent),
        },
        "news" => {
            let items = reply.articles.map(|articles| articles.item).unwrap_or_default();
            match items.first().and_then(|article| article.title.as_deref()) {
                Some(title) if items.len() <= ARTICLES_MAX => Ok(Some(format!("[news] {title}"))),
                _ => Err(Bad::NoArticles),
            }
        }
        "image" | "voice" | "video" | "music" => Ok(Some(format!("[{kind}]"))),
        "transfer_customer_service" => Ok(None),
        _ => Err(Bad::UnknownMsgType),
    }
}

/// The envelope of an encrypted reply, if that is what this is.
pub(crate) fn envelope(xml: &str) -> Result<Option<Envelope>, Bad> {
    document(xml)?;
    let nodes: Nodes = quick_xml::de::from_str(xml).map_err(|_| Bad::NotXml)?;
    let Some(encrypt) = nodes.encrypt else { return Ok(None) };
    let (Some(msg_signature), Some(time_stamp), Some(nonce)) =
        (nodes.msg_signature, nodes.time_stamp, nodes.nonce)
    else {
        return Err(Bad::Envelope);
    };
    seconds(&time_stamp)?;
    Ok(Some(Envelope { encrypt, msg_signature, time_stamp, nonce }))
}

/// One `<xml>` element, and nothing around it but an XML declaration.
fn document(xml: &str) -> Result<(), Bad> {
    let mut reader = Reader::from_str(xml);
    let (mut depth, mut roots) = (0_usize, 0);
    loop {
        match reader.read_event().map_err(|_| Bad::NotXml)? {
            Event::Start(start) if depth > 0 || (roots == 0 && start.name().as_ref() == "xml") => {
                roots += usize::from(depth == 0);
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(text) if depth > 0 || text.trim().is_empty() => {}
            Event::Empty(_) | Event::CData(_) | Event::GeneralRef(_) | Event::Comment(_) if depth > 0 => {}
            Event::Decl(_) => {}
            Event::Eof if roots == 1 && depth == 0 => return Ok(()),
            _ => return Err(Bad::NotXml),
        }
    }
}

/// Ten digits; milliseconds have thirteen.
fn seconds(text: &str) -> Result<(), Bad> {
    if text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit()) { Ok(()) } else { Err(Bad::NotSeconds) }
}
