//! One case for each row of the tables of good and bad answers.

use super::*;
use crate::Config;
use crate::push::cipher::{Key, Padding};
use crate::push::signature::sign;

const OPENID: &str = "oSim0_1a2B3c4D5e6F7g8H9i0JkL";
const ACCOUNT: &str = "gh_5e1f0a9b7c2d";
const NOW: &str = "1763800031";

fn account(mode: MessageMode) -> Account {
    let mut config = Config::random("http://127.0.0.1:1/cb", "http://127.0.0.1:2").unwrap();
    config.message_mode = mode;
    config.original_id = ACCOUNT.to_owned();
    config.app_id = "wx0123456789abcdef".to_owned();
    config.encoding_aes_keys = match mode {
        MessageMode::Plain => Vec::new(),
        MessageMode::Safe | MessageMode::Compatible => vec!["n".repeat(43), "o".repeat(43)],
    };
    Account::new(config).unwrap()
}

fn verdict(mode: MessageMode, status: u16, body: impl Into<Vec<u8>>) -> Result<Good, Bad> {
    judge(&account(mode), OPENID, &Answer { status, body: body.into() })
}

fn plain(body: impl Into<Vec<u8>>) -> Result<Good, Bad> {
    verdict(MessageMode::Plain, 200, body)
}

fn reply(to: &str, from: &str, kind: &str, rest: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{to}]]></ToUserName>\n<FromUserName><![CDATA[{from}]]></FromUserName>\n\
         <CreateTime>{NOW}</CreateTime>\n<MsgType><![CDATA[{kind}]]></MsgType>\n{rest}</xml>"
    )
}

fn text(content: &str) -> String {
    reply(OPENID, ACCOUNT, "text", &format!("<Content><![CDATA[{content}]]></Content>"))
}

/// An encrypted reply, with the account's own key and app id unless the test says otherwise.
fn sealed(account: &Account, key: &Key, app_id: &str, time: &str, xml: &str) -> String {
    let encrypt = key.encrypt([7; 16], xml.as_bytes(), app_id, Padding::Right);
    let signature = sign(&[&account.token, time, "188", &encrypt]);
    format!(
        "<xml><Encrypt><![CDATA[{encrypt}]]></Encrypt><MsgSignature><![CDATA[{signature}]]></MsgSignature>\
         <TimeStamp>{time}</TimeStamp><Nonce><![CDATA[188]]></Nonce></xml>"
    )
}

#[test]
fn success_empty_and_a_reply_are_good_answers() {
    for mode in [MessageMode::Plain, MessageMode::Compatible, MessageMode::Safe] {
        assert_eq!(verdict(mode, 200, "success"), Ok(Good::Success));
        assert_eq!(verdict(mode, 200, ""), Ok(Good::Empty));
    }
    let greeting = "微信用户,登录成功!\n这是你第3次登录,玩的开心! 👋";
    assert_eq!(plain(text(greeting)), Ok(Good::Reply(Some(greeting.to_owned()))));
    assert_eq!(
        verdict(MessageMode::Compatible, 200, text(greeting)),
        Ok(Good::Reply(Some(greeting.to_owned())))
    );
    let split = text("a]]]]><![CDATA[>b");
    assert_eq!(plain(split), Ok(Good::Reply(Some("a]]>b".to_owned()))));
}

#[test]
fn replies_of_other_types_are_good_too() {
    let news =
        "<ArticleCount>1</ArticleCount><Articles><item><Title><![CDATA[确认]]></Title></item></Articles>";
    assert_eq!(plain(reply(OPENID, ACCOUNT, "news", news)), Ok(Good::Reply(Some("[news] 确认".to_owned()))));
    let image = "<Image><MediaId><![CDATA[m]]></MediaId></Image>";
    assert_eq!(plain(reply(OPENID, ACCOUNT, "image", image)), Ok(Good::Reply(Some("[image]".to_owned()))));
    assert_eq!(plain(reply(OPENID, ACCOUNT, "transfer_customer_service", "")), Ok(Good::Reply(None)));
    assert_eq!(plain(reply(OPENID, ACCOUNT, "news", "")), Err(Bad::NoArticles));
    assert_eq!(plain(reply(OPENID, ACCOUNT, "sticker", "")), Err(Bad::UnknownMsgType));
}

#[test]
fn only_status_200_counts() {
    for status in [201, 204, 301, 302, 400, 403, 404, 500, 503] {
        assert_eq!(verdict(MessageMode::Safe, status, "success"), Err(Bad::Status(status)));
    }
}

