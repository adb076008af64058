//! What operators see on `/metrics`: the names that docs/metrics.md has, and numbers that are those of the logins.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::json;
use tests::browser::{Browser, Request};
use tests::http;
use tests::metrics::Scrape;
use tests::patience::{eventually, until};
use tests::program::{Program, setting};
use tests::stack::{Plan, Stack, is_well, somebodys_openid};

use crate::bounds::{faults, sent, small};
use crate::platform::codes::{api_that_answers, granted};

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A row of the page.
#[derive(Debug)]
struct Documented {
    kind: String,
    /// Each label with the values that the page gives it; none where it describes them in words.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// The rows beneath a heading, by name.
fn documented(heading: &str) -> BTreeMap<String, Documented> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap();
        let (kind, rest) = rest.split_once(" |").unwrap();
        let labels = rest.split_once(" |").unwrap().0;
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut label = String::new();
        // A label is followed by a colon where its values are.
        let mut has_values = false;
        for (position, word) in labels.split('`').enumerate() {
            if position % 2 == 0 {
                has_values |= word.starts_with(':');
            } else if has_values && !label.is_empty() && is_value(labels, &label, word) {
                found.get_mut(&label).unwrap().insert(word.to_owned());
            } else {
                (label, has_values) = (word.to_owned(), false);
                found.insert(word.to_owned(), BTreeSet::new());
            }
        }
        (name.to_owned(), Documented { kind: kind.to_owned(), labels: found })
    })
    .collect()
}

/// Whether `word` stands among the values of `label`: behind its colon.
fn is_value(labels: &str, label: &str, word: &str) -> bool {
    let (_, behind) = labels.split_once(&format!("`{label}`:")).unwrap_or_default();
    behind.contains(&format!("`{word}`"))
}

/// A program says exactly what the page says that it does.
fn is_as_documented(program: &str, scrape: &Scrape, headings: &[&str]) {
    let mut page = documented("Every program");
    headings.iter().for_each(|heading| page.extend(documented(heading)));
    let types = scrape.types();
    let names: BTreeSet<&String> = types.keys().collect();
    let expected: BTreeSet<&String> = page.keys().collect();
    assert_eq!(names, expected, "the metrics of {program} and of docs/metrics.md");
    let labels = scrape.labels();
    for (name, documented) in &page {
        assert_eq!(types[name], documented.kind, "{program}: {name}");
        let found = labels.get(name).unwrap_or_else(|| panic!("{program}: {name} has no value"));
        assert!(
            found.keys().eq(documented.labels.keys()),
            "{program}: {name} has {found:?}, not {documented:?}"
        );
        for (label, values) in documented.labels.iter().filter(|(_, values)| !values.is_empty()) {
            assert_eq!(&found[label], values, "{program}: the values of {name}'s {label}");
        }
    }
}

