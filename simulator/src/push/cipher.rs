//! The platform's cipher (docs/wechat.md, "Encryption"): AES-256-CBC, the IV out of the key, padding to blocks of 32.

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The console's keys are any 43 letters and digits, so most of them have bits left over that strict decoders refuse.
const LAX: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Characters of an EncodingAESKey.
const ENCODED_KEY: usize = 43;
/// Padding goes to this, although AES's own block has 16 bytes.
const BLOCK: usize = 32;
/// Random bytes before the length.
const RANDOM: usize = 16;
/// Where the message begins: after the random bytes and its length.
const MESSAGE: usize = RANDOM + 4;

/// A decoded EncodingAESKey.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

/// What came out of an `Encrypt`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) message: Vec<u8>,
    /// Whose message it is: the app id of the account.
    pub(crate) receiver: String,
}

/// How a message is closed up; a test may ask for a wrong way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    Right,
    /// Of a length that no padding has.
    Wrong,
}

impl Key {
    /// Decodes what the console hands out; `None` if it is something else.
    pub(crate) fn new(encoded: &str) -> Option<Self> {
        if encoded.len() != ENCODED_KEY {
            return None;
        }
        LAX.decode(encoded).ok()?.try_into().ok().map(Self)
    }

    /// `random(16) ‖ length ‖ message ‖ receiver`, encrypted, in base64.
    pub(crate) fn encrypt(
        &self,
        random: [u8; RANDOM],
        message: &[u8],
        receiver: &str,
        padding: Padding,
    ) -> String {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut plain = random.to_vec();
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(message);
        plain.extend_from_slice(receiver.as_bytes());
        let missing = BLOCK - plain.len() % BLOCK;
        let filler = match padding {
            // At most 32, so it fits a byte.
            Padding::Right => u8::try_from(missing).unwrap_or_default(),
            Padding::Wrong => 0,
        };
        plain.extend(std::iter::repeat_n(filler, missing));
        let [key, iv] = self.parts();
        STANDARD.encode(
            cbc::Encryptor::<Aes256>::new(key.into(), iv.into()).encrypt_padded_vec_mut::<NoPadding>(&plain),
        )
    }

    /// The reverse; `None` for whatever was not encrypted with this key.
    pub(crate) fn decrypt(&self, encrypted: &str) -> Option<Opened> {
        let bytes = STANDARD.decode(encrypted.trim()).ok()?;
        if bytes.is_empty() || bytes.len() % 16 != 0 {
            return None;
        }
        let [key, iv] = self.parts();
        let padded = cbc::Decryptor::<Aes256>::new(key.into(), iv.into())
            .decrypt_padded_vec_mut::<NoPadding>(&bytes)
            .ok()?;
        let padding = usize::from(*padded.last()?);
        let (plain, filler) = padded.split_at_checked(padded.len().checked_sub(padding)?)?;
        if !(1..=BLOCK).contains(&padding) || filler.iter().any(|&byte| usize::from(byte) != padding) {
            return None;
        }
        let length = u32::from_be_bytes(plain.get(RANDOM..MESSAGE)?.try_into().ok()?);
        let (message, receiver) = plain.get(MESSAGE..)?.split_at_checked(usize::try_from(length).ok()?)?;
        Some(Opened { message: message.to_vec(), receiver: String::from_utf8(receiver.to_vec()).ok()? })
    }

    /// The key itself, and its first half, which is the IV of every message.
    fn parts(&self) -> [&[u8]; 2] {
        [&self.0, &self.0[..16]]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One published or recorded sample (tests/wechat-vectors.json).
    #[derive(serde::Deserialize)]
    pub(crate) struct Vector {
        pub(crate) id: String,
        pub(crate) token: String,
        pub(crate) timestamp: String,
        pub(crate) nonce: String,
        pub(crate) signature: Option<String>,
        pub(crate) msg_signature: Option<String>,
        encoding_aes_key: Option<String>,
        receive_id: Option<String>,
        random16: Option<String>,
        pub(crate) plaintext: Option<String>,
        pub(crate) encrypt: Option<String>,
    }

    pub(crate) fn vectors() -> Vec<Vector> {
        serde_json::from_str(include_str!("../../tests/wechat-vectors.json")).unwrap()
    }

    #[test]
    fn all_published_vectors_encrypt_and_decrypt_byte_for_byte() {
        let mut tried = 0;
        for vector in vectors() {
            let Some(encrypt) = &vector.encrypt else { continue };
            let key = Key::new(&vector.encoding_aes_key.unwrap()).unwrap();
            let (message, receiver) = (vector.plaintext.unwrap(), vector.receive_id.unwrap());
            let random = vector.random16.unwrap().into_bytes().try_into().unwrap();
            assert_eq!(
                key.encrypt(random, message.as_bytes(), &receiver, Padding::Right),
                *encrypt,
                "{}",
                vector.id
            );
            assert_eq!(
                key.decrypt(encrypt),
                Some(Opened { message: message.into_bytes(), receiver }),
                "{}",
                vector.id
            );
            tried += 1;
        }
        assert_eq!(tried, 11);
    }

    #[test]
    fn another_key_wrong_padding_and_garbage_open_nothing() {
        let key = Key::new(&"a".repeat(43)).unwrap();
        let encrypted = key.encrypt([1; 16], b"message", "wx1", Padding::Right);
        assert!(key.decrypt(&encrypted).is_some());
        assert!(Key::new(&"b".repeat(43)).unwrap().decrypt(&encrypted).is_none());
        assert!(key.decrypt(&key.encrypt([1; 16], b"message", "wx1", Padding::Wrong)).is_none());
        for garbage in ["", "AAAA", "not base64", &encrypted[4..]] {
            assert!(key.decrypt(garbage).is_none(), "{garbage}");
        }
    }
}
