//! A second opinion on the platform's encryption and signatures, written from docs/wechat.md, "Encryption", and not from
//! the product's code.

use aes::Aes256;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use sha1::{Digest, Sha1};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What an encrypted part must come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// The message.
    Message(&'a [u8]),
    /// It is for another account.
    OtherAppId,
    /// It is no encrypted part.
    Nothing,
}

/// Reads the plaintext of an encrypted part.
#[must_use]
pub fn open<'a>(plain: &'a [u8], app_id: &str) -> Opened<'a> {
    let Some(&padding) = plain.last() else { return Opened::Nothing };
    if !plain.len().is_multiple_of(32) || !(1..=32).contains(&padding) {
        return Opened::Nothing;
    }
    let (content, filler) = plain.split_at(plain.len() - usize::from(padding));
    if filler != vec![padding; usize::from(padding)] || content.len() < 20 {
        return Opened::Nothing;
    }
    let length = content[16..20].iter().fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
    match content[20..].split_at_checked(length) {
        None => Opened::Nothing,
        Some((message, tail)) if tail == app_id.as_bytes() => Opened::Message(message),
        Some(_) => Opened::OtherAppId,
    }
}

/// The plaintext of a message with nothing wrong about it.
#[must_use]
pub fn pack(random: [u8; 16], message: &[u8], app_id: &str) -> Vec<u8> {
    let mut plain = random.to_vec();
    plain.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    plain.extend(message);
    plain.extend(app_id.bytes());
    let filler = 32 - plain.len() % 32;
    plain.resize(plain.len() + filler, u8::try_from(filler).unwrap());
    plain
}

/// An account's key.
pub struct Key([u8; 32]);

impl Key {
    /// Decodes the 43 characters of an EncodingAESKey; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sextets: Vec<u8> = text.bytes().map(sextet).collect::<Option<_>>()?;
        (sextets.len() == 43).then(|| Self(bytes(&sextets).try_into().unwrap()))
    }

    /// Encrypts any whole blocks as they are: nothing is checked or added.
    #[must_use]
    pub fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let aes = Aes256::new(&self.0.into());
        let mut last: [u8; 16] = self.0[..16].try_into().unwrap();
        let mut encrypted = Vec::with_capacity(plain.len());
        for block in plain.as_chunks::<16>().0 {
            let mut mixed = std::array::from_fn(|i| block[i] ^ last[i]).into();
            aes.encrypt_block(&mut mixed);
            last = mixed.into();
            encrypted.extend(last);
        }
        encrypted
    }

    /// The reverse.
    #[must_use]
    pub fn decrypt(&self, encrypted: &[u8]) -> Vec<u8> {
        let aes = Aes256::new(&self.0.into());
        let mut last: [u8; 16] = self.0[..16].try_into().unwrap();
        let mut plain = Vec::with_capacity(encrypted.len());
        for block in encrypted.as_chunks::<16>().0 {
            let mut mixed = (*block).into();
            aes.decrypt_block(&mut mixed);
            plain.extend(mixed.iter().zip(last).map(|(mixed, last)| mixed ^ last));
            last = *block;
        }
        plain
    }
}

fn sextet(character: u8) -> Option<u8> {
    ALPHABET.iter().position(|&other| other == character).map(|at| at as u8)
}

/// The whole bytes in these groups of six bits.
fn bytes(sextets: &[u8]) -> Vec<u8> {
    let bit = |at: usize| sextets[at / 6] >> (5 - at % 6) & 1;
    (0..sextets.len() * 6 / 8).map(|byte| (0..8).fold(0, |value, i| value << 1 | bit(byte * 8 + i))).collect()
}

/// Base64 as the platform writes it.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let sextet = |at: usize| (0..6).fold(0, |value, i| value << 1 | bit(at * 6 + i));
    let mut text: String =
        (0..(bytes.len() * 8).div_ceil(6)).map(|at| char::from(ALPHABET[usize::from(sextet(at))])).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Reads base64 in the one spelling that [`to_base64`] has.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let sextets: Vec<u8> = text.trim_end_matches('=').bytes().map(sextet).collect::<Option<_>>()?;
    Some(bytes(&sextets)).filter(|bytes| to_base64(bytes) == text)
}

/// The platform's signature over these parts.
#[must_use]
pub fn sign(parts: &[&str]) -> String {
    let mut parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    parts.sort();
    parts
        .into_iter()
        .fold(Sha1::new(), Sha1::chain_update)
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
