//! Names and secrets. What must not be seen has no `Display`, and a `Debug` that hides it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::random;

/// Bytes of an id that is made of 128 bits, and its length as text.
const ID_BYTES: usize = 16;
const ID_TEXT: usize = 22;
/// Bytes of a session's secret and of a code's proof.
const SECRET_BYTES: usize = 32;
/// Longest openid and ticket that are believed; the platform's have 28 and 96 characters (docs/wechat.md, "Events").
const NAME_MAX: usize = 512;

/// `text` as exactly `N` bytes in the one base64url spelling that we write: an id has no second name.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let written = BASE64URL.decode_slice(text, &mut bytes).ok()?;
    (written == N).then_some(bytes)
}

macro_rules! hidden_debug {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}
hidden_debug!(SessionId, Scene, Ticket, OpenId, Code, CodeHash);

/// A session's secret: 256 random bits that only its browser holds. The backplane sees only what is derived from it.
#[derive(Clone)]
pub struct SessionId([u8; SECRET_BYTES]);

impl SessionId {
    /// A new session.
    #[must_use]
    pub fn random() -> Self {
        Self(random::bytes())
    }

    /// Reads what [`Self::expose`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    /// The secret as base64url text, which is a valid WebSocket subprotocol token too. For the browser alone.
    #[must_use]
    pub fn expose(&self) -> String {
        BASE64URL.encode(self.0)
    }

    /// The id of this session's record: a hash, so that who reads the backplane cannot resume a session.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        let hash = Sha256::digest(self.0);
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&hash[..ID_BYTES]);
        RecordId(id)
    }

    /// The one-time code of this session. It is derived, not stored: every replica that the session resumes on gets the
    /// same one, and the backplane holds only its hash.
    #[must_use]
    pub fn code(&self) -> Code {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"code");
        Code { login: self.record_id(), proof: mac.finalize().into_bytes().into() }
    }
}

/// The id of a login record: the key's part in the backplane, and the name of a login in logs. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordId([u8; ID_BYTES]);

impl RecordId {
    /// Reads what `Display` wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    /// Its 128 bits, half of a hash: as good as random.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ID_BYTES] {
        self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL.encode(self.0))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The `scene_str` of one QR code: the record's id and 128 random bits, 44 of the 64 characters that the platform allows
/// (docs/wechat.md, "QR codes"). Never sent to a browser or accepted from one.
#[derive(Clone, PartialEq, Eq)]
pub struct Scene {
    login: RecordId,
    nonce: [u8; ID_BYTES],
}

impl Scene {
    /// A new scene for the QR code of `session`.
    #[must_use]
    pub fn random(session: &SessionId) -> Self {
        Self { login: session.record_id(), nonce: random::bytes() }
    }

    /// Reads an event's scene; `None` for what we cannot have made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (login, nonce) = text.split_at_checked(ID_TEXT)?;
        Some(Self { login: RecordId::parse(login)?, nonce: decode(nonce)? })
    }

    /// The text for the platform.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{}{}", self.login, self.nonce())
    }

    /// The record that this scene belongs to.
    #[must_use]
    pub fn login(&self) -> RecordId {
        self.login
    }

    /// The random part as text.
    #[must_use]
    pub fn nonce(&self) -> String {
        BASE64URL.encode(self.nonce)
    }
}

/// What the platform calls a QR code. Anybody who sees the picture can compute it (docs/wechat.md, "Tickets"), so it
/// proves nothing about a browser; but an event whose ticket is not its scene's is not the platform's.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl Ticket {
    /// Wraps the platform's text; `None` for what cannot be a ticket.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }

    /// What the backplane holds of it: a ticket is only ever compared, and 22 characters instead of 96 nearly halve
    /// what a waiting login takes of Redis (docs/redis.md, "Memory").
    #[must_use]
    pub fn hash(&self) -> String {
        short_hash(&self.0)
    }
}

/// Who scanned: the person's id at this account, opaque and case-sensitive (docs/wechat.md, "Events").
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OpenId(String);

impl OpenId {
    /// Wraps the platform's text; `None` for what cannot be an openid: empty, too long, blanks or control characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }

