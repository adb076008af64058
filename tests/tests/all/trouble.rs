//! A platform in trouble, seen from the browsers, from the operators' log, and from the platform.

use std::time::Duration;

use futures_util::future::{join_all, select_all};
use futures_util::{StreamExt as _, stream};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::browser::{Browser, ShownCode};
use tests::http;
use tests::patience::{eventually, within, within_time};
use tests::program::{Program, Setting, setting};
use tests::stack::{Plan, Stack, somebodys_openid};
use tokio::time::sleep;

use crate::bounds::{faults, sent};

const CREATE: &str = "/cgi-bin/qrcode/create";
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const CROWD: usize = 30;
/// Codes that a gateway asks for at once (gateway/src/wechat.rs).
const CODES_AT_ONCE: usize = 64;
/// Longer than the longest rest that is no quota's, the probe after it, and what a busy machine adds. These tests wait in
/// real time, as long as browsers are told: the rests are in programs of their own, whose clock nobody moves, and that
/// who waits for `retry_after` gets a code is what they are about. Rests by a clock that moves at will are tested in
/// gateway/src/wechat/breaker/state/tests.rs.
const RECOVERY_TIME: Duration = Duration::from_secs(50);
/// How fast a browser is told that the platform rests; below any call's limit.
const REFUSAL_TIME: Duration = Duration::from_secs(4);

/// The limits of QR codes are another matter than the platform's trouble.
fn unlimited() -> Vec<Setting> {
    ["QR_LIMIT_PER_CLIENT", "QR_LIMIT_PER_NETWORK", "QR_LIMIT_TOTAL"].map(|name| setting(name, "off")).into()
}

async fn stack(gateways: usize) -> Stack {
    let mut settings = unlimited();
    settings.push(setting("RUST_LOG", "debug"));
    Plan { gateways, callbacks: 1, settings, ..Plan::default() }.start().await
}

async fn counters(stack: &Stack) -> Value {
    let log = sent(http::client().get(format!("{}/simulator/log", stack.simulator.url()))).await;
    let mut log: Value = within("the log", log.json()).await.unwrap();
    log["counters"].take()
}

async fn calls(stack: &Stack, path: &str) -> u64 {
    counters(stack).await["calls"][path].as_u64().unwrap_or_default()
}

/// What the program has logged at a level.
fn logged(program: &Program, level: &str) -> Vec<Value> {
    let printed = program.printed();
    let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"] == level).collect()
}

/// All that operators are woken for.
/// Waits for the first: a line may come after what the browser is told.
async fn complaints(program: &Program) -> Vec<Value> {
    first_lines("a complaint", || [logged(program, "WARN"), logged(program, "ERROR")].concat()).await
}

/// Waits for the first.
async fn recoveries(program: &Program) -> Vec<Value> {
    let of_recoveries = || {
        let mut lines = logged(program, "INFO");
        lines.retain(|line| line["message"] == "the WeChat API works again");
        lines
    };
    first_lines("a recovery", of_recoveries).await
}

async fn first_lines(what: &str, lines: impl Fn() -> Vec<Value>) -> Vec<Value> {
    eventually(&format!("{what} in the log"), async || Some(lines()).filter(|lines| !lines.is_empty())).await
}

/// Hears that there is no code, and when to ask again.
async fn is_told_to_wait(browser: &mut Browser) -> Duration {
    let refusal = browser.message().await;
    assert_eq!(refusal["code"], "platform_unavailable", "{refusal}");
    let seconds = refusal["retry_after"].as_u64();
    Duration::from_secs(seconds.filter(|seconds| *seconds > 0).expect("never silence, and never 0"))
}

/// Does as pages do: waits for as long as it is told and asks again, until there is a code.
async fn gets_its_code(browser: &mut Browser, mut wait: Duration) -> ShownCode {
    let asking = async {
        loop {
            sleep(wait).await;
            browser.refresh().await;
            let answer = browser.message().await;
            if answer["message_type"] == "qrcode_url" {
                return serde_json::from_value(answer).unwrap();
            }
            assert_eq!(answer["code"], "platform_unavailable", "{answer}");
            wait = Duration::from_secs(answer["retry_after"].as_u64().unwrap());
        }
    };
    within_time(RECOVERY_TIME, "a code after the trouble", asking).await
}

