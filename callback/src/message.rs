//! A push as a typed message: who it is for, who it is from, and what happened (docs/wechat.md, "Events").

use shared::login::{OpenId, RecordId, Scene, Ticket};

use crate::xml::{self, Malformed};

/// Stands before the scene when the scan made a person follow the account, and only then.
const FOLLOWED_BY_SCAN: &str = "qrscene_";
/// Longest name of an event that is worth a log line.
const EVENT_NAME_MAX: usize = 64;
/// Longest original id that is believed; the platform's have 15 characters.
const ORIGINAL_ID_MAX: usize = 64;

/// The fields of a body, before or after decryption. What a push has beside them is of no interest, and `Content` is
/// here only so that it cannot be doubled: people's texts may hold any character.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    to: Option<String>,
    from: Option<String>,
    kind: Option<String>,
    event: Option<String>,
    event_key: Option<String>,
    ticket: Option<String>,
    encrypted: Option<String>,
    created: Option<String>,
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Not the platform's XML, or a control character in a field that matters.
    pub fn read(document: &[u8]) -> Result<Self, Malformed> {
        let [to, from, kind, event, event_key, ticket, encrypted, created, ..] = xml::read(
            document,
            [
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
            ],
        )?;
        Ok(Self {
            to: clean(to)?,
            from: clean(from)?,
            kind: clean(kind)?,
            event: clean(event)?,
            event_key: clean(event_key)?,
            ticket: clean(ticket)?,
            encrypted: clean(encrypted)?,
            created,
        })
    }

    /// The account's original id. In an encrypted push it stands outside as well, where anybody can write it.
    #[must_use]
    pub fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// The encrypted part; `Some` of nothing for an empty one.
    #[must_use]
    pub fn encrypted(&self) -> Option<&str> {
        self.encrypted.as_deref()
    }

    /// Whether a message can be read without decrypting anything.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.from.is_some() || self.kind.is_some()
    }
}

/// The field without the blanks around it; an empty one is there all the same.
fn clean(field: Option<String>) -> Result<Option<String>, Malformed> {
    let Some(text) = field else { return Ok(None) };
    let text = text.trim_matches(xml::is_blank);
    if text.chars().any(char::is_control) {
        return Err(Malformed("a field has control characters"));
    }
    Ok(Some(text.to_owned()))
}

/// A push that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The account's original id, `gh_…`.
    pub to: String,
    /// Who did it.
    pub from: OpenId,
    /// When, in seconds since 1970 by the platform's clock; `None` where that is not told. Nothing depends on it but what
    /// operators see.
    pub created: Option<u64>,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody scanned a QR code that has a scene, as a follower or becoming one.
    Scan {
        /// Whether the person followed the account by it.
        followed: bool,
        /// `None`: a scene that we cannot have made.
        scene: Option<Scene>,
        /// The QR code's name; `None` when it is missing or cannot be one.
        ticket: Option<Ticket>,
    },
    /// Somebody follows the account, but not by a QR code that has a scene.
    Follow,
    /// Somebody left.
    Unfollow,
    /// Somebody wrote, spoke, or sent a picture: any message that is no event.
    Message,
    /// An event that is not about logging in, by its name in lower case (or `other`).
    Other(String),
}

impl Message {
    /// Reads a message out of the fields.
    ///
    /// # Errors
    ///
    /// A field that every message has is missing, or is not what it must be.
    pub fn read(fields: &Fields) -> Result<Self, Malformed> {
        let to = fields
            .to
            .as_deref()
            .filter(|to| is_original_id(to))
            .ok_or(Malformed("ToUserName is no account's"))?;
        let from =
            fields.from.as_deref().and_then(OpenId::parse).ok_or(Malformed("FromUserName is no person's"))?;
        let kind =
            fields.kind.as_deref().filter(|kind| !kind.is_empty()).ok_or(Malformed("MsgType is missing"))?;
        let kind = if kind.eq_ignore_ascii_case("event") { Kind::of_event(fields)? } else { Kind::Message };
        let created = fields.created.as_deref().and_then(|created| created.trim().parse().ok());
        Ok(Self { to: to.to_owned(), from, created, kind })
    }
}

impl Kind {
    /// Names are compared without regard to case: the platform has changed it before.
    fn of_event(fields: &Fields) -> Result<Self, Malformed> {
        let event =
            fields.event.as_deref().filter(|event| !event.is_empty()).ok_or(Malformed("Event is missing"))?;
        let event = event.to_ascii_lowercase();
        let key = fields.event_key.as_deref().unwrap_or_default();
        let scan = |followed, scene| {
            let ticket = fields.ticket.as_deref().and_then(Ticket::parse);
            Self::Scan { followed, scene: Scene::parse(scene), ticket }
        };
        Ok(match event.as_str() {
            "scan" => scan(false, key),
            // Foreign keys, such as those of people who follow after a payment, are no scenes.
            "subscribe" => key.strip_prefix(FOLLOWED_BY_SCAN).map_or(Self::Follow, |scene| scan(true, scene)),
            "unsubscribe" => Self::Unfollow,
            _ => Self::Other(loggable(event)),
        })
    }

    /// Its name in logs.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Scan { followed: false, .. } => "scan",
            Self::Scan { followed: true, .. } | Self::Follow => "subscribe",
            Self::Unfollow => "unsubscribe",
            Self::Message => "message",
            Self::Other(name) => name,
        }
    }

    /// The login that it is about.
    #[must_use]
    pub fn login(&self) -> Option<RecordId> {
        match self {
            Self::Scan { scene, .. } => scene.as_ref().map(Scene::login),
            Self::Follow | Self::Unfollow | Self::Message | Self::Other(_) => None,
        }
    }
}

fn is_original_id(text: &str) -> bool {
    (1..=ORIGINAL_ID_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn loggable(event: String) -> String {
    let plain = event.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && event.len() <= EVENT_NAME_MAX { event } else { "other".to_owned() }
}
