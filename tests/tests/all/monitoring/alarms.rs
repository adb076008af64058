//! The alert rules before real programs: what goes wrong rings, and stops when it is over. Only the rules' `for` is cut,
//! for a test has no ten minutes.

use std::time::UNIX_EPOCH;

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tests::browser::Browser;
use tests::http;
use tests::patience::{PATIENCE, eventually_within, until};
use tests::program::{Program, setting};
use tests::prometheus::Prometheus;
use tests::stack::{Plan, Stack, is_well, somebodys_openid};

use crate::bounds::{faults, sent};

const CREATE: &str = "/cgi-bin/qrcode/create";

/// A Prometheus that watches a stack, with impatient rules.
struct Watch {
    prometheus: Prometheus,
    _rules: TempDir,
}

impl Watch {
    async fn over(stack: &Stack) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alerts.yml");
        let mut rules = String::new();
        for line in super::text("alerts.yml").lines() {
            let cut = line.split_once("for: ").filter(|(indent, _)| indent.trim().is_empty());
            rules.push_str(&cut.map_or(line.to_owned(), |(indent, _)| format!("{indent}for: 1s")));
            rules.push('\n');
        }
        assert!(rules.matches("for: 1s").count() > 10, "{rules}");
        std::fs::write(&path, rules).unwrap();
        let jobs: [(&str, &[_]); 2] = [("gateway", &stack.gateways), ("callback", &stack.callbacks)];
        Self { prometheus: Prometheus::start(&jobs, &path).await, _rules: directory }
    }

    async fn state(&self, rule: &str) -> String {
        let rules = self.prometheus.rules().await;
        let named = rules.iter().find(|other| other["name"] == rule).unwrap_or_else(|| panic!("no {rule}"));
        named["state"].as_str().unwrap().to_owned()
    }

    async fn rings(&self, rule: &str) {
        self.is(rule, "firing").await;
    }

    async fn stops(&self, rule: &str) {
        self.is(rule, "inactive").await;
    }

    async fn is(&self, rule: &str, state: &str) {
        let what = format!("{rule} to be {state}");
        eventually_within(2 * PATIENCE, &what, async || (self.state(rule).await == state).then_some(()))
            .await;
    }

    /// When a program started, since 1970, as Prometheus knows it; 0 where it does not.
    async fn started(&self, program: &Program) -> f64 {
        let instance = program.admin_url().replace("http://", "");
        let found =
            self.prometheus.query(&format!("process_start_time_seconds{{instance={instance:?}}}")).await;
        found.first().map_or(0.0, |sample| sample["value"][1].as_str().unwrap().parse().unwrap())
    }

    /// Waits until nothing rings: what was looked at before the first scrape may have.
    async fn is_silent(&self) {
        until("silence", async || {
            self.prometheus.rules().await.iter().all(|rule| rule["state"] == "inactive")
        })
        .await;
    }
}

async fn refused(gateway: &Program) {
    assert_eq!(Browser::open(&gateway.url()).await.error().await, "platform_unavailable");
}

#[tokio::test]
async fn trouble_with_redis_and_replicas_that_die_ring() {
    let mut stack = Stack::start().await;
    let watch = Watch::over(&stack).await;
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    watch.is_silent().await;

    stack.redis.relay().cut();
    watch.rings("ScanLoginRedisUnreachable").await;
    watch.rings("ScanLoginNoGatewayReady").await;
    // Whether Redis has it or not, the phone is asked to scan again.
    stack.scan(&content, &somebodys_openid()).await;
    watch.rings("ScanLoginScansGetNoAnswer").await;
    assert_eq!(watch.state("ScanLoginNoCallbackReady").await, "inactive", "it has an answer without Redis");
    stack.redis.ask(&["FLUSHALL"]).await;
    stack.redis.relay().heal();
    watch.stops("ScanLoginRedisUnreachable").await;
    watch.stops("ScanLoginNoGatewayReady").await;
    watch.rings("ScanLoginRedisLosesLogins").await;
    // Commands and inbox of a gateway: two each time.
    for _ in 0..3 {
        stack.redis.relay().cut();
        until("the outage to show", async || !ready(&stack.gateways[0]).await).await;
        stack.redis.relay().heal();
        is_well(&stack.gateways[0]).await;
    }
    watch.rings("ScanLoginRedisUnsteady").await;

    stack.gateways.iter_mut().for_each(Program::kill);
    watch.rings("ScanLoginNoGatewayReady").await;
    let mut last = watch.started(&stack.callbacks[0]).await;
    stack.callbacks.iter_mut().for_each(Program::kill);
    watch.rings("ScanLoginNoCallbackReady").await;
    for _ in 0..3 {
        // It is told in whole seconds.
        until("another second", async || UNIX_EPOCH.elapsed().unwrap().as_secs_f64() > last + 2.0).await;
        stack.callbacks[0].restart().await;
        let before = last;
        until("the restart to be seen", async || {
            last = watch.started(&stack.callbacks[0]).await;
            last > before
        })
        .await;
    }
    watch.rings("ScanLoginRestarts").await;
    watch.stops("ScanLoginNoCallbackReady").await;
}