async fn crowd(gateway: &Program) -> Vec<Browser> {
    let url = gateway.url();
    join_all((0..CROWD).map(|_| Browser::open(&url))).await
}

#[tokio::test]
async fn what_passes_is_told_to_every_browser_and_logged_once_and_over_when_it_is_over() {
    let stack = stack(3).await;
    let troubles = [
        (json!({ "error": { "errcode": -1, "calls": 100_000, "path": CREATE } }), "-1"),
        (json!({ "connection_reset": { "calls": 100_000, "path": CREATE } }), "cannot be reached"),
        (json!({ "not_json": { "calls": 100_000, "path": CREATE } }), "no JSON"),
    ];
    for (gateway, (fault, says)) in stack.gateways.iter().zip(troubles) {
        faults(&stack, fault).await;
        let before = calls(&stack, CREATE).await;
        let mut browsers = crowd(gateway).await;
        let mut waits = join_all(browsers.iter_mut().map(is_told_to_wait)).await;
        // All of them asked at once: each one call, and a few for those that were made again.
        let first = calls(&stack, CREATE).await - before;
        assert!(first <= CROWD as u64 + 5, "{says}: {first} calls");
        let second = join_all(browsers.iter_mut().zip(&waits).map(async |(browser, wait)| {
            sleep(*wait).await;
            browser.refresh().await;
            is_told_to_wait(browser).await
        }));
        waits = second.await;
        let probes = calls(&stack, CREATE).await - before - first;
        assert!((1..=3).contains(&probes), "{says}: {probes} probes");

        faults(&stack, json!({})).await;
        join_all(browsers.iter_mut().zip(waits).map(|(browser, wait)| gets_its_code(browser, wait))).await;
        let complaints = complaints(gateway).await;
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert_eq!((&complaints[0]["level"], &complaints[0]["call"]), (&json!("WARN"), &json!(CREATE)));
        assert!(complaints[0]["error"].as_str().unwrap().contains(says), "{complaints:?}");
        let recoveries = recoveries(gateway).await;
        assert_eq!(recoveries.len(), 1, "{recoveries:?}");
        let cost = ["failed", "refused", "lasted_ms"].map(|name| recoveries[0][name].as_u64().unwrap());
        // On a slow machine the first failures make it rest before the last of the crowd comes.
        assert!(cost[0] >= 5 && cost[0] + cost[1] >= CROWD as u64 && cost[2] > 500, "{recoveries:?}");
    }
}

#[tokio::test]
async fn what_does_not_pass_soon_is_told_to_every_browser_and_logged_once_with_its_advice() {
    let stack = stack(5).await;
    let at_create =
        |errcode: i64| json!({ "error": { "errcode": errcode, "calls": 100_000, "path": CREATE } });
    // Something of it may have passed. Close to midnight a day's rest is short, and just after it 10 minutes.
    let (half_a_minute, a_minute, a_day) = (15..=30, 50..=70, 31..=86_520);
    let troubles = [
        (at_create(48001), CREATE, "ERROR", "lacks the right", half_a_minute.clone()),
        (at_create(45009), CREATE, "ERROR", "day's quota", a_day),
        (at_create(45011), CREATE, "WARN", "in this minute", a_minute),
        (
            json!({ "ip_not_allowed": true }),
            STABLE_TOKEN,
            "ERROR",
            "invalid ip 127.0.0.1",
            half_a_minute.clone(),
        ),
        (json!({ "secret_reset": true }), STABLE_TOKEN, "ERROR", "WECHAT_APP_SECRET", half_a_minute),
    ];
    for (gateway, (fault, path, level, says, seconds)) in stack.gateways.iter().zip(troubles) {
        faults(&stack, fault).await;
        let before = calls(&stack, path).await;
        let mut browsers = crowd(gateway).await;
        join_all(browsers.iter_mut().map(is_told_to_wait)).await;
        // Who waits for a token waits for the same one; those who asked for a code had all asked before they knew.
        let few = if path == STABLE_TOKEN { 1 } else { CROWD as u64 };
        let asked = calls(&stack, path).await;
        assert!(asked - before <= few, "{says}: {} calls", asked - before);
        for browser in &mut browsers {
            browser.refresh().await;
            let wait = is_told_to_wait(browser).await.as_secs();
            assert!(seconds.contains(&wait), "{says}: {wait} s");
        }
        assert_eq!(calls(&stack, path).await, asked, "{says}: nobody asks any more");
        let complaints = complaints(gateway).await;
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert_eq!((&complaints[0]["level"], &complaints[0]["call"]), (&json!(level), &json!(path)));
        assert!(complaints[0]["error"].as_str().unwrap().contains(says), "{complaints:?}");
        for secret in [stack.account.app_secret.as_str(), &stack.simulator.url(), "access_token="] {
            assert!(!gateway.printed().contains(secret), "{secret} in the log");
        }
    }
}

