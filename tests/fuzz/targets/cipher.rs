//! The decryption, beside another one: of any text, of any plaintext under the right key, and of messages. What opens is
//! what the platform would have made of it, byte for byte, so nothing about it can be changed and still open.

#![no_main]

use callback::cipher::{AesKey, AesKeys, Undecipherable};
use fuzz::account::{APP_ID, KEY, OLD_KEY};
use fuzz::cipher::{Key, Opened, from_base64, open, pack, to_base64};
use libfuzzer_sys::{Corpus, fuzz_target};

// The first byte says what the others are: base64, a plaintext, a message, or a message under the old key.
fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((kind, rest)) = input.split_first() else { return Corpus::Reject };
    let (key, old) = (Key::parse(KEY).unwrap(), Key::parse(OLD_KEY).unwrap());
    match kind {
        b'B' => {
            let Ok(text) = std::str::from_utf8(rest) else { return Corpus::Reject };
            check(&key, text);
        }
        b'P' => check(&key, &to_base64(&key.encrypt(&rest[..rest.len() / 16 * 16]))),
        b'M' => message(&key, KEY, rest),
        b'O' => message(&old, OLD_KEY, rest),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

/// The product says of the text what the second opinion says.
fn check(key: &Key, text: &str) {
    let ours = AesKey::parse(KEY).unwrap();
    let encrypted = from_base64(text).filter(|encrypted| encrypted.len() % 16 == 0);
    let plain = encrypted.map(|encrypted| key.decrypt(&encrypted)).unwrap_or_default();
    let read = ours.decrypt(text, APP_ID);
    match open(&plain, APP_ID) {
        Opened::Nothing => assert_eq!(read, Err(Undecipherable::NoKeyFits)),
        Opened::OtherAppId => assert_eq!(read, Err(Undecipherable::OtherAppId)),
        Opened::Message(message) => {
            assert_eq!(read.as_deref(), Ok(message));
            assert_eq!(ours.encrypt(plain[..16].try_into().unwrap(), message, APP_ID), text);
            assert_eq!(ours.decrypt(text, "wx0123456789abcdee"), Err(Undecipherable::OtherAppId));
        }
    }
}

/// A message that was encrypted opens, whichever of the account's keys it was, and not after a change.
fn message(key: &Key, key_text: &str, message: &[u8]) {
    let ours = AesKey::parse(key_text).unwrap();
    let random = std::array::from_fn(|at| message.get(at).copied().unwrap_or(at as u8));
    let plain = pack(random, message, APP_ID);
    let text = ours.encrypt(random, message, APP_ID);
    assert_eq!(text, to_base64(&key.encrypt(&plain)));
    let both = AesKeys::parse(&format!("{KEY},{OLD_KEY}")).unwrap();
    let (read, fitting) = both.decrypt(&text, APP_ID).unwrap();
    assert_eq!((&*read, fitting), (message, &ours));
    // Padding, tail and length: one bit each.
    let tail = plain.len() - usize::from(plain[plain.len() - 1]) - 1;
    for at in [plain.len() - 1, plain.len() - 2, tail, tail - 3, 16, 18, 19] {
        let mut changed = plain.clone();
        changed[at] ^= 1 << (message.len() % 8);
        assert!(ours.decrypt(&to_base64(&key.encrypt(&changed)), APP_ID).is_err(), "byte {at}");
    }
}