async fn ready(program: &Program) -> bool {
    sent(http::client().get(format!("{}/readyz", program.admin_url()))).await.status().is_success()
}

#[tokio::test]
async fn trouble_with_the_platform_and_with_visitors_rings() {
    let settings = vec![setting("MAX_CONNECTIONS", "3"), setting("QR_LIMIT_TOTAL", "5/day")];
    let stack = Plan { callbacks: 1, settings, ..Plan::default() }.start().await;
    let watch = Watch::over(&stack).await;
    let (busy, idle) = (&stack.gateways[0], &stack.gateways[1]);
    watch.is_silent().await;

    // Four in a row are borne, so that it does not rest.
    for _ in 0..4 {
        faults(&stack, json!({ "error": { "errcode": 40053, "calls": 4, "path": CREATE } })).await;
        for _ in 0..4 {
            refused(busy).await;
        }
        Browser::open(&busy.url()).await.qr_code().await;
    }
    watch.rings("ScanLoginPlatformErrors").await;
    watch.rings("ScanLoginLoginsFail").await;
    assert_eq!(watch.state("ScanLoginPlatformRests").await, "inactive");

    // The other gateway has no token yet.
    faults(&stack, json!({ "ip_not_allowed": true })).await;
    refused(idle).await;
    watch.rings("ScanLoginTokenNotRenewed").await;
    watch.rings("ScanLoginPlatformRests").await;
    faults(&stack, json!({})).await;

    assert_eq!(watch.state("ScanLoginQuotaNearlyUsed").await, "inactive", "four of five are four fifths");
    let mut browsers = vec![Browser::open(&busy.url()).await];
    browsers[0].qr_code().await;
    watch.rings("ScanLoginQuotaNearlyUsed").await;
    for _ in 0..2 {
        browsers.push(Browser::open(&busy.url()).await);
    }
    watch.rings("ScanLoginNearlyFull").await;
    drop(browsers);
    watch.stops("ScanLoginNearlyFull").await;
}

#[tokio::test]
async fn calls_that_are_forged_refused_or_late_ring() {
    let stack = Plan { gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
    let watch = Watch::over(&stack).await;
    watch.is_silent().await;
    faults(&stack, json!({ "attempts": 1 })).await;
    let push = async |push| {
        sent(http::client().post(format!("{}/simulator/push", stack.simulator.url())).json(&push)).await
    };

    let long_ago = UNIX_EPOCH.elapsed().unwrap().as_secs() - 30;
    push(json!({ "text": "hello", "create_time": long_ago })).await;
    watch.rings("ScanLoginEventsLate").await;
    for _ in 0..7 {
        push(json!({ "text": "hello", "tampered": "app_id" })).await;
    }
    watch.rings("ScanLoginCallbackRefuses").await;

    assert_eq!(watch.state("ScanLoginForgedCalls").await, "inactive");
    let url = format!("{}/wechat/callback?signature=0&timestamp=0&nonce=0", stack.callbacks[0].url());
    // More than one a second, for ten minutes.
    for _ in 0..7 {
        join_all((0..100).map(|_| sent(http::client().post(&url)))).await;
    }
    watch.rings("ScanLoginForgedCalls").await;
}