#[test]
fn each_known_bad_body_is_recognised() {
    let rows = [
        ("\"success\"", Bad::QuotedSuccess),
        ("{\"errcode\":0}", Bad::Json),
        ("[]", Bad::Json),
        ("<!DOCTYPE html><title>x</title>", Bad::Html),
        ("<html><body>Internal error</body></html>", Bad::Html),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess", Bad::HttpInBody),
        ("null", Bad::SerialisedNull),
        ("<xml></xml>", Bad::SerialisedNull),
        (" success", Bad::LeadingBlank),
        ("\u{feff}success", Bad::LeadingBlank),
        ("success\n", Bad::TrailingSuccess),
        ("ok", Bad::NotXml),
        ("<xml><MsgType>text</MsgType>", Bad::NotXml),
        ("<xml><ToUserName>o</ToUserName></xml>", Bad::NoMsgType),
    ];
    for (body, reason) in rows {
        assert_eq!(plain(body), Err(reason), "{body}");
    }
    assert_eq!(plain([0xff, 0xfe]), Err(Bad::NotUtf8));
    assert_eq!(plain(format!("\n{}", text("hello"))), Err(Bad::LeadingBlank));
}

#[test]
fn each_known_bad_reply_is_recognised() {
    assert_eq!(plain(reply(ACCOUNT, OPENID, "event", "<Event>SCAN</Event>")), Err(Bad::EchoedEvent));
    assert_eq!(plain(reply(ACCOUNT, OPENID, "text", "<Content>success</Content>")), Err(Bad::NotSwapped));
    assert_eq!(
        plain(reply("oSomebodyElse", ACCOUNT, "text", "<Content>x</Content>")),
        Err(Bad::NotAddressed)
    );
    for empty in ["<Content></Content>", "<Content><![CDATA[]]></Content>", ""] {
        assert_eq!(plain(reply(OPENID, ACCOUNT, "text", empty)), Err(Bad::EmptyContent), "{empty}");
    }
    assert_eq!(plain(text(&"字".repeat(683))), Err(Bad::TooLong));
    assert_eq!(plain(text("x").replace(NOW, "1763800031000")), Err(Bad::NotSeconds));
    assert_eq!(plain(format!("{}{}", text("x"), text("x"))), Err(Bad::NotXml));
    assert_eq!(plain(text("x").replace("ToUserName", "toUserName")), Err(Bad::NotAddressed));
}

#[test]
fn an_encrypted_reply_is_opened_with_any_of_the_accounts_keys() {
    for mode in [MessageMode::Safe, MessageMode::Compatible] {
        let account = account(mode);
        for key in account.keys() {
            let body = sealed(&account, key, &account.app_id, NOW, &text("你好"));
            let answer = Answer { status: 200, body: body.into_bytes() };
            assert_eq!(judge(&account, OPENID, &answer), Ok(Good::Reply(Some("你好".to_owned()))));
        }
    }
}

#[test]
fn an_encrypted_reply_that_does_not_fit_is_refused() {
    let account = account(MessageMode::Safe);
    let (key, app_id) = (&account.keys()[0], account.app_id.as_str());
    let judged = |body: String| judge(&account, OPENID, &Answer { status: 200, body: body.into_bytes() });
    let good = sealed(&account, key, app_id, NOW, &text("x"));
    assert!(judged(good.clone()).is_ok());
    assert_eq!(judged(text("in the clear")), Err(Bad::NotEncrypted));
    assert_eq!(judged(good.replace(">188<", ">189<").replace("[188]", "[189]")), Err(Bad::Signature));
    assert_eq!(judged(good.replace("TimeStamp", "Timestamp")), Err(Bad::Envelope));
    assert_eq!(judged(sealed(&account, key, "wxffffffffffffffff", NOW, &text("x"))), Err(Bad::AppId));
    assert_eq!(judged(sealed(&account, key, app_id, "1763800031000", &text("x"))), Err(Bad::NotSeconds));
    let foreign = Key::new(&"f".repeat(43)).unwrap();
    assert_eq!(judged(sealed(&account, &foreign, app_id, NOW, &text("x"))), Err(Bad::Undecryptable));
    let swapped = reply(ACCOUNT, OPENID, "text", "<Content>x</Content>");
    assert_eq!(judged(sealed(&account, key, app_id, NOW, &swapped)), Err(Bad::NotSwapped));
    assert_eq!(verdict(MessageMode::Plain, 200, good), Err(Bad::Encrypted));
}
