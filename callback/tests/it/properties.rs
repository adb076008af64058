//! What holds for any input.

use callback::cipher::{AesKey, AesKeys, Undecipherable};
use callback::message::{Fields, Message};
use callback::reply::{self, Template};
use callback::signature::Token;
use callback::xml;
use proptest::prelude::*;

use crate::vectors::{encrypt_as_it_is, layout};

/// Text that looks like XML often enough to get anywhere.
fn nearly_xml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<xml>"),
        Just("</xml>"),
        Just("<FromUserName>"),
        Just("</FromUserName>"),
        Just("<Event/>"),
        Just("<a b='c'>"),
        Just("</a>"),
        Just("<![CDATA["),
        Just("]]>"),
        Just("<!DOCTYPE xml>"),
        Just("<!-- "),
        Just("-->"),
        Just("<?xml version='1.0'?>"),
        Just("&amp;"),
        Just("&#x4f60;"),
        Just("&"),
        Just("&#"),
        Just(";"),
        Just("\u{feff}"),
        Just("\u{8}"),
        Just("text 你好"),
        Just("<"),
        Just(">"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_was_encrypted_decrypts(
        key in "[A-Za-z0-9]{43}", random: [u8; 16], message: Vec<u8>, app_id in "wx[0-9a-f]{0,16}", other in "[A-Za-z0-9]{43}",
    ) {
        let aes = AesKey::parse(&key).unwrap();
        let encrypted = aes.encrypt(random, &message, &app_id);
        prop_assert_eq!(aes.decrypt(&encrypted, &app_id), Ok(message.clone()));
        prop_assert_eq!(aes.decrypt(&encrypted, "another"), Err(Undecipherable::OtherAppId));
        let rotated = AesKeys::parse(&format!("{other},{key}")).unwrap();
        let (read, _) = rotated.decrypt(&encrypted, &app_id).unwrap();
        prop_assert_eq!(read, message);
    }

    /// Lengths are around the edges of the padding's blocks, and the figures those of [`layout`], which the vectors confirm.
    #[test]
    fn any_key_account_and_length_have_the_layout_of_the_vectors(
        key in "[A-Za-z0-9+/]{43}", random: [u8; 16], app_id in "[!-~]{1,64}", other in "[!-~]{1,64}",
        blocks in 0..8usize, edge in 0..5usize, byte: u8,
    ) {
        let length = (blocks * 32 + edge + 30).saturating_sub(20 + app_id.len() % 32);
        let (aes, message) = (AesKey::parse(&key).unwrap(), vec![byte; length]);
        let encrypted = encrypt_as_it_is(&key, &layout(&random, &message, &app_id));
        prop_assert_eq!(aes.encrypt(random, &message, &app_id), encrypted.clone());
        prop_assert_eq!(aes.decrypt(&encrypted, &app_id), Ok(message));
        prop_assert_eq!(aes.decrypt(&encrypted, &other).is_ok(), app_id == other);
    }

    #[test]
    fn what_nobody_encrypted_is_refused_without_a_panic(key in "[A-Za-z0-9]{43}", text in ".*", blocks in "[A-Za-z0-9+/]{0,256}") {
        let key = AesKey::parse(&key).unwrap();
        prop_assert!(key.decrypt(&text, "wx0123456789abcdef").is_err());
        prop_assert!(key.decrypt(&blocks[..blocks.len() / 64 * 64], "wx0123456789abcdef").is_err());
        let _ = AesKey::parse(&text);
        let _ = AesKeys::parse(&text);
    }

    #[test]
    fn a_signature_covers_every_part(timestamp in "[0-9]{10}", nonce in "[0-9]{10}", encrypted in "[A-Za-z0-9+/]{1,64}", at in 0..40usize) {
        let token = Token::parse("simToken2026").unwrap();
        let signature = token.sign_encrypted(&timestamp, &nonce, &encrypted);
        prop_assert!(token.has_signed_encrypted(&timestamp, &nonce, &encrypted, &signature));
        prop_assert!(!token.has_signed_encrypted(&timestamp, &nonce, &(encrypted.clone() + "="), &signature));
        prop_assert!(!token.has_signed_encrypted(&timestamp, "x", &encrypted, &signature));
        prop_assert!(!token.has_signed_encrypted("x", &nonce, &encrypted, &signature));
        prop_assert!(!Token::parse("another").unwrap().has_signed_encrypted(&timestamp, &nonce, &encrypted, &signature));
        let flipped = if &signature[at..=at] == "0" { "1" } else { "0" };
        let wrong = format!("{}{flipped}{}", &signature[..at], &signature[at + 1..]);
        prop_assert!(!token.has_signed_encrypted(&timestamp, &nonce, &encrypted, &wrong));
    }

    #[test]
    fn the_reader_never_panics(bytes: Vec<u8>, text in nearly_xml()) {
        for document in [bytes.as_slice(), text.as_bytes(), format!("<xml>{text}</xml>").as_bytes()] {
            if let Ok(fields) = Fields::read(document) {
                let _ = Message::read(&fields);
            }
        }
    }

    #[test]
    fn a_reply_is_read_as_what_was_written(text in any::<String>()) {
        let reply = reply::text("to", "from", 1, &text);
        let [read] = xml::read(reply.as_bytes(), ["Content"]).unwrap();
        let writable: String = text.chars().filter(|c| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')).collect();
        prop_assert_eq!(read.unwrap(), writable);
    }

    #[test]
    fn a_template_never_panics_and_a_checked_one_fits(text in r"[a{}\\n]{0,12}|.*|(\{(nickname|count)\}|.){0,8}", nickname: String) {
        if let Ok(template) = Template::parse_counting(&text) {
            let _ = template.check(&nickname);
        }
    }
}
