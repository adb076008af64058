//! What an operator writes.

use callback::Mode;
use callback::cipher::AesKeys;
use callback::settings::{Secrets, Settings};
use callback::{Config, signature::Token};
use shared::settings::{Invalid, Secret, parse_from};

use crate::platform::{KEY, OLD_KEY};

fn configured(arguments: &[&str], token: &str, key: Option<&str>) -> Result<Config, Invalid> {
    let arguments = ["callback", "--wechat-app-id=wx0123456789abcdef"].iter().chain(arguments);
    let settings: Settings = parse_from(arguments)?;
    let secrets = Secrets { token: Secret::new(token), encoding_aes_key: key.map(Secret::new) };
    settings.callback.config(&settings.account, &secrets, settings.proxies.clone())
}

fn error(arguments: &[&str], token: &str, key: Option<&str>) -> String {
    let text = configured(arguments, token, key).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn c1_an_empty_or_weak_token_does_not_start() {
    for token in ["", "ab", "a b c", "to-ken", "微信微信", &"a".repeat(33)] {
        assert!(Token::parse(token).is_none());
        assert!(error(&[], token, Some(KEY)).starts_with("WECHAT_TOKEN is malformed: expected "));
    }
    for token in ["abc", &"Z9".repeat(16)] {
        assert!(configured(&[], token, Some(KEY)).is_ok());
    }
}

#[test]
fn the_mode_decides_whether_there_is_a_key() {
    assert!(matches!(configured(&[], "abc", Some(KEY)).unwrap().mode, Mode::Safe(_)));
    let compatible = configured(&["--wechat-message-mode=compatible"], "abc", Some(KEY)).unwrap();
    assert!(matches!(compatible.mode, Mode::Compatible(_)));
    assert!(matches!(configured(&["--wechat-message-mode=plain"], "abc", None).unwrap().mode, Mode::Plain));
    assert!(error(&[], "abc", None).starts_with("WECHAT_ENCODING_AES_KEY is missing: expected "));
    let unwanted = error(&["--wechat-message-mode=plain"], "abc", Some(KEY));
    assert!(unwanted.starts_with("WECHAT_ENCODING_AES_KEY must not be set: "), "{unwanted}");
    let unknown = error(&["--wechat-message-mode=raw"], "abc", Some(KEY));
    assert!(
        unknown.starts_with("WECHAT_MESSAGE_MODE (--wechat-message-mode) is malformed: expected "),
        "{unknown}"
    );
}

#[test]
fn keys_have_43_characters_each() {
    let both = format!("{KEY},{OLD_KEY}");
    assert_eq!(AesKeys::parse(&both), AesKeys::parse(&format!(" {KEY} , {OLD_KEY}\n")));
    assert!(configured(&[], "abc", Some(&both)).is_ok());
    let short = &KEY[1..];
    for key in
        ["", ",", short, &format!("{KEY}="), &format!("{KEY},"), &format!("{KEY},{short}"), &"-".repeat(43)]
    {
        let text = error(&[], "abc", Some(key));
        assert!(text.starts_with("WECHAT_ENCODING_AES_KEY is malformed: expected "), "{text}");
        assert!(key.len() < 3 || !text.contains(key), "the value is not repeated");
    }
}

#[test]
fn the_account_must_be_named() {
    let settings: Settings = parse_from(["callback"]).unwrap();
    let secrets = Secrets { token: Secret::new("abc"), encoding_aes_key: Some(Secret::new(KEY)) };
    let missing = settings
        .callback
        .config(&settings.account, &secrets, settings.proxies.clone())
        .unwrap_err()
        .to_string();
    assert!(missing.starts_with("WECHAT_APP_ID is missing: expected "), "{missing}");
}

#[test]
fn malformed_settings_are_named() {
    for (argument, setting) in [
        ("--wechat-original-id=wx0123456789abcdef", "WECHAT_ORIGINAL_ID"),
        ("--wechat-original-id=gh_", "WECHAT_ORIGINAL_ID"),
        ("--callback-max-skew=600", "CALLBACK_MAX_SKEW"),
        ("--callback-max-skew=0s", "CALLBACK_MAX_SKEW"),
        ("--reply-success={name}", "REPLY_SUCCESS"),
        ("--reply-success= ", "REPLY_SUCCESS"),
        ("--reply-used={count}", "REPLY_USED"),
        ("--reply-retry={", "REPLY_RETRY"),
        ("--reply-greeting=", "REPLY_GREETING"),
        ("--callback-listen=8081", "CALLBACK_LISTEN"),
    ] {
        let text = error(&[argument], "abc", Some(KEY));
        assert!(text.starts_with(setting) && text.contains(" is malformed: expected the "), "{text}");
    }
    let long = format!("--reply-used={}", "长".repeat(700));
    assert!(error(&[&long], "abc", Some(KEY)).starts_with("REPLY_USED is malformed: expected "));
    let nickname = format!("--display-name={}", "长".repeat(700));
    assert!(error(&[&nickname], "abc", Some(KEY)).starts_with("REPLY_SUCCESS is malformed: expected "));
}

#[test]
fn defaults_are_the_contracts() {
    let config = configured(&["--wechat-original-id=gh_5e1f0a9b7c2d"], "abc", Some(KEY)).unwrap();
    assert_eq!(config.replies.success(3), "微信用户,登录成功!\n这是你第3次登录,玩的开心!");
    assert_eq!(config.replies.greeting(), "您好!欢迎使用 SwooleWechat 扫描登录");
    assert_eq!(config.max_skew.as_secs(), 600);
    let settings: Settings = parse_from(["callback"]).unwrap();
    assert_eq!(settings.callback_listen.to_string(), "0.0.0.0:8081");
    assert_eq!(settings.admin_listen.to_string(), "0.0.0.0:9091");
}

#[test]
fn nothing_secret_shows_in_debug_output() {
    let shown = format!("{:?}", configured(&[], "secretToken", Some(KEY)).unwrap());
    assert!(!shown.contains("secretToken") && !shown.contains(KEY), "{shown}");
}
