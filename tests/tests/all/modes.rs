//! Whole logins in every message mode of the platform.

use tests::stack::{Plan, somebodys_openid};

async fn somebody_logs_in(mode: &'static str) {
    let stack = Plan { mode, gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    let scan = stack.scan(&shown.content, &person).await;
    assert_eq!(scan.shown.as_deref(), Some("微信用户,登录成功!\n这是你第1次登录,玩的开心!"));
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
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
