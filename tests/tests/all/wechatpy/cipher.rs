//! Encryption and signatures, ours against `wechatpy`'s: the published vectors, and every length that padding knows.

use callback::cipher::AesKey;
use callback::signature::Token;
use serde_json::Value;
use tests::stack::Account;
use tests::wechatpy::{Sealed, Wechatpy};

/// A text's characters, one to four bytes long.
const CHARACTERS: [char; 8] = ['a', '<', ']', '\n', 'é', '你', '😀', '\u{10ffff}'];
/// Lengths in bytes: every one up to three blocks of the cipher's padding more than the envelope needs, and the long
/// ones around multiples of a block.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=256).chain([1024, 4096].into_iter().flat_map(|length| length - 20..length + 20))
}

/// A text of so many bytes, another each time.
fn text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let [random] = shared::random::bytes();
        let next = CHARACTERS[usize::from(random) % CHARACTERS.len()];
        text.push(if text.len() + next.len_utf8() > length { 'x' } else { next });
    }
    text
}

#[tokio::test]
async fn each_reads_what_the_other_encrypts_and_signs() {
    let (mut wechatpy, account) = (Wechatpy::start(), Account::random());
    let key = AesKey::parse(&account.aes_key).unwrap();
    let token = Token::parse(&account.token).unwrap();
    let texts: Vec<String> = lengths().map(text).collect();

    let ours: Vec<Sealed> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let (timestamp, nonce) = ((1_763_800_000 + number).to_string(), number.to_string());
            let encrypted = key.encrypt(shared::random::bytes(), text.as_bytes(), &account.app_id);
            let signature = token.sign_encrypted(&timestamp, &nonce, &encrypted);
            Sealed { timestamp, nonce, encrypted, signature }
        })
        .collect();
    assert_eq!(wechatpy.decrypt(&account, &ours).await, texts);

    let theirs = wechatpy.encrypt(&account, &texts).await;
    assert_eq!(theirs.len(), texts.len());
    for (Sealed { timestamp, nonce, encrypted, signature }, text) in theirs.iter().zip(&texts) {
        assert!(token.has_signed_encrypted(timestamp, nonce, encrypted, signature), "{text:?}");
        assert_eq!(key.decrypt(encrypted, &account.app_id).as_deref(), Ok(text.as_bytes()));
        assert!(key.decrypt(encrypted, "wx0123456789abcdef").is_err(), "{text:?}");
    }
}

/// The callback's own tests hold the same vectors against its code.
#[tokio::test]
async fn every_published_vector_is_what_wechatpy_makes_of_it() {
    let vectors = include_str!("../../../../callback/tests/wechat-vectors.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    let (mut wechatpy, mut compared) = (Wechatpy::start(), 0);
    for vector in &vectors {
        let found = wechatpy.recompute(vector).await;
        for (name, value) in found.as_object().unwrap() {
            // A vector need not name its signatures.
            if let Some(recorded) = vector.get(name) {
                assert_eq!(value, recorded, "{name} of {}", vector["id"]);
                compared += 1;
            }
        }
    }
    assert_eq!((vectors.len(), compared), (13, 6 + 9 + 11 + 11));
}
