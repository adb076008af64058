//! The setting with the EncodingAESKeys: taken exactly when each is 43 characters of base64, and every one of them is
//! tried.

#![no_main]

use callback::cipher::{AesKey, AesKeys};
use fuzz::account::APP_ID;
use fuzz::cipher::{Key, pack, to_base64};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let keys: Option<Vec<Key>> = text.split(',').map(|key| Key::parse(key.trim())).collect();
    let parsed = AesKeys::parse(text);
    assert_eq!(parsed.is_some(), keys.is_some());
    for (key, shown) in keys.iter().flatten().zip(text.split(',')) {
        let encrypted = to_base64(&key.encrypt(&pack([7; 16], b"message", APP_ID)));
        let (message, fitting) = parsed.as_ref().unwrap().decrypt(&encrypted, APP_ID).unwrap();
        assert_eq!(message, b"message");
        // The last of the 43 characters has bits to spare, so a key has more than one spelling.
        assert_eq!(Some(fitting), AesKey::parse(shown.trim()).as_ref());
    }
    assert!(!format!("{parsed:?}").chars().any(|c| c.is_ascii_digit()), "a key shows");
});
