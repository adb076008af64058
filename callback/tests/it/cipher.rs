//! C4: encrypted parts that somebody made who knows the key, but not as the platform does.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockEncryptMut, KeyIvInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callback::cipher::{AesKey, AesKeys, Undecipherable};

use crate::platform::{APP_ID, KEY, OLD_KEY};

const MESSAGE: &[u8] = b"<xml/>";

/// The plaintext without its padding, with a message that says it is so long.
fn plain(length: usize, app_id: &str) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [b"0123456789abcdef", &length[..], MESSAGE, app_id.as_bytes()].concat()
}

fn encrypt(plain: &[u8]) -> String {
    let key: [u8; 32] = STANDARD.decode(format!("{}A=", &KEY[..42])).unwrap().try_into().unwrap();
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&key.into(), key[..16].into());
    STANDARD.encode(cipher.encrypt_padded_vec_mut::<NoPadding>(plain))
}

fn key() -> AesKey {
    // Its last character carries bits that are left over.
    AesKey::parse(&format!("{}A", &KEY[..42])).unwrap()
}

fn decrypt(plain: &[u8]) -> Result<Vec<u8>, Undecipherable> {
    key().decrypt(&encrypt(plain), APP_ID)
}

/// `plain` with `padding` bytes of that value, or of `value`.
fn padded(mut plain: Vec<u8>, padding: usize, value: Option<u8>) -> Vec<u8> {
    plain.extend(std::iter::repeat_n(value.unwrap_or(u8::try_from(padding).unwrap()), padding));
    plain
}

#[test]
fn c4_every_length_of_padding_that_the_platform_makes_is_taken() {
    for more in 0..32 {
        let message = vec![b'a'; MESSAGE.len() + more];
        let encrypted = key().encrypt([7; 16], &message, APP_ID);
        assert_eq!(key().decrypt(&encrypted, APP_ID), Ok(message));
    }
    let right = plain(MESSAGE.len(), APP_ID);
    let padding = 32 - right.len() % 32;
    assert_eq!(decrypt(&padded(right, padding, None)).unwrap(), MESSAGE);
}

#[test]
fn c4_padding_that_the_platform_never_makes_is_refused() {
    let right = plain(MESSAGE.len(), APP_ID);
    let padding = 32 - right.len() % 32;
    let wrong = |plain: Vec<u8>| assert_eq!(decrypt(&plain), Err(Undecipherable::NoKeyFits), "{plain:?}");
    wrong(padded(right.clone(), padding, Some(0)));
    wrong(padded(right.clone(), padding, Some(33)));
    wrong(padded(right.clone(), padding, Some(255)));
    // Longer than a block.
    wrong(padded(right.clone(), padding + 32, None));
    // Of whole blocks of 16 bytes, but not of 32.
    let longer = [b"0123456789abcdef", &[0, 0, 0, 16][..], b"<xml>12345</xml>", APP_ID.as_bytes()].concat();
    assert_eq!(longer.len() % 32, 22, "its padding has 10 bytes");
    wrong(padded(longer, 26, None));
    // None of its bytes but the last.
    let mut torn = padded(right.clone(), padding, None);
    let at = torn.len() - 2;
    torn[at] ^= 1;
    wrong(torn);
    // No padding at all, where the last byte is no number of bytes.
    let whole = padded(right.clone(), padding, Some(b'a'));
    wrong(whole);
    // All of it is padding, or more than there is.
    wrong(vec![32; 32]);
    wrong(vec![32; 16]);
    wrong(Vec::new());
}

#[test]
fn c4_a_length_that_does_not_fit_is_refused() {
    for length in [0, 1, MESSAGE.len() - 1, MESSAGE.len() + 1, 26, 27, 1 << 16, u32::MAX as usize] {
        let plain = plain(length, APP_ID);
        let padding = 32 - plain.len() % 32;
        let opened = decrypt(&padded(plain, padding, None));
        assert!(opened.is_err(), "{length}: {opened:?}");
    }
    // Too short to have a length at all.
    assert_eq!(decrypt(&[16; 16]), Err(Undecipherable::NoKeyFits));
    assert_eq!(decrypt(&padded(vec![0; 18], 14, None)), Err(Undecipherable::NoKeyFits));
}

#[test]
fn c4_another_accounts_app_id_is_told_from_a_key_that_does_not_fit() {
    let keys = AesKeys::parse(&format!("{OLD_KEY},{KEY}")).unwrap();
    let elsewhere = AesKey::parse(KEY).unwrap().encrypt([7; 16], MESSAGE, "wx0000000000000000");
    assert_eq!(keys.decrypt(&elsewhere, APP_ID).map(|_| ()), Err(Undecipherable::OtherAppId));
    let strangers = AesKey::parse(&"A".repeat(43)).unwrap().encrypt([7; 16], MESSAGE, APP_ID);
    assert_eq!(keys.decrypt(&strangers, APP_ID).map(|_| ()), Err(Undecipherable::NoKeyFits));
    let ours = AesKey::parse(KEY).unwrap().encrypt([7; 16], MESSAGE, APP_ID);
    let (message, fitted) = keys.decrypt(&ours, APP_ID).unwrap();
    assert_eq!((message.as_slice(), fitted), (MESSAGE, &AesKey::parse(KEY).unwrap()));
}
