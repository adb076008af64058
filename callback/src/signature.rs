//! The platform's signatures: SHA-1 over sorted parts, one of which only the platform and we know.

use std::fmt;

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The account's Token, the secret part of every signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// 3 to 32 letters or digits, as the console takes them (docs/wechat.md, "Delivery"); `None` for anything else. An
    /// empty one would let everybody sign.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (3..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }

    /// `signature` in a query: proves that the caller knows the Token, says nothing about the body
    /// (docs/wechat.md, "Pushes").
    #[must_use]
    pub fn sign(&self, timestamp: &str, nonce: &str) -> String {
        sign([&self.0, timestamp, nonce])
    }

    /// `msg_signature` in a query and `MsgSignature` in a reply: covers the encrypted part as well
    /// (docs/wechat.md, "Encryption").
    #[must_use]
    pub fn sign_encrypted(&self, timestamp: &str, nonce: &str, encrypted: &str) -> String {
        sign([&self.0, timestamp, nonce, encrypted])
    }

    /// Whether `signature` is what [`Self::sign`] makes; takes the same time wherever the difference lies.
    #[must_use]
    pub fn has_signed(&self, timestamp: &str, nonce: &str, signature: &str) -> bool {
        same(&self.sign(timestamp, nonce), signature)
    }

    /// Whether `signature` is what [`Self::sign_encrypted`] makes; takes the same time wherever the difference lies.
    #[must_use]
    pub fn has_signed_encrypted(
        &self,
        timestamp: &str,
        nonce: &str,
        encrypted: &str,
        signature: &str,
    ) -> bool {
        same(&self.sign_encrypted(timestamp, nonce, encrypted), signature)
    }
}

/// Lower-case hex of the SHA-1 of the parts, sorted as bytes and joined by nothing.
fn sign<const N: usize>(mut parts: [&str; N]) -> String {
    parts.sort_unstable();
    let digest = Sha1::digest(parts.concat());
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(HEX[usize::from(nibble)]))
        .collect()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The platform writes lower case; a digest in upper case is the same digest.
fn same(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.to_ascii_lowercase().as_bytes()).into()
}
