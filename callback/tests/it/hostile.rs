//! C5: bodies that no platform sends get a quick 4xx.

use axum::http::StatusCode;
use callback::Mode;

use crate::platform::{ALICE, Platform, message, safe, success};

/// Statuses of `body` as a plain push, and inside and outside of an encrypted one.
async fn statuses(body: &str) -> [StatusCode; 2] {
    let (plain, safe) = (Platform::new(Mode::Plain), Platform::new(safe()));
    [plain.answer(plain.push(body)).await.status, safe.answer(safe.push(body)).await.status]
}

#[tokio::test]
async fn c5_what_is_not_the_platforms_xml_gets_400() {
    let scan = Platform::new(safe()).login().await.scan(ALICE);
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let inserted = |what: &str| scan.replacen("</xml>", &format!("{what}</xml>"), 1);
    let hostile = [
        String::new(),
        " ".to_owned(),
        "{}".to_owned(),
        "xml".to_owned(),
        "<xml/>".to_owned(),
        "<xml>".to_owned(),
        "</xml>".to_owned(),
        "<html></html>".to_owned(),
        format!("<!DOCTYPE xml>{scan}"),
        format!("<!doctype xml>{scan}"),
        format!("<!DOCTYPE xml [<!ENTITY a \"b\">]>{scan}"),
        format!("{scan}<!DOCTYPE xml>"),
        inserted("<!DOCTYPE xml>"),
        inserted("<Remark>&lol;</Remark>"),
        inserted("<Remark>&#0;</Remark>"),
        inserted("<Remark>&#xD800;</Remark>"),
        inserted("<Remark>&</Remark>"),
        scan.replace(ALICE, &format!("{ALICE}]]><!-- --><![CDATA[")),
        inserted("<!-- -->"),
        scan.replace("xml>", "html>"),
        scan.replace("</xml>", ""),
        inserted("<?php ?>"),
        inserted("text"),
        inserted("<![CDATA[text]]>"),
        inserted("&#65;"),
        inserted("<a><b></a></b>"),
        inserted("<a>"),
        inserted("</a>"),
        inserted(&deep(8)),
        inserted(&deep(5000)),
        inserted(&"<a/>".repeat(1200)),
        format!("{scan}{scan}"),
        format!("{scan}<xml/>"),
        format!("{scan}text"),
        format!("text{scan}"),
        inserted("<FromUserName><![CDATA[oSim0_bbbbbbbbbbbbbbbbbbbbbb]]></FromUserName>"),
        inserted("<ToUserName>gh_5e1f0a9b7c2d</ToUserName>"),
        inserted("<EventKey/>"),
        inserted("<Ticket></Ticket>"),
        inserted("<Event>SCAN</Event>"),
        inserted("<MsgType>event</MsgType>"),
        inserted("<CreateTime>1</CreateTime>"),
        scan.replace("<EventKey>", "<EventKey><b/>"),
        scan.replace(ALICE, &format!("{ALICE}]]><b>x</b><![CDATA[")),
        scan.replace(ALICE, "oSim0_\u{0}a"),
        scan.replace(ALICE, "oSim0_\u{8}a"),
        scan.replace("SCAN", "SC\u{7f}AN"),
        scan.replace("<EventKey><![CDATA[", "<EventKey><![CDATA[\u{1b}"),
        scan.replace("<Ticket><![CDATA[", "<Ticket>&#8;<![CDATA["),
    ];
    for body in hostile {
        let [plain, safe] = statuses(&body).await;
        let shown: String = body.chars().take(200).collect();
        assert_eq!(plain, StatusCode::BAD_REQUEST, "plain {shown}");
        assert_eq!(safe, StatusCode::BAD_REQUEST, "safe {shown}");
    }
}

#[tokio::test]
async fn c5_the_bounds_on_depth_and_elements_are_exact() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    // The root is the first level and the first element; three fields are there already.
    let [deep, too_deep] = [7, 8].map(|depth| message(ALICE, "text", &nested(depth)));
    let [many, too_many] = [1020, 1021].map(|count| message(ALICE, "text", &"<a/>".repeat(count - 1)));
    for good in [deep, many] {
        assert_eq!(statuses(&good).await, [StatusCode::OK; 2], "{}", &good[..300]);
    }
    for bad in [too_deep, too_many] {
        assert_eq!(statuses(&bad).await, [StatusCode::BAD_REQUEST; 2], "{}", &bad[..300]);
    }
}

#[tokio::test]
async fn c5_invalid_utf_8_gets_400_inside_and_outside() {
    let platform = Platform::new(safe());
    let outside = platform.push("").with_body(b"<xml><Encrypt>\xff\xfe</Encrypt></xml>".to_vec());
    assert_eq!(platform.answer(outside).await.status, StatusCode::BAD_REQUEST);
    let plain = Platform::new(Mode::Plain);
    let mut body = message(ALICE, "text", "<Content>?</Content>").into_bytes();
    let at = body.iter().position(|byte| *byte == b'?').unwrap();
    body[at] = 0xff;
    assert_eq!(plain.answer(plain.push("").with_body(body)).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn c5_the_outside_of_an_encrypted_push_is_read_as_strictly() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let push = platform.push(&login.scan(ALICE));
    let body = String::from_utf8(push.body.clone()).unwrap();
    let inserted = |what: &str| body.replacen("</xml>", &format!("{what}</xml>"), 1);
    let hostile = [
        format!("<!DOCTYPE xml>{body}"),
        inserted("<Encrypt>AAAA</Encrypt>"),
        inserted("<FromUserName>a</FromUserName><FromUserName>b</FromUserName>"),
        format!("{body}{body}"),
        inserted("<a>&lol;</a>"),
    ];
    for body in hostile {
        assert_eq!(platform.answer(push.clone().with_body(body)).await.status, StatusCode::BAD_REQUEST);
    }
    assert!(platform.claimed_by(&login).await.is_none());
}

#[tokio::test]
async fn what_the_platform_may_write_differently_is_read() {
    let platform = Platform::new(Mode::Plain);
    let spellings: [fn(&str) -> String; 7] = [
        |scan| format!("\u{feff}{scan}"),
        |scan| format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n{scan}\r\n"),
        |scan| scan.replace("<![CDATA[", "").replace("]]>", ""),
        |scan| scan.replace("<![CDATA[", " \n<![CDATA[").replace("]]>", "]]>\t"),
        |scan| scan.replace("SCAN", "SC]]><![CDATA[AN"),
        |scan| scan.replace("<![CDATA[SCAN]]>", "&#83;&#x43;AN"),
        |scan| scan.replace("<CreateTime>1763800030", "<CreateTime>  1763800030 "),
    ];
    for (count, spelling) in spellings.into_iter().enumerate() {
        let login = platform.login().await;
        let shown = platform.shown(&spelling(&login.scan(ALICE))).await;
        assert_eq!(shown, Some(success(count as u64 + 1)), "spelling {count}");
    }
}