#[tokio::test]
async fn a_setting_that_was_mended_is_noticed_within_half_a_minute() {
    let stack = stack(1).await;
    faults(&stack, json!({ "ip_not_allowed": true })).await;
    let mut browser = stack.browser().await;
    let wait = is_told_to_wait(&mut browser).await;
    assert!(wait <= Duration::from_secs(30), "{wait:?}");
    faults(&stack, json!({})).await;
    let shown = gets_its_code(&mut browser, wait).await;
    assert_eq!(calls(&stack, STABLE_TOKEN).await, 2);
    stack.scan(&shown.content, &somebodys_openid()).await;
    browser.success().await;
    let gateway = &stack.gateways[0];
    assert_eq!((complaints(gateway).await.len(), recoveries(gateway).await.len()), (1, 1));
}

#[tokio::test]
async fn a_dead_token_that_cannot_be_replaced_is_the_token_endpoints_trouble_alone() {
    let stack = stack(1).await;
    let mut browser = stack.browser().await;
    browser.qr_code().await;
    faults(&stack, json!({ "token_revoked": true, "ip_not_allowed": true })).await;
    for _ in 0..3 {
        browser.refresh().await;
        is_told_to_wait(&mut browser).await;
    }
    let complaints = complaints(&stack.gateways[0]).await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0]["call"], STABLE_TOKEN);
}

#[tokio::test]
async fn a_platform_that_swallows_everything_is_noticed_and_so_is_its_return() {
    let mut stack = stack(2).await;
    let mut shown = Browser::open(&stack.gateways[0].url()).await;
    let code = shown.qr_code().await;
    stack.simulator.signal(Signal::SIGSTOP);
    // One gateway has a token and the other has none.
    for gateway in &stack.gateways {
        let mut browsers = crowd(gateway).await;
        join_all(browsers.iter_mut().map(is_told_to_wait)).await;
        // The rest may be over by now, and one of them the probe, which hangs; not both.
        let mut late = [Browser::open(&gateway.url()).await, Browser::open(&gateway.url()).await];
        let told = select_all(late.iter_mut().map(|browser| Box::pin(is_told_to_wait(browser))));
        within_time(REFUSAL_TIME, "the next one is told at once", told).await;
        assert_eq!(complaints(gateway).await.len(), 1);
    }
    let waiting = async |gateway: &Program| {
        let mut browser = Browser::open(&gateway.url()).await;
        let wait = is_told_to_wait(&mut browser).await;
        (browser, wait)
    };
    let (mut warm, mut cold) = tokio::join!(waiting(&stack.gateways[0]), waiting(&stack.gateways[1]));
    stack.simulator.signal(Signal::SIGCONT);
    tokio::join!(gets_its_code(&mut warm.0, warm.1), gets_its_code(&mut cold.0, cold.1));
    for gateway in &stack.gateways {
        assert_eq!((complaints(gateway).await.len(), recoveries(gateway).await.len()), (1, 1));
    }
    // Who had a code before has it still.
    stack.scan(&code.content, &somebodys_openid()).await;
    shown.success().await;
}

