//! What the platform's API answers.

use reqwest::StatusCode;
use serde_json::json;

use crate::platform::Platform;

#[tokio::test]
async fn errors_are_status_200_with_a_code_and_a_request_id() {
    let platform = Platform::plain().await;
    let answer = platform.get("/cgi-bin/user/info?openid=o1").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json; encoding=utf-8");
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""errcode":41001"#), "{text}");
    let (_, id) = text.split_once("access_token missing rid: ").unwrap();
    assert_eq!(id.find('-'), Some(8), "{id}");
}

#[tokio::test]
async fn each_wrong_call_has_its_own_code() {
    let platform = Platform::plain().await;
    let (id, secret, token) = (&platform.config.app_id, &platform.config.app_secret, platform.token().await);
    let gets = [
        ("/cgi-bin/token".to_owned(), 40002),
        ("/cgi-bin/token?grant_type=client_credential".to_owned(), 41002),
        ("/cgi-bin/token?grant_type=client_credential&appid=wx0&secret=x".to_owned(), 40013),
        (format!("/cgi-bin/token?grant_type=client_credential&appid={id}"), 41004),
        (format!("/cgi-bin/token?grant_type=client_credential&appid={id}&secret={secret}x"), 40125),
        ("/cgi-bin/stable_token".to_owned(), 43002),
        (format!("/cgi-bin/qrcode/create?access_token={token}"), 43002),
        (format!("/cgi-bin/user/info?access_token={token}"), 40003),
        (format!("/cgi-bin/user/info?access_token={token}&openid=x1"), 40003),
        (format!("/cgi-bin/user/info?access_token={token}x&openid=o1"), 40001),
        ("/cgi-bin/user/info?access_token=a%20b&openid=o1".to_owned(), 40014),
        ("/cgi-bin/nonsense".to_owned(), 40066),
    ];
    for (path, code) in gets {
        assert_eq!(platform.get_json(&path).await["errcode"], code, "{path}");
    }
    let create = format!("/cgi-bin/qrcode/create?access_token={token}");
    let posts = [
        ("/cgi-bin/token", json!({}), 43001),
        ("/cgi-bin/stable_token", json!([]), 47001),
        ("/cgi-bin/stable_token", json!({"grant_type": "client_credential", "appid": id}), 41004),
        (&create, json!({}), 40052),
        (&create, json!({"action_name": "QR_SCENE"}), 40053),
        ("/cgi-bin/qrcode/create", json!({}), 41001),
    ];
    for (path, body, code) in posts {
        assert_eq!(platform.post_json(path, &body).await["errcode"], code, "{path} {body}");
    }
}

#[tokio::test]
async fn both_token_endpoints_work_and_success_has_no_errcode() {
    let platform = Platform::plain().await;
    let (id, secret) = (&platform.config.app_id, &platform.config.app_secret);
    let path = format!("/cgi-bin/token?grant_type=client_credential&appid={id}&secret={secret}");
    let (first, second) = (platform.get_json(&path).await, platform.get_json(&path).await);
    assert_eq!(first["expires_in"], 7200);
    assert!(first.get("errcode").is_none());
    assert_ne!(first["access_token"], second["access_token"]);

    let stable = platform.token().await;
    platform.control("clock", &json!({ "advance_seconds": 1000 })).await;
    let again = platform.post_json("/cgi-bin/stable_token", &platform.credentials()).await;
    assert_eq!(again["access_token"], stable);
    assert!((6190..=6200).contains(&again["expires_in"].as_u64().unwrap()), "{again}");

    let before_last = first["access_token"].as_str().unwrap();
    let list = |token: &str| format!("/cgi-bin/getcallbackip?access_token={token}");
    assert_eq!(platform.get_json(&list(before_last)).await["errcode"], 40001, "replaced long ago");
    assert!(platform.get_json(&list(&stable)).await["ip_list"].is_array());
    platform.control("clock", &json!({ "advance_seconds": 7200 })).await;
    assert_eq!(platform.get_json(&list(&stable)).await["errcode"], 42001);
}

#[tokio::test]
async fn a_qr_code_leads_to_the_phone_page_and_has_a_picture_while_it_lives() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("my-scene").await;
    assert!(code.content.starts_with(&format!("{}/q/02", platform.config.public_url)));
    assert!(!code.content.contains("my-scene"));
    let encoded = code.ticket.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let picture = platform.get(&format!("/cgi-bin/showqrcode?ticket={encoded}")).await;
    assert_eq!(picture.status(), StatusCode::OK);
    assert_eq!(picture.headers()["content-type"], "image/svg+xml");
    platform.control("clock", &json!({ "advance_seconds": 120 })).await;
    let picture = platform.get(&format!("/cgi-bin/showqrcode?ticket={encoded}")).await;
    assert_eq!(picture.status(), StatusCode::NOT_FOUND);
    assert_eq!(platform.get("/cgi-bin/showqrcode?ticket=AAAA").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn slashes_in_answers_are_escaped_as_the_platform_may_do() {
    let platform = Platform::plain().await;
    let token = platform.token().await;
    let request = json!({
        "action_name": "QR_STR_SCENE",
        "action_info": { "scene": { "scene_str": "s" } },
    });
    let answer = platform.post(&format!("/cgi-bin/qrcode/create?access_token={token}"), &request).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""url":"http:\/\/127.0.0.1"#), "{text}");
    assert!(text.contains(r#""expire_seconds":60"#), "{text}");
}

#[tokio::test]
async fn user_info_tells_followers_from_others_and_nobodys_name() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    let info = |openid: &str, token: &str| format!("/cgi-bin/user/info?access_token={token}&openid={openid}");
    let token = platform.token().await;
    let stranger = platform.get_json(&info("oStranger", &token)).await;
    assert_eq!(stranger, json!({ "subscribe": 0, "openid": "oStranger", "tagid_list": [] }));

    let scan = json!({ "content": code.content, "openid": "oNew", "follower": false, "unionid": "union-1" });
    platform.control("scan", &scan).await;
    let person = platform.get_json(&info("oNew", &token)).await;
    assert_eq!((&person["subscribe"], &person["nickname"]), (&json!(1), &json!("")));
    assert_eq!(
        (&person["subscribe_scene"], &person["qr_scene_str"]),
        (&json!("ADD_SCENE_QR_CODE"), &json!("scene"))
    );
    assert_eq!(person["unionid"], "union-1");

    platform.control("push", &json!({ "event": "unsubscribe", "openid": "oNew" })).await;
    assert_eq!(platform.get_json(&info("oNew", &token)).await["subscribe"], 0);
}

#[tokio::test]
async fn three_messages_may_follow_a_scan_within_a_minute() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    let send = format!("/cgi-bin/message/custom/send?access_token={}", platform.token().await);
    let message = json!({ "touser": "o1", "msgtype": "text", "text": { "content": "hello" } });
    assert_eq!(platform.post_json(&send, &message).await["errcode"], 45015);
    platform.control("scan", &json!({ "content": code.content, "openid": "o1" })).await;
    for _ in 0..3 {
        assert_eq!(platform.post_json(&send, &message).await, json!({ "errcode": 0, "errmsg": "ok" }));
    }
    assert_eq!(platform.post_json(&send, &message).await["errcode"], 45047);
    platform.control("clock", &json!({ "advance_seconds": 60 })).await;
    assert_eq!(platform.post_json(&send, &message).await["errcode"], 45015);
}
