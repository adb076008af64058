//! The doctor, on deployments that are well and on such as are not.

mod callback;
mod platform;
mod proxies;
mod redis;
mod settings;
mod tls;

use serde_json::Value;
use tests::doctor::Doctor;
use tests::http;
use tests::program::setting;
use tests::stack::{Plan, Stack};

/// How often the platform was asked for something.
async fn calls(stack: &Stack, path: &str) -> u64 {
    let log = http::client().get(format!("{}/simulator/log", stack.simulator.url())).send().await.unwrap();
    log.json::<Value>().await.unwrap()["counters"]["calls"][path].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_deployment_that_is_well_is_found_well() {
    let stack = Stack::start().await;
    let report = Doctor::of_stack(&stack).looks().await;
    report.is_well().is_readable();
    for (check, findings) in [
        ("settings", 2),
        ("redis", 3),
        ("clock", 2),
        ("token", 1),
        ("ip list", 1),
        ("qr right", 1),
        ("callback", 3),
        ("aes/mode", 1),
        ("page", 2),
    ] {
        assert_eq!(report.findings("ok", check).len(), findings, "{check}: {}", report.printed);
    }
    report.says("ok", "redis", &["Redis 7", "one server"]);
    report.says("ok", "token", &[&stack.simulator.url()]);
    report.says("ok", "callback", &["byte for byte"]);
    report.says("ok", "aes/mode", &["safe mode", "EncodingAESKey", "app id"]);
    // The harness's Redis keeps nothing on disk.
    report.says("warn", "redis", &["nothing on disk", "appendonly"]);
    report.says("skip", "console", &["from a phone", "greeting", "服务器配置", "安全模式"]);
    assert!(report.printed.ends_with("0 failed, 1 warning, 16 ok, 1 skipped.\n"), "{}", report.printed);

    assert_eq!(calls(&stack, "/cgi-bin/qrcode/create").await, 1, "a diagnosis costs one code");
    assert_eq!(stack.redis.ask(&["DBSIZE"]).await, "0", "and leaves nothing behind");
    let printed = stack.printed();
    assert!(printed.contains("scan_login_doctor"), "the log tells whose event it was: {printed}");
}

#[tokio::test]
async fn a_client_that_the_gateway_limits_is_told_of_trusted_proxies_and_of_waiting() {
    let few = setting("QR_LIMIT_PER_CLIENT", "1/h");
    let stack = Plan { gateways: 1, callbacks: 1, settings: vec![few], ..Plan::default() }.start().await;
    let doctor = Doctor::of_stack(&stack);
    doctor.looks().await.is_well();
    // The session that nobody has was taken for a guess, as its documentation says.
    let report = doctor.looks().await;
    report
        .is_readable()
        .fails_only("page", &["status 429", "TRUSTED_PROXIES", "QR_LIMIT_PER_CLIENT", "wait "]);
}

#[tokio::test]
async fn a_deployment_in_compatible_mode_is_found_well() {
    let stack = Plan { mode: "compatible", gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    let doctor = Doctor::of_stack(&stack).given("WECHAT_MESSAGE_MODE", "compatible");
    doctor.looks().await.is_well().says("ok", "aes/mode", &["compatible mode"]);
}

#[tokio::test]
async fn a_deployment_in_plain_mode_is_found_to_work_with_a_warning() {
    let stack = Plan { mode: "plain", gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    let doctor = Doctor::of_stack(&stack).given("WECHAT_MESSAGE_MODE", "plain");
    let report = doctor.not_given("WECHAT_ENCODING_AES_KEY").looks().await;
    report.is_well().is_readable().says("ok", "aes/mode", &["plain mode"]);
    report.says("warn", "settings", &["plain", "can forge", "消息加解密方式", "安全模式"]);
    report.says("skip", "console", &["明文模式"]);
}

#[tokio::test]
async fn a_gateway_without_its_redis_is_seen_from_outside() {
    let mut stack = Plan { gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    // It is given no Redis, as standalone's need not be.
    let doctor = Doctor::of_stack(&stack).not_given("REDIS_URL").given("STANDALONE", "true");
    stack.redis.kill();
    let report = doctor.looks().await;
    report.fails_only("page", &["does not reach its Redis", "/readyz"]);
    report.says("skip", "redis", &["memory of standalone"]);
}

#[tokio::test]
async fn a_list_of_origins_without_our_own_is_a_warning_if_it_is_known() {
    let origins = setting("ALLOWED_ORIGINS", "https://app.example.com");
    let plan = Plan { gateways: 1, callbacks: 1, settings: vec![origins], ..Plan::default() };
    let stack = plan.start().await;
    let doctor = Doctor::of_stack(&stack);
    let report = doctor.given("ALLOWED_ORIGINS", "https://app.example.com").looks().await;
    report.is_well().says("warn", "page", &["ALLOWED_ORIGINS", &stack.url()]);
    // These settings do not say so: the gateway has others, or a proxy changes Host.
    doctor
        .given("ALLOWED_ORIGINS", &stack.url())
        .looks()
        .await
        .fails_only("page", &["ALLOWED_ORIGINS", "Host"]);
}
