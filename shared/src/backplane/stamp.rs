//! What a call is known by whose signature does not cover its message.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use sha2::{Digest, Sha256};

/// A call's timestamp and nonce, known by the signature over them. The signed text has no separators (docs/wechat.md,
/// "Signatures"): however somebody divides it into a timestamp and a nonce, the signature is the same, and so is this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp([u8; 16]);

impl Stamp {
    /// `signature` in the one spelling that the caller gives it.
    #[must_use]
    pub fn of(signature: &str) -> Self {
        let hash = Sha256::digest(signature);
        Self(*hash.first_chunk().expect("32 bytes begin with 16"))
    }
}

/// As 22 characters of base64url, for names.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL.encode(self.0))
    }
}

/// SHA-256 of a message: who sees the backplane learns nothing of what people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageHash([u8; 32]);

impl MessageHash {
    /// `message` as it came, byte for byte.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        Self(Sha256::digest(message).into())
    }

    /// As 43 characters of base64url.
    #[must_use]
    pub fn text(&self) -> String {
        BASE64URL.encode(self.0)
    }
}
