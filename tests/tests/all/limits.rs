//! What one visitor may ask for: QR codes, connections, guesses; and that others notice nothing of it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::browser::{Browser, Request};
use tests::http;
use tests::patience::until;
use tests::stack::{Plan, Stack};

use crate::bounds::{faults, sent, small};
use tests::program::setting;

async fn stack(settings: &[(&str, &str)]) -> Stack {
    let settings = settings.iter().map(|(name, value)| setting(*name, *value)).collect();
    Plan { gateways: 2, callbacks: 1, settings, ..Plan::default() }.start().await
}

/// A page at `address`, as the proxy before the gateway says.
async fn page(gateway: &str, address: &str) -> Browser {
    try_page(gateway, address, None).await.unwrap()
}

async fn try_page(gateway: &str, address: &str, session: Option<&str>) -> Result<Browser, StatusCode> {
    let headers = vec![("x-forwarded-for", address.to_owned())];
    Browser::ask(gateway, Request { session: session.map(str::to_owned), headers, ..Request::default() })
        .await
}

/// Waits for the refusal, and returns the seconds that it names.
async fn limited(browser: &mut Browser) -> u64 {
    let message = browser.message().await;
    assert_eq!(
        (&message["message_type"], &message["code"]),
        (&json!("error"), &json!("rate_limited")),
        "{message}"
    );
    let retry_after = message["retry_after"].as_u64().unwrap();
    assert!(retry_after > 0, "{message}");
    retry_after
}

async fn codes_made(stack: &Stack) -> u64 {
    let log: Value = sent(http::client().get(format!("{}/simulator/log", stack.simulator.url())))
        .await
        .json()
        .await
        .unwrap();
    log["counters"]["calls"]["/cgi-bin/qrcode/create"].as_u64().unwrap_or_default()
}

async fn scripts_run(stack: &Stack) -> String {
    let all = stack.redis.ask(&["INFO", "commandstats"]).await;
    let line = all.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
    line.split(',').next().unwrap().to_owned()
}

#[tokio::test]
async fn a1_a_flood_from_one_address_is_limited_over_all_replicas_and_others_notice_nothing() {
    let stack = stack(&[("QR_LIMIT_PER_CLIENT", "5/h")]).await;
    let flood = futures_util::future::join_all((0..40).map(|visitor| {
        let gateway = stack.gateways[visitor % 2].url();
        async move {
            let mut browser = page(&gateway, "203.0.113.7").await;
            let message = browser.message().await;
            let refused = message["code"] == "rate_limited";
            if refused {
                // A token in twelve minutes.
                assert!((700..=720).contains(&message["retry_after"].as_u64().unwrap()), "{message}");
            }
            (browser, refused)
        }
    }))
    .await;
    assert_eq!(flood.iter().filter(|(_, refused)| !refused).count(), 5);
    assert_eq!(codes_made(&stack).await, 5, "a refused visitor costs the platform nothing");
    let mut other = page(&stack.gateways[0].url(), "203.0.113.8").await;
    other.qr_code().await;
}

#[tokio::test]
async fn a1_a_flood_from_one_64_or_one_network_is_limited_and_others_notice_nothing() {
    let stack = stack(&[("QR_LIMIT_PER_CLIENT", "2/h"), ("QR_LIMIT_PER_NETWORK", "3/h")]).await;
    let gateway = stack.gateways[0].url();
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::1"] {
        page(&gateway, address).await.qr_code().await;
    }
    limited(&mut page(&gateway, "2001:db8:1:2:3:4:5:6").await).await;
    page(&gateway, "2001:db8:1:3::1").await.qr_code().await;
    limited(&mut page(&gateway, "2001:db8:1:4::1").await).await;
    page(&gateway, "2001:db8:2::1").await.qr_code().await;
    for last in 1..=3 {
        page(&gateway, &format!("203.0.113.{last}")).await.qr_code().await;
    }
    limited(&mut page(&gateway, "203.0.113.4").await).await;
    page(&gateway, "203.0.112.4").await.qr_code().await;
}