/// Debian's promtool likes it.
fn is_clean(scrape: &Scrape) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(scrape.text.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn the_programs_and_their_documentation_name_the_same_metrics() {
    let stack = small(&[]).await;
    let traced = setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let standalone = Program::start("standalone", vec![traced]).await;
    let programs: [(&str, &Program, &[&str]); 4] = [
        ("gateway", &stack.gateways[0], &["Gateway", "The platform", "Redis"]),
        ("callback", &stack.callbacks[0], &["Callback", "Redis"]),
        ("simulator", &stack.simulator, &[]),
        ("standalone", &standalone, &["Gateway", "The platform", "Callback", "Traces"]),
    ];
    for (name, program, headings) in programs {
        let scrape = Scrape::of(program).await;
        is_as_documented(name, &scrape, headings);
        is_clean(&scrape);
        assert_eq!(scrape.value(&format!("ready{{program=\"{name}\"}}")), 1.0);
    }
}

#[tokio::test]
async fn a_standalone_program_with_redis_has_its_metrics_too() {
    let redis = tests::redis::RedisServer::start().await;
    let settings = vec![setting("REDIS_URL", redis.url().expose())];
    let standalone = Program::start("standalone", settings).await;
    is_well(&standalone).await;
    is_as_documented(
        "standalone",
        &Scrape::of(&standalone).await,
        &["Gateway", "The platform", "Callback", "Redis"],
    );
}

/// Waits until exactly these counters have risen by so much; the histograms of calls and moves, whose number is nobody's
/// promise, and reading again for no reason are left out.
async fn rise(before: &Scrape, programs: &[Program], expected: &[(&str, i64)]) {
    let expected: BTreeMap<String, i64> =
        expected.iter().map(|(series, risen)| ((*series).to_owned(), *risen)).collect();
    let mut last = BTreeMap::new();
    let rises = async {
        until("the counters to rise", async || {
            let mut rises = Scrape::of_all(programs).await.rises_since(before);
            rises.retain(|series, _| {
                !["redis_move_duration", "redis_records", "platform_call_duration"]
                    .iter()
                    .any(|other| series.starts_with(other))
            });
            last = rises;
            last == expected
        })
        .await;
    };
    let outcome = tokio::time::timeout(tests::patience::PATIENCE / 2, rises).await;
    assert!(outcome.is_ok(), "{last:#?} and not {expected:#?}");
}

#[tokio::test]
async fn whole_logins_are_counted_step_by_step() {
    let stack = Stack::start().await;
    let (gateways, callbacks) =
        (Scrape::of_all(&stack.gateways).await, Scrape::of_all(&stack.callbacks).await);
    let (people, mut last) = (3, None);
    sent(http::client().get(stack.url())).await;
    for _ in 0..people {
        let mut browser = stack.browser().await;
        let content = browser.qr_code().await.content;
        stack.scan(&content, &somebodys_openid()).await;
        stack.application().redeem(&browser.success().await.code).await;
        last = Some(browser);
    }
    rise(
        &gateways,
        &stack.gateways,
        &[
            ("pages_total{file=\"page\"}", 1),
            ("connections_total{request=\"begin\"}", 3),
            ("sessions_opened_total", 3),
            ("qr_codes_shown_total{after=\"open\"}", 3),
            ("notice_delay_seconds_count", 3),
            ("logins_pushed_total{after=\"notice\"}", 3),
            ("push_duration_seconds_count", 3),
            ("redeems_total{outcome=\"redeemed\"}", 3),
            ("redeem_duration_seconds_count", 3),
        ],
    )
    .await;
    rise(
        &callbacks,
        &stack.callbacks,
        &[
            ("callback_pushes_total{outcome=\"claimed\"}", 3),
            ("callback_duration_seconds_count", 3),
            ("event_age_seconds_count", 3),
        ],
    )
    .await;
    let now = Scrape::of_all(&stack.gateways).await;
    assert_eq!(now.value("qr_codes_made_today"), 3.0);
    assert_eq!(now.value("gateway_connections"), 1.0, "two have gone");
    assert_eq!(now.value("sessions_waiting"), 0.0);
    // What nobody can take so long on one machine: a unit that is wrong would.
    for (histogram, scrape) in [
        ("notice_delay", &now),
        ("push_duration", &now),
        ("redeem_duration", &now),
        ("event_age", &Scrape::of_all(&stack.callbacks).await),
        ("callback_duration", &Scrape::of_all(&stack.callbacks).await),
    ] {
        let mean = scrape.value(&format!("{histogram}_seconds_sum")) / 3.0;
        assert!((0.0..5.0).contains(&mean), "{histogram} {mean}");
    }
    drop(last);
}

#[tokio::test]
async fn expired_codes_and_those_who_come_back_to_them_are_counted() {
    let stack = small(&[("SCENE_TTL", "1s"), ("SESSION_TTL", "60s")]).await;
    let before = Scrape::of_all(&stack.gateways).await;
    let mut browser = stack.browser().await;
    let session = browser.qr_code().await.session;
    browser.expired().await;
    // A page's time ends a little before the store's.
    until("the scene to end", async || stack.redis.ask(&["KEYS", "*:scene"]).await.is_empty()).await;
    let mut again = Browser::resume(&stack.url(), &session).await;
    again.expired().await;
    assert_eq!(browser.error().await, "replaced");
    rise(
        &before,
        &stack.gateways,
        &[
            ("connections_total{request=\"begin\"}", 1),
            ("connections_total{request=\"resume\"}", 1),
            ("sessions_opened_total", 1),
            ("sessions_resumed_total{state=\"expired\"}", 1),
            ("qr_codes_shown_total{after=\"open\"}", 1),
            ("qr_codes_expired_total", 1),
            ("refusals_total{reason=\"replaced\"}", 1),
        ],
    )
    .await;
}

#[tokio::test]
async fn refreshes_and_resumes_are_told_apart() {
    let stack = small(&[]).await;
    let before = Scrape::of_all(&stack.gateways).await;
    let mut first = stack.browser().await;
    let session = first.qr_code().await.session;
    assert_eq!(Scrape::of_all(&stack.gateways).await.value("sessions_waiting"), 1.0);
    first.refresh().await;
    let content = first.qr_code().await.content;
    let mut second = Browser::resume(&stack.url(), &session).await;
    second.qr_code().await;
    assert_eq!(first.error().await, "replaced");
    stack.scan(&content, &somebodys_openid()).await;
    second.success().await;
    assert_eq!(Scrape::of_all(&stack.gateways).await.value("sessions_waiting"), 0.0, "it is scanned");
    second.refresh().await;
    second.success().await;
    let mut third = Browser::resume(&stack.url(), &session).await;
    third.success().await;
    assert_eq!(second.error().await, "replaced");
    rise(
        &before,
        &stack.gateways,
        &[
            ("connections_total{request=\"begin\"}", 1),
            ("connections_total{request=\"resume\"}", 2),
            ("sessions_opened_total", 1),
            ("sessions_resumed_total{state=\"waiting\"}", 1),
            ("sessions_resumed_total{state=\"scanned\"}", 1),
            ("qr_codes_shown_total{after=\"open\"}", 1),
            ("qr_codes_shown_total{after=\"refresh\"}", 1),
            ("qr_codes_shown_total{after=\"resume\"}", 1),
            ("notice_delay_seconds_count", 1),
            ("logins_pushed_total{after=\"notice\"}", 1),
            ("logins_pushed_total{after=\"refresh\"}", 1),
            ("logins_pushed_total{after=\"resume\"}", 1),
            ("push_duration_seconds_count", 1),
            ("refusals_total{reason=\"replaced\"}", 2),
        ],
    )
    .await;
}

#[tokio::test]
async fn refusals_are_counted_by_their_reason() {
    let stack = small(&[("MAX_CONNECTIONS", "1"), ("QR_LIMIT_PER_CLIENT", "2/h")]).await;
    let before = Scrape::of_all(&stack.gateways).await;
    let gateway = stack.gateways[0].url();
    let foreign = Request { origin: Some("https://evil.example".to_owned()), ..Request::default() };
    Browser::ask(&gateway, foreign).await.unwrap_err();
    let mut browser = Browser::open(&gateway).await;
    browser.qr_code().await;
    Browser::ask(&gateway, Request::default()).await.unwrap_err();
    sent(http::client().get(format!("{gateway}/ws"))).await;
    browser.say("nonsense").await;
    assert_eq!(browser.error().await, "bad_message");
    browser.refresh().await;
    browser.qr_code().await;
    browser.refresh().await;
    assert_eq!(browser.error().await, "rate_limited");
    drop(browser);
    until("room", async || Scrape::of_all(&stack.gateways).await.value("gateway_connections") == 0.0).await;
    let mut guess = Browser::resume(&gateway, "guess").await;
    assert_eq!(guess.error().await, "unknown_session");
    let refused = stack.application().try_redeem("guess").await;
    assert_eq!(refused, Err(StatusCode::GONE));
    rise(
        &before,
        &stack.gateways,
        &[
            ("connections_total{request=\"begin\"}", 1),
            ("connections_total{request=\"resume\"}", 1),
            ("connections_refused_total{reason=\"origin\"}", 1),
            ("connections_refused_total{reason=\"full\"}", 1),
            ("connections_refused_total{reason=\"handshake\"}", 1),
            ("sessions_opened_total", 1),
            ("sessions_resumed_total{state=\"unknown\"}", 1),
            ("qr_codes_shown_total{after=\"open\"}", 1),
            ("qr_codes_shown_total{after=\"refresh\"}", 1),
            ("refusals_total{reason=\"bad_message\"}", 1),
            ("refusals_total{reason=\"rate_limited\"}", 1),
            ("refusals_total{reason=\"unknown_session\"}", 1),
            ("redeems_total{outcome=\"no_such_code\"}", 1),
            ("redeem_duration_seconds_count", 1),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_the_platform_pushes_is_counted_by_what_came_of_it() {
    let stack = small(&[]).await;
    let before = Scrape::of_all(&stack.callbacks).await;
    let (person, other) = (somebodys_openid(), somebodys_openid());
    let mut browser = stack.browser().await;
    let old = browser.qr_code().await.content;
    browser.refresh().await;
    let content = browser.qr_code().await.content;
    for (content, who) in [(&old, &person), (&content, &person), (&content, &person), (&content, &other)] {
        stack.scan(content, who).await;
    }
    let url = format!("{}/wechat/callback?signature=0&timestamp=0&nonce=0", stack.callbacks[0].url());
    sent(http::client().post(&url)).await;
    sent(http::client().post(format!("{}/simulator/verify", stack.simulator.url())).json(&json!({}))).await;
    rise(
        &before,
        &stack.callbacks,
        &[
            ("callback_pushes_total{outcome=\"claimed\"}", 1),
            ("callback_pushes_total{outcome=\"repeated\"}", 1),
            ("callback_pushes_total{outcome=\"taken\"}", 1),
            ("callback_pushes_total{outcome=\"over\"}", 1),
            ("callback_duration_seconds_count", 4),
            ("event_age_seconds_count", 4),
            ("callback_refusals_total{reason=\"signature\"}", 1),
            ("callback_verifications_total", 1),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_platforms_trouble_shows_by_code_and_in_the_breaker() {
    const CREATE: &str = "/cgi-bin/qrcode/create";
    let stack = small(&[]).await;
    let gateway = &stack.gateways[0];
    let state = |scrape: &Scrape, state: &str| {
        scrape.value(&format!("platform_breaker_state{{call=\"{CREATE}\",state=\"{state}\"}}"))
    };
    let before = Scrape::of(gateway).await;
    assert_eq!(before.value("platform_token_expiry_timestamp_seconds"), 0.0);
    let made_at = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    stack.browser().await.qr_code().await;
    let works = Scrape::of(gateway).await;
    let (fetched, ends) = (
        works.value("platform_token_fetched_timestamp_seconds"),
        works.value("platform_token_expiry_timestamp_seconds"),
    );
    assert!((made_at - 1.0..made_at + 60.0).contains(&fetched), "{fetched}");
    assert!((7000.0..=7201.0).contains(&(ends - fetched)), "{fetched} {ends}");
    assert_eq!((state(&works, "working"), state(&works, "resting")), (1.0, 0.0));
    faults(&stack, json!({ "error": { "errcode": 48001, "calls": 1, "path": CREATE } })).await;
    for _ in 0..2 {
        assert_eq!(stack.browser().await.error().await, "platform_unavailable");
    }
    let rests = Scrape::of(gateway).await;
    let series = format!("platform_errors_total{{call=\"{CREATE}\",code=\"48001\"}}");
    assert_eq!((before.value(&series), rests.value(&series)), (0.0, 1.0));
    let not_made = format!("platform_calls_not_made_total{{call=\"{CREATE}\"}}");
    assert_eq!(rests.value(&not_made), 1.0);
    assert_eq!((state(&rests, "working"), state(&rests, "resting")), (0.0, 1.0));
    assert_eq!(rests.value("qr_codes_made_today"), 1.0, "a refused call costs nothing");
    assert_eq!(rests.value("refusals_total{reason=\"platform_unavailable\"}"), 2.0);
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_errors_of_their_call() {
    let stack = small(&[]).await;
    let no_token = json!({ "access_token": "", "expires_in": 7200 });
    let no_ticket = json!({ "ticket": "", "url": "http://weixin.qq.com/q/1" });
    for (granted, call) in [(no_token, "/cgi-bin/stable_token"), (granted(), "/cgi-bin/qrcode/create")] {
        let (api_base, _) = api_that_answers(granted, no_ticket.clone()).await;
        let mut settings = stack.account.settings("safe");
        settings.push(setting("REDIS_URL", stack.redis.url().expose()));
        settings.push(setting("WECHAT_API_BASE", api_base));
        let gateway = Program::start("gateway", settings).await;
        is_well(&gateway).await;
        assert_eq!(Browser::open(&gateway.url()).await.error().await, "platform_unavailable");
        let scrape = Scrape::of(&gateway).await;
        let series = format!("platform_errors_total{{call=\"{call}\",code=\"unreadable\"}}");
        assert_eq!(scrape.value(&series), 1.0, "{call}");
    }
}

#[tokio::test]
async fn who_gets_no_turn_at_the_platform_is_a_call_that_was_not_made() {
    /// Calls for codes that are made at once (gateway/src/wechat.rs).
    const CODES_AT_ONCE: usize = 64;
    let stack = small(&[]).await;
    stack.browser().await.qr_code().await;
    faults(&stack, json!({ "latency_ms": 60_000 })).await;
    let mut crowd = Vec::new();
    for _ in 0..=CODES_AT_ONCE {
        crowd.push(stack.browser().await);
    }
    until("the last one to be refused", async || {
        let scrape = Scrape::of(&stack.gateways[0]).await;
        scrape.value("platform_calls_not_made_total{call=\"/cgi-bin/qrcode/create\"}") == 1.0
    })
    .await;
    assert_eq!(crowd.last_mut().unwrap().error().await, "platform_unavailable");
}

#[tokio::test]
async fn an_outage_of_redis_shows() {
    let stack = small(&[]).await;
    let gateway = &stack.gateways[0];
    let mut browser = stack.browser().await;
    browser.qr_code().await;
    let before = Scrape::of(gateway).await;
    assert_eq!(before.value("redis_reachable"), 1.0);
    for connection in ["commands", "inbox"] {
        let series = format!("redis_reconnects_total{{connection=\"{connection}\"}}");
        assert_eq!(before.value(&series), 0.0, "the first is no second");
    }
    stack.redis.relay().cut();
    until("the outage to show", async || Scrape::of(gateway).await.value("redis_reachable") == 0.0).await;
    assert_eq!(Scrape::of(gateway).await.value("ready{program=\"gateway\"}"), 0.0);
    assert_eq!(stack.application().try_redeem(&"A".repeat(65)).await, Err(StatusCode::SERVICE_UNAVAILABLE));
    stack.redis.relay().heal();
    is_well(gateway).await;
    let after = eventually("the counters", async || {
        let after = Scrape::of(gateway).await;
        let risen = after.rises_since(&before);
        let rose = |series: &str| risen.get(series).is_some_and(|risen| *risen > 0);
        let all = rose("redis_reconnects_total{connection=\"commands\"}")
            && rose("redis_reconnects_total{connection=\"inbox\"}")
            && rose("redis_outages_total{connection=\"commands\"}")
            && rose("redis_records_read_again_total")
            && rose("redis_move_errors_total");
        all.then_some(after)
    })
    .await;
    assert_eq!(after.value("redis_reachable"), 1.0);
    assert_eq!(after.value("redeems_total{outcome=\"backplane_unavailable\"}"), 1.0);
    stack.redis.ask(&["FLUSHALL"]).await;
    stack.redis.relay().cut();
    stack.redis.relay().heal();
    until("the login to be written again", async || {
        Scrape::of(gateway).await.value("redis_logins_restored_total") == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_draining_replica_says_that_it_is_not_ready() {
    let mut stack =
        Plan { gateways: 1, callbacks: 1, settings: vec![setting("DRAIN_DELAY", "5s")], ..Plan::default() }
            .start()
            .await;
    stack.gateways[0].signal(Signal::SIGTERM);
    until("the draining to show", async || {
        Scrape::of(&stack.gateways[0]).await.value("ready{program=\"gateway\"}") == 0.0
    })
    .await;
}
