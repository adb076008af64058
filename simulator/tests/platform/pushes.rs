//! What the account's server is sent, and what the phone shows of its answers.

use reqwest::Method;
use serde_json::json;
use simulator::MessageMode;

use crate::callback::reply;
use crate::platform::Platform;

const FAULT_LINE: &str = "该公众号提供的服务出现故障，请稍后再试";

#[tokio::test]
async fn a_followers_scan_is_pushed_and_the_reply_shown() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("lg_5f3c9a").await;
    platform.callback.answers(|push| (200, reply(push, "微信用户,登录成功!\n这是你第1次登录,玩的开心! ")));
    let outcome = platform.control("scan", &json!({ "content": code.content, "openid": "oSim" })).await;
    assert_eq!(outcome["event"], "SCAN");
    assert_eq!(outcome["shown"], "微信用户,登录成功!\n这是你第1次登录,玩的开心! ");
    assert_eq!((&outcome["fault"], &outcome["not_pushed"]), (&json!(false), &json!(null)));
    let attempt = &outcome["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["verdict"]), (&json!(200), &json!("reply")));

    let push = platform.callback.take_one();
    assert_eq!((&push.method, &*push.agent, &*push.content_type), (&Method::POST, "Mozilla/4.0", "text/xml"));
    assert_eq!(push.query["openid"], "oSim");
    assert_eq!(push.query["signature"].len(), 40);
    assert!(!push.query.contains_key("encrypt_type"));
    assert_eq!(push.node("ToUserName"), Some(&*platform.config.original_id));
    assert_eq!((push.node("Event"), push.node("EventKey")), (Some("SCAN"), Some("lg_5f3c9a")));
    assert_eq!(push.node("Ticket"), Some(&*code.ticket));
}

#[tokio::test]
async fn safe_mode_shows_nothing_and_compatible_mode_everything_in_the_clear() {
    for (mode, clear) in [(MessageMode::Safe, false), (MessageMode::Compatible, true)] {
        let platform = Platform::start(mode).await;
        let code = platform.qr_code("scene").await;
        let outcome = platform.control("scan", &json!({ "content": code.content })).await;
        assert_eq!((&outcome["shown"], &outcome["fault"]), (&json!(null), &json!(false)));
        let push = platform.callback.take_one();
        assert_eq!(push.query["encrypt_type"], "aes");
        assert_eq!(push.query["msg_signature"].len(), 40);
        assert!(push.node("Encrypt").is_some());
        assert_eq!(push.node("FromUserName").is_some(), clear);
    }
}

#[tokio::test]
async fn a_stranger_is_pushed_only_once_they_follow() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    let looks = json!({ "content": code.content, "follower": false, "follows": false });
    assert_eq!(platform.control("scan", &looks).await["not_pushed"], "not_followed");
    assert!(platform.callback.take().is_empty());

    let follows = json!({ "content": code.content, "follower": false, "follow_after_seconds": 299 });
    assert_eq!(platform.control("scan", &follows).await["event"], "subscribe");
    let push = platform.callback.take_one();
    assert_eq!((push.node("EventKey"), push.node("Ticket")), (Some("qrscene_scene"), Some(&*code.ticket)));

    let late = json!({ "content": code.content, "follower": false, "follow_after_seconds": 300 });
    platform.control("scan", &late).await;
    let push = platform.callback.take_one();
    assert_eq!(
        (push.node("Event"), push.node("EventKey"), push.node("Ticket")),
        (Some("subscribe"), Some(""), None)
    );
}

#[tokio::test]
async fn a_bad_answer_is_asked_for_three_times_with_the_same_bytes() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.callback.answers(|_| (201, "success".to_owned()));
    let outcome = platform.control("scan", &json!({ "content": code.content })).await;
    assert_eq!((&outcome["shown"], &outcome["fault"]), (&json!(FAULT_LINE), &json!(true)));
    assert!(outcome["attempts"][2]["reason"].as_str().unwrap().contains("201"));
    let pushes = platform.callback.take();
    assert_eq!(pushes.len(), 3);
    assert!(pushes.iter().all(|push| *push == pushes[0]));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.callback.answers(|_| (307, String::new()));
    let outcome = platform.control("scan", &json!({ "content": code.content })).await;
    assert_eq!((&outcome["attempts"][0]["status"], &outcome["fault"]), (&json!(307), &json!(true)));
}

