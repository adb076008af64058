//! Whole logins in every message mode of the platform.

use serde_json::Value;
use tests::http;
use tests::stack::{Plan, Stack, somebodys_openid};

async fn somebody_logs_in(mode: &'static str) {
    let stack = Plan { mode, gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    assert!(is_accepted_by_the_console(&stack).await, "c6");
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    let scan = stack.scan(&shown.content, &person).await;
    assert_eq!(scan.shown.as_deref(), Some("微信用户,登录成功!\n这是你第1次登录,玩的开心!"));
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
    // Of the verification and the scan; where the signature covers the message there is no need to remember it.
    let remembered = stack.redis.ask(&["KEYS", "scanlogin:*:message"]).await.lines().count();
    assert_eq!(remembered, if mode == "plain" { 2 } else { 0 });
}

/// Whether the console would accept the callback's address.
async fn is_accepted_by_the_console(stack: &Stack) -> bool {
    let url = format!("{}/simulator/verify", stack.simulator.url());
    let verdict: Value = http::client().post(url).send().await.unwrap().json().await.unwrap();
    verdict["passed"] == true
}

#[tokio::test]
async fn a_person_logs_in_in_safe_mode() {
    somebody_logs_in("safe").await;
}

#[tokio::test]
async fn a_person_logs_in_in_compatible_mode() {
    somebody_logs_in("compatible").await;
}

#[tokio::test]
async fn a_person_logs_in_in_plain_mode() {
    somebody_logs_in("plain").await;
}
