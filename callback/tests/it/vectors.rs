//! The official and the libraries' vectors, and two of our own; and the layout that they have, for every length.

use std::collections::BTreeSet;

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use callback::cipher::{AesKey, Undecipherable};
use callback::message::{Fields, Kind, Message};
use callback::signature::Token;
use serde::Deserialize;

use crate::platform::{ALICE, APP_ID, KEY};

#[derive(Deserialize)]
struct Vector {
    id: String,
    token: String,
    timestamp: String,
    nonce: String,
    encoding_aes_key: Option<String>,
    receive_id: Option<String>,
    random16: Option<String>,
    plaintext: Option<String>,
    encrypt: Option<String>,
    signature: Option<String>,
    msg_signature: Option<String>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../wechat-vectors.json")).unwrap()
}

#[test]
fn every_vector_has_its_signatures() {
    let (mut signatures, mut msg_signatures) = (0, 0);
    for vector in vectors() {
        let token = Token::parse(&vector.token).unwrap();
        if let Some(signature) = &vector.signature {
            assert_eq!(token.sign(&vector.timestamp, &vector.nonce), *signature, "{}", vector.id);
            assert!(
                token.has_signed(&vector.timestamp, &vector.nonce, &signature.to_uppercase()),
                "{}",
                vector.id
            );
            signatures += 1;
        }
        if let (Some(signature), Some(encrypted)) = (&vector.msg_signature, &vector.encrypt) {
            assert_eq!(
                token.sign_encrypted(&vector.timestamp, &vector.nonce, encrypted),
                *signature,
                "{}",
                vector.id
            );
            msg_signatures += 1;
        }
    }
    assert_eq!((signatures, msg_signatures), (6, 9));
}

#[test]
fn every_vector_decrypts_and_encrypts_to_itself() {
    let mut seen = 0;
    for vector in vectors() {
        let (Some(key), Some(encrypted)) = (&vector.encoding_aes_key, &vector.encrypt) else { continue };
        let (key, app_id) = (AesKey::parse(key).unwrap(), vector.receive_id.unwrap());
        let plaintext = vector.plaintext.unwrap().into_bytes();
        assert_eq!(key.decrypt(encrypted, &app_id).as_ref(), Ok(&plaintext), "{}", vector.id);
        let random = vector.random16.unwrap().into_bytes().try_into().unwrap();
        assert_eq!(key.encrypt(random, &plaintext, &app_id), *encrypted, "{}", vector.id);
        seen += 1;
    }
    assert_eq!(seen, 11);
}

#[test]
fn our_vectors_are_scans() {
    let scans: Vec<_> = vectors().into_iter().filter(|vector| vector.id.starts_with('S')).collect();
    for (vector, did_follow) in scans.iter().zip([true, false]) {
        let fields = Fields::read(vector.plaintext.as_ref().unwrap().as_bytes()).unwrap();
        let message = Message::read(&fields).unwrap();
        assert_eq!(message.from.expose(), ALICE);
        assert!(
            matches!(message.kind, Kind::Scan { followed, ticket: Some(_), .. } if followed == did_follow)
        );
    }
    assert_eq!(scans.len(), 2);
}

/// The plaintext by docs/wechat.md, "Encryption", and not by the product: 16 random bytes, the message's length, the
/// message, the app id, and 1 to 32 bytes that say how many they are.
pub(crate) fn layout(random: &[u8], message: &[u8], app_id: &str) -> Vec<u8> {
    let length = [24, 16, 8, 0].map(|shift| (message.len() >> shift) as u8);
    let mut plain = [random, &length, message, app_id.as_bytes()].concat();
    let padding = (1..=32).find(|padding| (plain.len() + padding) % 32 == 0).unwrap();
    plain.resize(plain.len() + padding, padding as u8);
    plain
}

