//! The platform's encryption: AES-256-CBC over `random(16) ‖ length(4) ‖ message ‖ app id`
//! (docs/wechat.md, "Encryption").

use std::fmt;

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Characters of an EncodingAESKey: 32 bytes of base64 without the padding.
const KEY_TEXT: usize = 43;
/// The padding is PKCS#7 of blocks of 32 bytes, although AES's are 16: libraries' unpadders fail on half of the messages.
const PADDING_BLOCK: usize = 32;
/// Where the message begins: behind the random bytes and its length.
const HEAD: usize = 20;
/// Most EncodingAESKeys end in bits that a strict decoder refuses.
const LAX: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Why an encrypted part was not for us. It was signed with our Token, so neither tells a stranger anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecipherable {
    /// It is not base64 of whole blocks, or padding and length fit with none of the keys.
    #[error("no key fits")]
    NoKeyFits,
    /// It was made for another account.
    #[error("it is for another app id")]
    OtherAppId,
}

/// One EncodingAESKey.
#[derive(Clone, PartialEq, Eq)]
pub struct AesKey([u8; 32]);

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesKey(…)")
    }
}

impl AesKey {
    /// Reads the 43 characters of the console; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != KEY_TEXT {
            return None;
        }
        LAX.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Encrypts a reply; `random` must be new for each.
    ///
    /// # Panics
    ///
    /// The message has 4 GiB or more.
    #[must_use]
    pub fn encrypt(&self, random: [u8; 16], message: &[u8], app_id: &str) -> String {
        let length = u32::try_from(message.len()).expect("a reply is far below 4 GiB");
        let mut plain = [&random[..], &length.to_be_bytes(), message, app_id.as_bytes()].concat();
        let padding = PADDING_BLOCK - plain.len() % PADDING_BLOCK;
        plain.extend(std::iter::repeat_n(padding as u8, padding));
        let (key, iv) = self.key_and_iv();
        STANDARD.encode(
            cbc::Encryptor::<Aes256>::new(key.into(), iv.into()).encrypt_padded_vec_mut::<NoPadding>(&plain),
        )
    }

    /// Decrypts an encrypted part that was made for `app_id`.
    ///
    /// # Errors
    ///
    /// It was made with another key or for another account, or by nobody who knows how.
    pub fn decrypt(&self, encrypted: &str, app_id: &str) -> Result<Vec<u8>, Undecipherable> {
        let (message, tail) = self.unpack(encrypted).ok_or(Undecipherable::NoKeyFits)?;
        if tail == app_id.as_bytes() { Ok(message) } else { Err(Undecipherable::OtherAppId) }
    }

    /// The message, and the app id behind it.
    fn unpack(&self, encrypted: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let encrypted = STANDARD.decode(encrypted).ok()?;
        let (key, iv) = self.key_and_iv();
        let decryptor = cbc::Decryptor::<Aes256>::new(key.into(), iv.into());
        // Refuses what is not whole blocks.
        let mut plain = decryptor.decrypt_padded_vec_mut::<NoPadding>(&encrypted).ok()?;
        let padding = usize::from(*plain.last()?);
        let end = plain.len().checked_sub(padding)?;
        let padded = (1..=PADDING_BLOCK).contains(&padding)
            && plain.len().is_multiple_of(PADDING_BLOCK)
            && plain[end..].iter().all(|&byte| usize::from(byte) == padding);
        if !padded {
            return None;
        }
        plain.truncate(end);
        let length = plain.get(HEAD - 4..HEAD)?.try_into().ok().map(u32::from_be_bytes)?;
        let tail = HEAD.checked_add(usize::try_from(length).ok()?)?;
        Some((plain.get(HEAD..tail)?.to_vec(), plain.get(tail..)?.to_vec()))
    }

    /// The IV is the key's first half, always.
    fn key_and_iv(&self) -> (&[u8; 32], &[u8; 16]) {
        let iv = self.0.first_chunk().expect("32 bytes begin with 16");
        (&self.0, iv)
    }
}

/// The account's keys, newest first: more than one while a key is rotated, because pushes under way still come with
/// the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AesKeys(Vec<AesKey>);

impl AesKeys {
    /// Reads one or more keys, separated by commas; `None` when there is none or one is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|key| AesKey::parse(key.trim())).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Decrypts with the first key that fits, and says which: the answer goes out under the same.
    ///
    /// # Errors
    ///
    /// As [`AesKey::decrypt`], for all of the keys.
    pub fn decrypt(&self, encrypted: &str, app_id: &str) -> Result<(Vec<u8>, &AesKey), Undecipherable> {
        let mut why = Undecipherable::NoKeyFits;
        for key in &self.0 {
            match key.decrypt(encrypted, app_id) {
                Ok(message) => return Ok((message, key)),
                Err(Undecipherable::OtherAppId) => why = Undecipherable::OtherAppId,
                Err(Undecipherable::NoKeyFits) => {}
            }
        }
        Err(why)
    }
}