#[tokio::test]
async fn a1_the_deployments_codes_have_a_limit() {
    let stack = stack(&[("QR_LIMIT_TOTAL", "3/day")]).await;
    let gateway = stack.gateways[0].url();
    for host in 1..=3 {
        page(&gateway, &format!("203.0.{host}.1")).await.qr_code().await;
    }
    let wait = limited(&mut page(&stack.gateways[1].url(), "203.0.9.1").await).await;
    assert!(wait <= 86_400, "{wait}");
    assert_eq!(codes_made(&stack).await, 3);
    stack.gateways[1].prints("total").await;
}

#[tokio::test]
async fn a1_a_limited_page_gets_its_code_on_the_same_socket_when_it_has_waited() {
    // A code each two seconds, once the first thirty are gone.
    let stack = small(&[("QR_LIMIT_PER_CLIENT", "30/min")]).await;
    let mut browsers = Vec::new();
    let mut last = loop {
        let mut browser = page(&stack.gateways[0].url(), "203.0.113.7").await;
        let message = browser.message().await;
        if message["message_type"] == "error" {
            assert!(message["retry_after"].as_u64().is_some_and(|wait| (1..=2).contains(&wait)), "{message}");
            break browser;
        }
        browsers.push(browser);
        assert!(browsers.len() < 100, "nobody was limited");
    };
    assert!(browsers.len() >= 30);
    until("a code after the wait", async || {
        last.refresh().await;
        let message = last.message().await;
        assert!(message["message_type"] == "qrcode_url" || message["code"] == "rate_limited", "{message}");
        message["message_type"] == "qrcode_url"
    })
    .await;
}