    /// The platform's text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A name for the person's keys in the backplane, so that listings of keys show no openid.
    #[must_use]
    pub fn hash(&self) -> String {
        short_hash(&self.0)
    }
}

/// 128 bits of a hash, as text.
fn short_hash(text: &str) -> String {
    BASE64URL.encode(&Sha256::digest(text.as_bytes())[..ID_BYTES])
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The one-time proof that the browser gets at success and the application's own server redeems. It names its record,
/// so redeeming touches one key; before the scan it redeems nothing.
#[derive(Clone)]
pub struct Code {
    login: RecordId,
    proof: [u8; SECRET_BYTES],
}

impl Code {
    /// Reads what [`Self::expose`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (login, proof) = text.split_at_checked(ID_TEXT)?;
        Some(Self { login: RecordId::parse(login)?, proof: decode(proof)? })
    }

    /// The code as text, for the browser alone.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{}{}", self.login, BASE64URL.encode(self.proof))
    }

    /// The record that this code belongs to.
    #[must_use]
    pub fn login(&self) -> RecordId {
        self.login
    }

    /// What the backplane holds of it.
    #[must_use]
    pub fn hash(&self) -> CodeHash {
        CodeHash(Sha256::digest(self.proof).into())
    }
}

/// The hash of a [`Code`]'s proof. Comparison takes the same time wherever the difference lies.
#[derive(Clone, Copy)]
pub struct CodeHash([u8; SECRET_BYTES]);

impl CodeHash {
    /// Reads what [`Self::text`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    /// The hash as base64url text.
    #[must_use]
    pub fn text(&self) -> String {
        BASE64URL.encode(self.0)
    }
}

impl PartialEq for CodeHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for CodeHash {}

/// One connection of one browser: also the token that makes opening and resuming idempotent when a client library
/// repeats them after a lost reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId([u8; ID_BYTES]);

impl ConnectionId {
    /// A new connection.
    #[must_use]
    pub fn random() -> Self {
        Self(random::bytes())
    }

    /// Reads what `Display` wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn f3_ten_thousand_ids_share_no_prefix_and_never_repeat() {
        let (mut sessions, mut scenes, mut codes) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut first_bytes = HashSet::new();
        for _ in 0..10_000 {
            let session = SessionId::random();
            first_bytes.insert(session.0[0]);
            assert!(sessions.insert(session.expose()));
            assert!(scenes.insert(Scene::random(&session).nonce()));
            assert!(codes.insert(session.code().expose()));
        }
        assert_eq!(first_bytes.len(), 256, "a session's first byte takes every value");
    }

    #[test]
    fn ids_survive_their_text() {
        let session = SessionId::random();
        let again = SessionId::parse(&session.expose()).unwrap();
        assert_eq!(again.record_id(), session.record_id());
        assert_eq!(again.code().hash(), Code::parse(&session.code().expose()).unwrap().hash());
        let scene = Scene::random(&session);
        assert!(Scene::parse(&scene.expose()).unwrap() == scene);
        assert_eq!(scene.expose().len(), 44);
        assert_eq!(scene.login(), session.code().login());
    }

    #[test]
    fn an_id_has_one_spelling() {
        let session = SessionId::random().expose();
        for wrong in ["", "a", &session[1..], &format!("{session}A"), &format!("{session}="), "ünïcödé"] {
            assert!(SessionId::parse(wrong).is_none(), "{wrong:?}");
            assert!(Code::parse(wrong).is_none(), "{wrong:?}");
        }
        for wrong in
            ["", "0", "lg_5f3c9a", &"A".repeat(43), &"A".repeat(45), &"é".repeat(22), "last_trade_no_42"]
        {
            assert!(Scene::parse(wrong).is_none(), "{wrong:?}");
        }
        // The last of 43 characters carries 4 bits; the other 2 must be zero.
        assert!(SessionId::parse(&format!("{}B", &"A".repeat(42))).is_none());
    }

    #[test]
    fn debug_shows_no_secret() {
        let session = SessionId::random();
        let shown = format!("{session:?} {:?} {:?}", session.code(), Scene::random(&session));
        assert_eq!(shown, "SessionId(…) Code(…) Scene(…)");
    }
}
