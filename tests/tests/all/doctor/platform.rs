//! Every fault that the simulator can set.

use serde_json::{Value, json};
use tests::doctor::{Doctor, Report};
use tests::http;
use tests::program::Program;
use tests::stack::Account;

const TOKEN: &str = "/cgi-bin/stable_token";
const CREATE: &str = "/cgi-bin/qrcode/create";

/// A platform, and the doctor of an account on it.
struct World {
    simulator: Program,
    doctor: Doctor,
}

impl World {
    async fn new() -> Self {
        let account = Account::random();
        let simulator = Program::start("simulator", account.settings("safe")).await;
        let doctor = Doctor::of_account(&account, &simulator.url()).given("STANDALONE", "true");
        Self { simulator, doctor }
    }

    /// What the doctor says when the platform has these faults and no others.
    async fn suffers(&self, mut faults: Value) -> Report {
        faults["reset"] = json!(true);
        self.control("faults", &faults).await;
        let report = self.doctor.looks().await;
        report.is_readable();
        report
    }

    async fn control(&self, control: &str, body: &Value) {
        let url = format!("{}/simulator/{control}", self.simulator.url());
        let answer = http::client().post(url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{body}");
    }

    async fn refuses(&self, path: &str, errcode: i64) -> Report {
        self.suffers(json!({ "error": { "errcode": errcode, "calls": 1000, "path": path } })).await
    }
}

#[tokio::test]
async fn a_refused_token_says_what_to_click() {
    let world = World::new().await;
    for (errcode, says) in [
        (40001, ["开发者密码(AppSecret)", "WECHAT_APP_SECRET"]),
        (40125, ["重置", "WECHAT_APP_SECRET"]),
        (40013, ["开发者ID(AppID)", "WECHAT_APP_ID"]),
        (40243, ["冻结", "解冻"]),
        (50007, ["frozen", "通知"]),
        (-1, ["busy", "doctor again in a minute"]),
        (45009, ["midnight in Beijing, or clear the quota", "restart the gateways"]),
        (99999, ["simulated error", "return codes"]),
    ] {
        let report = world.refuses(TOKEN, errcode).await;
        report.fails_only("token", &says).fails("token", &[&errcode.to_string()]);
        report.says("skip", "ip list", &["another reason"]).says("skip", "qr right", &["needs a token"]);
    }
    world.suffers(json!({ "secret_reset": true })).await.fails_only("token", &["40125", "WECHAT_APP_SECRET"]);
}

#[tokio::test]
async fn a_password_before_the_platforms_address_is_not_shown() {
    let world = World::new().await;
    let base = world.simulator.url().replacen("://", "://somebody:correct-horse@", 1);
    let report = world.doctor.given("WECHAT_API_BASE", &base).looks().await;
    report.says("FAIL", "settings", &["WECHAT_API_BASE", "malformed"]);
    for hidden in ["somebody", "correct-horse"] {
        assert!(!report.printed.contains(hidden), "{}", report.printed);
    }
}

#[tokio::test]
async fn an_address_that_is_not_on_the_list_is_named() {
    let report = World::new().await.suffers(json!({ "ip_not_allowed": true })).await;
    report.fails_only("ip list", &["127.0.0.1", "40164", "IP白名单: add 127.0.0.1"]);
    report.says("skip", "token", &["see ip list"]).says("skip", "qr right", &[]);
}

#[tokio::test]
async fn an_account_without_the_right_to_make_codes_is_told_how_to_get_it() {
    let world = World::new().await;
    for (errcode, says) in [
        (48001, ["服务号", "测试号"]),
        (48004, ["blocked", "通知"]),
        (45009, ["clear_quota, 10 times a month", "restart the gateways"]),
        (45011, ["too many", "doctor again in a minute"]),
        (-1, ["busy", "doctor again in a minute"]),
    ] {
        let report = world.refuses(CREATE, errcode).await;
        report.fails_only("qr right", &says).fails("qr right", &[&errcode.to_string()]);
        report.says("ok", "token", &[]).says("ok", "ip list", &["may fetch"]);
    }
    // A token that is given and never taken.
    for errcode in [40001, 42001] {
        world.refuses(CREATE, errcode).await.fails_only("qr right", &["does not take the access token"]);
    }
}

#[tokio::test]
async fn a_platform_that_answers_nonsense_or_nothing_is_no_platform() {
    let world = World::new().await;
    let report = world.suffers(json!({ "not_json": { "calls": 1000 } })).await;
    report.fails_only("token", &["no JSON", "WECHAT_API_BASE"]);
    let report = world.suffers(json!({ "not_json": { "calls": 1000, "path": CREATE } })).await;
    report.fails_only("qr right", &["no JSON", "WECHAT_API_BASE"]);
    let report = world.suffers(json!({ "connection_reset": { "calls": 1000 } })).await;
    report.fails_only("token", &["cannot be reached", "firewall"]).says("skip", "clock", &["the platform's"]);
    let report = world.suffers(json!({ "connection_reset": { "calls": 1000, "path": CREATE } })).await;
    report.fails_only("qr right", &["cannot be reached", "firewall"]);
}

#[tokio::test]
async fn a_slow_platform_is_a_warning_and_one_that_hangs_is_given_up() {
    let world = World::new().await;
    let report = world.suffers(json!({ "latency_ms": 2100 })).await;
    // How long it takes is the machine's to say as well.
    report.is_well().says("warn", "token", &["within ", "DNS"]).says("warn", "qr right", &["within ", "DNS"]);
    let report = world.suffers(json!({ "latency_ms": 60_000 })).await;
    report.fails_only("token", &["no answer in time", "DNS"]);
}

#[tokio::test]
async fn what_ended_before_the_doctor_came_or_is_about_pushes_is_no_fault() {
    let world = World::new().await;
    world.doctor.looks().await.is_well();
    world.suffers(json!({ "token_revoked": true })).await.is_well();
    let pushes =
        json!({ "doubled_pushes": true, "lost_answers": 9, "hold_pushes": true, "mark_fail_after": 1 });
    world.suffers(pushes).await.is_well();
}

#[tokio::test]
async fn a_platform_whose_clock_is_elsewhere_is_a_warning_until_pushes_would_be_refused() {
    let world = World::new().await;
    world.control("clock", &json!({ "advance_seconds": 60 })).await;
    let report = world.doctor.looks().await;
    report.is_well().says("warn", "clock", &["the platform's clock", "ahead", "timedatectl"]);
    let report = world.doctor.given("CALLBACK_MAX_SKEW", "30s").looks().await;
    report.fails_only("clock", &["CALLBACK_MAX_SKEW", "30s", "refused"]);
    world.control("clock", &json!({ "advance_seconds": 600 })).await;
    world.doctor.looks().await.fails_only("clock", &["CALLBACK_MAX_SKEW", "10m"]);
}
