//! The controls themselves, and the phone page.

use axum::Router;
use axum::routing::get;
use reqwest::StatusCode;
use serde_json::json;
use simulator::{Config, Simulator};

use crate::platform::{Platform, json_of};

#[tokio::test]
async fn the_consoles_url_check_passes_only_on_the_very_text() {
    let platform = Platform::plain().await;
    let verify = async || platform.control("verify", &json!({})).await;
    platform.callback.answers(|check| (200, check.query["echostr"].clone()));
    assert_eq!(verify().await, json!({ "passed": true, "status": 200, "reason": null }));
    platform.callback.answers(|check| (200, format!("{}\n", check.query["echostr"])));
    assert_eq!(verify().await["passed"], false);
    platform.callback.answers(|check| (201, check.query["echostr"].clone()));
    let verification = verify().await;
    assert_eq!((&verification["passed"], &verification["status"]), (&json!(false), &json!(201)));
}

#[tokio::test]
async fn a_control_says_what_is_wrong_with_a_body() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    let wrong = [
        ("scan", json!({}), "content"),
        ("scan", json!({ "content": code.content, "who": "me" }), "who"),
        ("scan", json!({ "content": code.content, "openid": "me" }), "openid"),
        ("push", json!({}), "exactly one"),
        ("push", json!({ "event": "x", "text": "y" }), "exactly one"),
        ("push", json!({ "msg_type": "x", "nodes": { "a><b": "" } }), "node"),
        ("faults", json!({ "latency": 1 }), "latency"),
        ("faults", json!({ "error": { "errcode": -1, "calls": 1, "path": "/x" } }), "path"),
        ("clock", json!({ "advance_seconds": 99_999_999 }), "year"),
    ];
    for (control, body, part) in wrong {
        let answer = platform.post(&format!("/simulator/{control}"), &body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
        let answer = json_of(answer).await;
        assert_eq!(answer["error"], "malformed");
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
    }
    let answer = platform.post("/simulator/scan", &json!({ "content": "http://elsewhere/q/02x" })).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(json_of(answer).await["error"], "unknown_content");
    assert!(platform.callback.take().is_empty());
}

#[tokio::test]
async fn a_page_of_another_site_can_do_nothing() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    let scan = json!({ "content": code.content });
    let answer = platform.post_from_another_site("/simulator/scan", &scan).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(platform.callback.take().is_empty());
}

#[tokio::test]
async fn the_log_counts_everything_and_tells_no_secret() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("the-scene").await;
    let token = platform.token().await;
    platform.control("scan", &json!({ "content": code.content, "openid": "oTheOpenid" })).await;
    platform.get(&format!("/cgi-bin/user/info?access_token={token}&openid=oTheOpenid")).await;
    let log = platform.get_json("/simulator/log").await;
    let counters = &log["counters"];
    for (name, count) in [
        ("stable_tokens", 2),
        ("tokens_made", 1),
        ("qr_codes", 1),
        ("user_infos", 1),
        ("pushes", 1),
        ("attempts", 1),
    ] {
        assert_eq!(counters[name], count, "{name}");
    }
    assert_eq!(counters["calls"]["/cgi-bin/stable_token"], 2);
    let text = log.to_string();
    assert!(text.contains(r#""event":"SCAN""#));
    let id = code.content.rsplit('/').next().unwrap();
    for secret in [&platform.config.app_secret, &platform.config.token, &token, &code.ticket] {
        assert!(!text.contains(secret.as_str()));
    }
    assert!(!text.contains("the-scene") && !text.contains("oTheOpenid") && !text.contains(id));
}

#[tokio::test]
async fn the_phone_sees_texts_and_ages_but_no_scene_and_no_ticket() {
    let platform = Platform::plain().await;
    let old = platform.qr_code("old-scene").await;
    platform.control("clock", &json!({ "advance_seconds": 60 })).await;
    let new = platform.qr_code("new-scene").await;
    let codes = platform.get_json("/simulator/codes").await["codes"].clone();
    assert_eq!((&codes[0]["content"], &codes[1]["content"]), (&json!(new.content), &json!(old.content)));
    assert!(codes[1]["age_seconds"].as_u64().unwrap() >= 60);
    assert_eq!(codes[0].as_object().unwrap().len(), 2);
    platform.control("clock", &json!({ "advance_seconds": 60 })).await;
    assert_eq!(platform.get_json("/simulator/codes").await["codes"].as_array().unwrap().len(), 1);

    let path = new.content.strip_prefix(&platform.config.public_url).unwrap();
    let page = platform.get(path).await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    let text = page.text().await.unwrap();
    assert!(text.contains(&format!("data-content=\"{}\"", new.content)));
    assert!(!text.contains("new-scene") && !text.contains(&new.ticket));
    assert_eq!(platform.get("/q/02nobody").await.status(), StatusCode::NOT_FOUND);
    assert!(platform.get("/simulator/phone").await.text().await.unwrap().contains("data-content=\"\""));
}

#[tokio::test]
async fn a_code_is_looked_up_by_its_text_even_when_it_is_over() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("the-scene").await;
    for advance_seconds in [0, 120] {
        platform.control("clock", &json!({ "advance_seconds": advance_seconds })).await;
        let known = platform.control("code", &json!({ "content": code.content })).await;
        assert_eq!(known, json!({ "scene": "the-scene", "ticket": code.ticket }));
    }
    let unknown = platform.post("/simulator/code", &json!({ "content": "http://elsewhere/q/02x" })).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let foreign =
        platform.post_from_another_site("/simulator/code", &json!({ "content": code.content })).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_router_fits_into_another_one() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let simulator =
        Simulator::new(Config::random("http://127.0.0.1:1/cb", "http://127.0.0.1:2").unwrap()).unwrap();
    let theirs = ["/", "/ws", "/sdk/scan-login.js", "/api/redeem", "/wechat/callback"];
    let router = theirs.iter().fold(Router::new(), |router, path| router.route(path, get(|| async {})));
    let _: Router = router.fallback(|| async {}).merge(simulator.router());
}

#[tokio::test]
async fn scenes_tells_what_a_scan_would_push_and_pushes_nothing() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("the-scene").await;
    let scan = |content: &str| json!({ "content": content, "openid": "oTheOpenid" });
    let scans = json!({ "scans": [scan(&code.content), scan("http://elsewhere/q/x")] });
    let answer = platform.control("scenes", &scans).await;
    assert_eq!(answer, json!({ "scenes": [{ "event_key": "the-scene", "ticket": code.ticket }, null] }));
    assert_eq!(platform.get_json("/simulator/log").await["counters"]["pushes"], 0);
    let token = platform.token().await;
    let person =
        platform.get_json(&format!("/cgi-bin/user/info?access_token={token}&openid=oTheOpenid")).await;
    assert_eq!(person["subscribe"], 1);
    for refused in [json!({ "scans": [{ "content": code.content, "openid": "nobody" }] }), json!({})] {
        assert_eq!(platform.post("/simulator/scenes", &refused).await.status(), StatusCode::BAD_REQUEST);
    }
}
