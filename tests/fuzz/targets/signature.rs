//! Signatures: what fits is exactly the SHA-1 of the sorted parts, in either case. Lines: Token, timestamp, nonce,
//! signature, and the encrypted part; a signature of `*` is the right one.

#![no_main]

use callback::signature::Token;
use fuzz::cipher::sign;
use fuzz::lines;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &str| -> Corpus {
    let [text, timestamp, nonce, given, encrypted] = lines(input);
    let fits = (3..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric());
    let token = Token::parse(text);
    assert_eq!(token.is_some(), fits);
    let Some(token) = token else { return Corpus::Keep };
    let plain = sign(&[text, timestamp, nonce]);
    let whole = sign(&[text, timestamp, nonce, encrypted]);
    assert_eq!(
        (token.sign(timestamp, nonce), token.sign_encrypted(timestamp, nonce, encrypted)),
        (plain.clone(), whole.clone())
    );
    for right in [plain, whole.clone()] {
        let given = if given == "*" { &right } else { given };
        let same = |right: &str| given.to_ascii_lowercase() == right;
        assert_eq!(token.has_signed(timestamp, nonce, given), same(&token.sign(timestamp, nonce)));
        assert_eq!(token.has_signed_encrypted(timestamp, nonce, encrypted, given), same(&whole));
        assert!(!token.has_signed(timestamp, nonce, &right[1..]) && !token.has_signed(timestamp, nonce, ""));
    }
    assert!(!format!("{token:?}").contains(text) || "Token(…)".contains(text), "the Token shows");
    Corpus::Keep
});