#[tokio::test]
async fn a2_a_page_that_refreshes_too_fast_keeps_its_code_and_is_told_to_wait() {
    let stack = small(&[("QR_LIMIT_PER_CLIENT", "2/h")]).await;
    let mut browser = page(&stack.gateways[0].url(), "203.0.113.7").await;
    browser.qr_code().await;
    browser.refresh().await;
    let content = browser.qr_code().await.content;
    browser.refresh().await;
    limited(&mut browser).await;
    let asked = scripts_run(&stack).await;
    for _ in 0..50 {
        browser.refresh().await;
        limited(&mut browser).await;
    }
    assert_eq!(scripts_run(&stack).await, asked, "who does not wait costs Redis nothing");
    assert_eq!(codes_made(&stack).await, 2);
    stack.scan(&content, &tests::stack::somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn a2_a_page_that_asks_on_while_the_platform_is_in_trouble_costs_nobody_anything() {
    let stack = small(&[("QR_LIMIT_PER_CLIENT", "1000/h"), ("RUST_LOG", "info")]).await;
    let create = "/cgi-bin/qrcode/create";
    faults(&stack, json!({ "error": { "errcode": 48001, "calls": 1000, "path": create } })).await;
    let mut browser = page(&stack.gateways[0].url(), "203.0.113.7").await;
    assert_eq!(browser.error().await, "platform_unavailable");
    let (asked, called) = (scripts_run(&stack).await, codes_made(&stack).await);
    for _ in 0..50 {
        browser.refresh().await;
        let refusal = browser.message().await;
        assert_eq!(refusal["code"], "platform_unavailable", "the same answer as the first: {refusal}");
        assert!(refusal["retry_after"].as_u64().is_some_and(|wait| wait > 0), "{refusal}");
    }
    assert_eq!((scripts_run(&stack).await, codes_made(&stack).await), (asked, called));
}

#[tokio::test]
async fn a2_a_page_that_refreshes_after_the_scan_is_told_each_time_and_logged_once() {
    let stack = small(&[]).await;
    let mut browser = page(&stack.gateways[0].url(), "203.0.113.7").await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, &tests::stack::somebodys_openid()).await;
    let code = browser.success().await.code;
    for _ in 0..20 {
        browser.refresh().await;
        assert_eq!(browser.success().await.code, code);
    }
    assert_eq!(stack.gateways[0].printed().matches("login pushed").count(), 1);
}

#[tokio::test]
async fn a2_who_connects_too_often_is_told_to_slow_down_and_recovers() {
    // Thirty connections an hour for the one code, and one more each two minutes: or each two seconds by the minute.
    let stack = small(&[("QR_LIMIT_PER_CLIENT", "1/min")]).await;
    let gateway = stack.gateways[0].url();
    let mut browser = page(&gateway, "203.0.113.7").await;
    let session = browser.qr_code().await.session;
    let mut resumed = 0;
    let refusal = loop {
        match try_page(&gateway, "203.0.113.7", Some(&session)).await {
            Ok(mut browser) => {
                browser.qr_code().await;
                resumed += 1;
            }
            Err(refusal) => break refusal,
        }
        assert!(resumed < 200, "nobody was told to slow down");
    };
    assert_eq!(refusal, StatusCode::TOO_MANY_REQUESTS);
    assert!(resumed >= 29, "{resumed}");
    let mut other = page(&gateway, "203.0.113.8").await;
    other.qr_code().await;
    until("a place for who slowed down", async || {
        try_page(&gateway, "203.0.113.7", Some(&session)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a3_unknown_sessions_from_one_address_are_limited_and_others_can_resume() {
    let stack = small(&[("QR_LIMIT_PER_CLIENT", "3/h")]).await;
    let gateway = stack.gateways[0].url();
    let session = page(&gateway, "203.0.113.8").await.qr_code().await.session;
    for guess in ["x", &"A".repeat(43), &session.chars().rev().collect::<String>()] {
        let mut browser = try_page(&gateway, "203.0.113.7", Some(guess)).await.unwrap();
        assert_eq!(browser.error().await, "unknown_session");
    }
    let refused = try_page(&gateway, "203.0.113.7", Some(&session)).await.unwrap_err();
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    try_page(&gateway, "203.0.113.8", Some(&session)).await.unwrap().qr_code().await;
}

#[tokio::test]
async fn a_code_that_the_platform_refused_costs_the_visitor_nothing() {
    let stack = small(&[("QR_LIMIT_PER_CLIENT", "1/h")]).await;
    faults(&stack, json!({ "error": { "errcode": 40053, "calls": 1, "path": "/cgi-bin/qrcode/create" } }))
        .await;
    let mut browser = page(&stack.gateways[0].url(), "203.0.113.7").await;
    let refusal = browser.message().await;
    assert_eq!(refusal["code"], "platform_unavailable", "{refusal}");
    tokio::time::sleep(Duration::from_secs(refusal["retry_after"].as_u64().unwrap())).await;
    browser.refresh().await;
    browser.qr_code().await;
    browser.refresh().await;
    limited(&mut browser).await;
}

#[tokio::test]
async fn a_refused_call_is_told_with_the_address_that_it_came_from() {
    let stack = small(&[]).await;
    let url = format!("{}/wechat/callback?signature=0&timestamp=0&nonce=0", stack.callbacks[0].url());
    for call in [http::client().get(&url), http::client().post(&url)] {
        let refused = sent(call.header("x-forwarded-for", "203.0.113.7")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
    until("both lines", async || {
        stack.callbacks[0].printed().matches("\"client\":\"203.0.113.7\"").count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_forwarded_address_from_a_stranger_is_not_believed_and_warned_of_once() {
    let stack = small(&[("TRUSTED_PROXIES", ""), ("QR_LIMIT_PER_CLIENT", "2/h")]).await;
    let gateway = stack.gateways[0].url();
    page(&gateway, "203.0.113.7").await.qr_code().await;
    page(&gateway, "203.0.113.8").await.qr_code().await;
    limited(&mut page(&gateway, "203.0.113.9").await).await;
    let printed = stack.gateways[0].printed();
    assert_eq!(printed.matches("a forwarded address is not believed").count(), 1);
}
