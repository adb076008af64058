//! The official and the libraries' vectors, and two of our own.

use callback::cipher::AesKey;
use callback::message::{Fields, Kind, Message};
use callback::signature::Token;
use serde::Deserialize;

use crate::platform::ALICE;

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