#[tokio::test]
async fn an_answer_after_five_seconds_is_too_late() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.control("faults", &json!({ "attempts": 1 })).await;
    platform.callback.waits_for(2);
    let outcome = platform.control("scan", &json!({ "content": code.content })).await;
    assert_eq!((&outcome["attempts"][0]["verdict"], &outcome["fault"]), (&json!("timeout"), &json!(true)));
    let elapsed = outcome["attempts"][0]["elapsed_ms"].as_u64().unwrap();
    assert!((5000..6000).contains(&elapsed), "{elapsed}");
}

#[tokio::test]
async fn a_code_that_is_over_pushes_nothing() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.control("clock", &json!({ "advance_seconds": 120 })).await;
    let outcome = platform.control("scan", &json!({ "content": code.content, "openid": "o1" })).await;
    assert_eq!(
        outcome,
        json!({ "openid": "o1", "event": null, "not_pushed": "expired", "attempts": [], "shown": null, "fault": false })
    );
    assert!(platform.callback.take().is_empty());
}

#[tokio::test]
async fn any_other_message_or_event_can_be_pushed() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    let pushes = [
        (json!({ "event": "subscribe" }), [Some("subscribe"), Some(""), None]),
        (json!({ "event": "subscribe", "event_key": null }), [Some("subscribe"), None, None]),
        (json!({ "event": "CLICK", "event_key": "menu" }), [Some("CLICK"), Some("menu"), None]),
        (
            json!({ "event": "scan", "content": code.content }),
            [Some("scan"), Some("scene"), Some(&*code.ticket)],
        ),
        (
            json!({ "event": "SCAN", "content": code.content, "ticket": "other" }),
            [Some("SCAN"), Some("scene"), Some("other")],
        ),
        (json!({ "text": "你好 👋 " }), [None, None, None]),
        (
            json!({ "msg_type": "image", "nodes": { "PicUrl": "http://x", "MediaId": "m" } }),
            [None, None, None],
        ),
    ];
    for (body, expected) in pushes {
        platform.control("push", &body).await;
        let push = platform.callback.take_one();
        assert_eq!([push.node("Event"), push.node("EventKey"), push.node("Ticket")], expected, "{body}");
        let content = body.get("text").map(|text| text.as_str().unwrap());
        assert_eq!(push.node("Content"), content);
        assert_eq!(push.node("MsgId").is_some(), body.get("event").is_none(), "events have no MsgId");
    }
    platform.callback.answers(|_| (500, String::new()));
    let outcome = platform.control("push", &json!({ "event": "unsubscribe" })).await;
    assert_eq!((&outcome["shown"], &outcome["fault"]), (&json!(null), &json!(false)), "nobody sees it");
}

#[tokio::test]
async fn a_tampered_push_is_really_different() {
    let platform = Platform::start(MessageMode::Safe).await;
    platform.callback.answers(|_| (403, String::new()));
    let kinds =
        ["signature", "msg_signature", "unsigned", "app_id", "padding", "downgraded", "plain_body", "stale"];
    for tampered in kinds {
        let outcome = platform.control("push", &json!({ "event": "SCAN", "tampered": tampered })).await;
        assert_eq!(outcome["attempts"][0]["status"], 403);
        let push = platform.callback.take().remove(0);
        let downgraded = !push.query.contains_key("encrypt_type");
        assert_eq!(downgraded, tampered == "downgraded");
        assert_eq!(push.node("Encrypt").is_none(), matches!(tampered, "downgraded" | "plain_body"));
        assert_eq!(push.query.contains_key("signature"), tampered != "unsigned");
    }
}