#[tokio::test]
async fn a_platform_that_is_too_slow_without_failing_is_told_to_operators() {
    let stack = stack(1).await;
    // A token and a code, each within its own limit.
    faults(&stack, json!({ "latency_ms": 4_500 })).await;
    let mut browser = stack.browser().await;
    let wait = is_told_to_wait(&mut browser).await;
    assert_eq!(wait, Duration::from_secs(3));
    let complaints = complaints(&stack.gateways[0]).await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0]["message"], "no QR code: the WeChat API is too slow");
    assert!(complaints[0]["error"].as_str().unwrap().contains("8 s"), "{complaints:?}");
    faults(&stack, json!({})).await;
    gets_its_code(&mut browser, wait).await;
}

#[tokio::test]
async fn a_crowd_that_gets_no_turn_at_the_platform_costs_no_codes_and_is_told_to_operators() {
    // What one gateway asks for at once, and one; each of them twice.
    let crowd = CODES_AT_ONCE + 1;
    let mut settings = unlimited();
    settings.retain(|(name, _)| name != "QR_LIMIT_TOTAL");
    settings.push(setting("QR_LIMIT_TOTAL", format!("{}/day", 2 * crowd)));
    let stack = Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() }.start().await;
    let gateway = &stack.gateways[0];
    let url = gateway.url();
    let mut browsers = join_all((0..crowd).map(|_| Browser::open(&url))).await;
    join_all(browsers.iter_mut().map(Browser::qr_code)).await;
    faults(&stack, json!({ "latency_ms": 60_000 })).await;
    join_all(browsers.iter_mut().map(Browser::refresh)).await;
    let told = select_all(browsers.iter_mut().map(|browser| Box::pin(is_told_to_wait(browser))));
    let (wait, without_turn, _) = within_time(REFUSAL_TIME, "the one without a turn", told).await;
    let complaints = complaints(gateway).await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0]["error"].as_str().unwrap().contains("made at once"), "{complaints:?}");
    faults(&stack, json!({})).await;
    // It is the last that the limit allows.
    gets_its_code(&mut browsers[without_turn], wait).await;
}

#[tokio::test]
async fn redeeming_goes_on_without_the_look_up_and_logs_its_trouble_once() {
    let stack = stack(1).await;
    let fault = json!({ "error": { "errcode": 48001, "calls": 1000, "path": "/cgi-bin/user/info" } });
    faults(&stack, fault).await;
    for _ in 0..3 {
        let (mut browser, person) = (stack.browser().await, somebodys_openid());
        let shown = browser.qr_code().await;
        stack.scan(&shown.content, &person).await;
        assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
    }
    assert_eq!(calls(&stack, "/cgi-bin/user/info").await, 1);
    let complaints = complaints(&stack.gateways[0]).await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
}

#[tokio::test]
async fn a_thousand_browsers_on_four_cold_replicas_cost_four_fetches_and_one_token() {
    let stack = Plan { gateways: 4, callbacks: 1, settings: unlimited(), ..Plan::default() }.start().await;
    // Long enough for a crowd to gather before anybody has a token.
    faults(&stack, json!({ "latency_ms": 300 })).await;
    let urls: Vec<_> = stack.gateways.iter().map(Program::url).collect();
    let opened = (0..1000).map(|n| Browser::open(&urls[n % urls.len()]));
    // Their requests pile up; that their handshakes do is not what is asked here.
    let mut browsers: Vec<_> = stream::iter(opened).buffer_unordered(100).collect().await;
    join_all(browsers.iter_mut().map(async |browser| {
        loop {
            let answer = browser.message().await;
            if answer["message_type"] == "qrcode_url" {
                break;
            }
            // So many at once may be too much for a small machine; it is not what is asked here.
            let busy = ["backplane_unavailable", "platform_unavailable"];
            assert!(busy.iter().any(|code| answer["code"] == *code), "{answer}");
            sleep(Duration::from_secs(answer["retry_after"].as_u64().unwrap())).await;
            browser.refresh().await;
        }
    }))
    .await;
    let counters = counters(&stack).await;
    let asked = counters["calls"][CREATE].as_u64().unwrap();
    assert!(asked >= 1000 && counters["qr_codes"].as_u64() >= Some(1000), "{counters}");
    let fetches = counters["calls"][STABLE_TOKEN].as_u64().unwrap();
    assert!((1..=4).contains(&fetches), "{counters}");
    assert_eq!((&counters["tokens_made"], &counters["forced_tokens"]), (&json!(1), &json!(0)), "{counters}");
}
