//! How the platform misbehaves when it is asked to.

use serde_json::{Value, json};

use crate::callback::reply;
use crate::platform::Platform;

#[tokio::test]
async fn errors_are_for_the_next_calls_of_one_path() {
    let platform = Platform::plain().await;
    let token = platform.token().await;
    let fault = json!({ "error": { "errcode": -1, "calls": 2, "path": "/cgi-bin/getcallbackip" } });
    platform.control("faults", &fault).await;
    let call = format!("/cgi-bin/getcallbackip?access_token={token}");
    platform.token().await;
    for expected in [json!(-1), json!(-1), Value::Null] {
        assert_eq!(platform.get_json(&call).await["errcode"], expected);
    }
}

#[tokio::test]
async fn an_answer_can_be_html_or_no_answer_at_all() {
    let platform = Platform::plain().await;
    platform
        .control("faults", &json!({ "not_json": { "calls": 1 }, "connection_reset": { "calls": 1 } }))
        .await;
    let broken = async || {
        let answer = platform.try_post("/cgi-bin/stable_token", &platform.credentials()).await;
        match answer {
            Err(_) => true,
            Ok(answer) => answer.text().await.is_err(),
        }
    };
    assert!(broken().await);
    let answer = platform.post("/cgi-bin/stable_token", &platform.credentials()).await;
    assert!(answer.text().await.unwrap().starts_with("<html>"));
    platform.token().await;
}

#[tokio::test]
async fn address_secret_and_tokens_can_stop_to_be_good() {
    let platform = Platform::plain().await;
    let token = platform.token().await;
    let fetch = async || {
        platform.post_json("/cgi-bin/stable_token", &platform.credentials()).await["errcode"].clone()
    };
    platform.control("faults", &json!({ "ip_not_allowed": true })).await;
    assert_eq!(fetch().await, 40164);
    platform.control("faults", &json!({ "ip_not_allowed": false, "secret_reset": true })).await;
    assert_eq!(fetch().await, 40125);
    let faults = platform.control("faults", &json!({ "reset": true, "token_revoked": true })).await;
    assert_eq!(faults["secret_reset"], false);
    let call = format!("/cgi-bin/getcallbackip?access_token={token}");
    assert_eq!(platform.get_json(&call).await["errcode"], 40001);
    assert_ne!(platform.token().await, token);
}

#[tokio::test]
async fn a_doubled_push_is_two_identical_copies_at_the_same_time() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.control("faults", &json!({ "doubled_pushes": true })).await;
    platform.callback.waits_for(2);
    platform.callback.answers(|push| (200, reply(push, "hello")));
    let outcome = platform.control("scan", &json!({ "content": code.content })).await;
    assert_eq!(outcome["shown"], "hello");
    let copies: Vec<_> =
        outcome["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["copy"]).collect();
    assert_eq!(copies, [&json!(1), &json!(2)]);
    let pushes = platform.callback.take();
    assert_eq!(pushes[0], pushes[1]);
}

#[tokio::test]
async fn a_lost_answer_makes_the_platform_try_again() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.control("faults", &json!({ "lost_answers": 2 })).await;
    platform.callback.answers(|push| (200, reply(push, "hello")));
    let outcome = platform.control("scan", &json!({ "content": code.content })).await;
    let verdicts: Vec<_> =
        outcome["attempts"].as_array().unwrap().iter().map(|a| a["verdict"].clone()).collect();
    assert_eq!(verdicts, ["lost", "lost", "reply"]);
    assert_eq!((&outcome["shown"], &outcome["fault"]), (&json!("hello"), &json!(false)));
    let pushes = platform.callback.take();
    assert!(pushes.len() == 3 && pushes.iter().all(|push| *push == pushes[0]));
}

#[tokio::test]
async fn a_held_push_goes_out_once_it_is_released() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.control("faults", &json!({ "hold_pushes": true })).await;
    let scan = json!({ "content": code.content });
    let release = async {
        // Calls behind the scan's own: the API is as quick as ever.
        for _ in 0..20 {
            platform.token().await;
        }
        let held = platform.callback.take().is_empty();
        platform.control("faults", &json!({ "hold_pushes": false })).await;
        held
    };
    let (outcome, held) = tokio::join!(platform.control("scan", &scan), release);
    assert!(held);
    assert_eq!(outcome["attempts"][0]["verdict"], "success");
}

#[tokio::test]
async fn the_platform_falls_silent_only_if_asked_to() {
    let platform = Platform::plain().await;
    let code = platform.qr_code("scene").await;
    platform.callback.answers(|_| (500, String::new()));
    platform.control("faults", &json!({ "mark_fail_after": 1, "attempts": 4 })).await;
    let scan = json!({ "content": code.content });
    assert_eq!(platform.control("scan", &scan).await["attempts"].as_array().unwrap().len(), 4);
    assert_eq!(platform.control("scan", &scan).await["not_pushed"], "mark_fail");
    platform.control("clock", &json!({ "advance_seconds": 60 })).await;
    platform.callback.answers(|_| (200, String::new()));
    assert_eq!(platform.control("scan", &scan).await["attempts"][0]["verdict"], "empty");
}