/// The cipher alone, around any plaintext of whole blocks.
pub(crate) fn encrypt_as_it_is(key: &str, plain: &[u8]) -> String {
    let key = raw_key(key);
    let encryptor = cbc::Encryptor::<Aes256>::new_from_slices(&key, &key[..16]).unwrap();
    STANDARD.encode(encryptor.encrypt_padded_vec_mut::<NoPadding>(plain))
}

fn decrypt_as_it_is(key: &str, encrypted: &str) -> Vec<u8> {
    let key = raw_key(key);
    let decryptor = cbc::Decryptor::<Aes256>::new_from_slices(&key, &key[..16]).unwrap();
    decryptor.decrypt_padded_vec_mut::<NoPadding>(&STANDARD.decode(encrypted).unwrap()).unwrap()
}

fn raw_key(text: &str) -> Vec<u8> {
    let lax = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&ALPHABET, lax).decode(format!("{text}=")).unwrap()
}

#[test]
fn every_vector_has_the_layout_that_is_documented() {
    for vector in vectors() {
        let (Some(key), Some(encrypted)) = (&vector.encoding_aes_key, &vector.encrypt) else { continue };
        let (random, plaintext) = (vector.random16.unwrap(), vector.plaintext.unwrap());
        let plain = layout(random.as_bytes(), plaintext.as_bytes(), &vector.receive_id.unwrap());
        assert_eq!(decrypt_as_it_is(key, encrypted), plain, "{}", vector.id);
        assert_eq!(encrypt_as_it_is(key, &plain), *encrypted, "{}", vector.id);
    }
}

#[test]
fn messages_of_every_length_have_the_layout_of_the_vectors() {
    let (key, random) = (AesKey::parse(KEY).unwrap(), *b"0123456789abcdef");
    let mut paddings = BTreeSet::new();
    for length in 0..=160 {
        let message = vec![b'm'; length];
        let plain = layout(&random, &message, APP_ID);
        let encrypted = encrypt_as_it_is(KEY, &plain);
        assert_eq!(key.encrypt(random, &message, APP_ID), encrypted, "{length}");
        assert_eq!(key.decrypt(&encrypted, APP_ID), Ok(message), "{length}");
        paddings.insert(plain[plain.len() - 1]);
    }
    assert!(paddings.into_iter().eq(1..=32));
}

#[test]
fn no_other_padding_opens() {
    let key = AesKey::parse(KEY).unwrap();
    for length in 0..32 {
        let plain = layout(b"0123456789abcdef", &vec![b'm'; length], APP_ID);
        let (end, &padding) = (plain.len() - 1, plain.last().unwrap());
        for other in (0..=255).filter(|&other| other != padding) {
            let mut changed = plain.clone();
            changed[end] = other;
            assert!(key.decrypt(&encrypt_as_it_is(KEY, &changed), APP_ID).is_err(), "{other} for {padding}");
        }
        for at in plain.len() - usize::from(padding)..end {
            let mut changed = plain.clone();
            changed[at] ^= 1;
            let opened = key.decrypt(&encrypt_as_it_is(KEY, &changed), APP_ID);
            assert_eq!(opened, Err(Undecipherable::NoKeyFits), "byte {at} of {}", plain.len());
        }
    }
}

#[test]
fn no_other_length_opens() {
    let key = AesKey::parse(KEY).unwrap();
    let plain = layout(b"0123456789abcdef", b"message", APP_ID);
    for length in [0, 6, 8, 7 + APP_ID.len(), 8 + APP_ID.len(), 1 << 16, 1 << 31, u32::MAX as usize] {
        let mut changed = plain.clone();
        changed[16..20].copy_from_slice(&(length as u32).to_be_bytes());
        assert!(key.decrypt(&encrypt_as_it_is(KEY, &changed), APP_ID).is_err(), "{length} for 7");
    }
    for content in 0..20 {
        let padding = 32 - content;
        let short = [&plain[..content], &vec![padding as u8; padding]].concat();
        let opened = key.decrypt(&encrypt_as_it_is(KEY, &short), APP_ID);
        assert_eq!(opened, Err(Undecipherable::NoKeyFits), "{content} bytes");
    }
}
