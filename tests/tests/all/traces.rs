//! Traces: what a collector gets, and what happens to logins when it doesn't.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::application::Application;
use tests::browser::Browser;
use tests::collector::{Collector, Manner, Span, hexadecimal};
use tests::metrics::Scrape;
use tests::patience::{until, within_time};
use tests::program::{Program, Setting, setting};
use tests::stack::{Plan, Stack, scan_at, somebodys_openid};

use crate::bounds::faults;
use crate::logs::whole_logins;

/// A login takes milliseconds, a request to a collector that hangs ten seconds.
const AS_EVER: Duration = Duration::from_secs(9);

async fn stack(settings: &[Setting]) -> Stack {
    Plan { gateways: 2, callbacks: 1, settings: settings.to_vec(), ..Plan::default() }.start().await
}

/// Somebody logs in on the first gateway, and is redeemed on the second. Returns the login, as the code names it.
async fn login(stack: &Stack) -> String {
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &somebodys_openid()).await;
    let code = browser.success().await.code;
    Application::new(stack.gateways[1].url(), &stack.account.redeem_secret).redeem(&code).await;
    code[..22].to_owned()
}

fn trace_of(login: &str) -> String {
    hexadecimal(&URL_SAFE_NO_PAD.decode(login).unwrap())
}

/// How often each name is there.
fn names<'s>(spans: impl IntoIterator<Item = &'s Span>) -> BTreeMap<&'s str, usize> {
    let mut names = BTreeMap::new();
    for span in spans {
        *names.entry(span.name.as_str()).or_default() += 1;
    }
    names
}

#[tokio::test]
async fn a_login_on_two_gateways_and_a_callback_is_one_trace_and_its_id_is_the_logins() {
    let collector = Collector::start().await;
    let stack = stack(&[collector.setting()]).await;
    let [first, second] = &stack.gateways[..] else { panic!("two gateways") };
    let mut browser = Browser::open(&first.url()).await;
    let session = browser.qr_code().await.session;
    drop(browser);
    let mut browser = Browser::resume(&second.url(), &session).await;
    browser.qr_code().await;
    browser.refresh().await;
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &somebodys_openid()).await;
    let code = browser.success().await.code;
    Application::new(first.url(), &stack.account.redeem_secret).redeem(&code).await;
    drop(browser);

    let opened = first.printed().lines().find(|line| line.contains("login opened")).unwrap().to_owned();
    let login = serde_json::from_str::<Value>(&opened).unwrap()["login"].as_str().unwrap().to_owned();
    let at_gateways = ["login", "wait", "page", "resume", "refresh", "push", "redeem", "spend_code"];
    collector.has(&[("gateway", &at_gateways), ("callback", &["callback", "count_login"])]).await;
    until("both pages to have left", async || names(&collector.spans())["page"] == 2).await;
    let spans = collector.spans();
    let [at_gateways, at_callback] =
        ["gateway", "callback"].map(|of| names(spans.iter().filter(|span| span.service() == of)));
    let expected = [
        ("count_login", 1),
        ("login", 1),
        ("look_up_code", 1),
        ("look_up_person", 1),
        ("make_qr_code", 2),
        ("open_record", 1),
        ("page", 2),
        ("push", 1),
        ("redeem", 1),
        ("refresh", 1),
        ("replace_code", 1),
        ("resume", 1),
        ("spend_code", 1),
        ("wait", 3),
    ];
    assert_eq!(at_gateways, BTreeMap::from(expected));
    assert_eq!(at_callback, BTreeMap::from([("callback", 1), ("claim", 1), ("count_login", 1)]));
    let trace = trace_of(&login);
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "every span has an id of its own");
    for span in &spans {
        assert_eq!(span.trace, trace, "{span:?}");
        assert!(span.time[0] <= span.time[1], "{span:?}");
        assert!(span.failed.is_none() && !span.attributes.contains_key("error.type"), "{span:?}");
        if span.name == "login" {
            assert_eq!((span.id.as_str(), span.parent.as_str()), (&trace[..16], ""), "{span:?}");
        } else {
            assert!(ids.contains(span.parent.as_str()), "{span:?} belongs to none");
        }
        if span.parent.is_empty() || span.parent == trace[..16] && span.attributes.contains_key("after") {
            assert_eq!(span.attributes["scanlogin.login"], login, "{span:?}");
        }
    }
    let word = |name: &str, key: &str| -> Vec<&str> {
        let named = spans.iter().filter(|span| span.name == name);
        named.map(|span| span.attributes[key].as_str()).collect()
    };
    assert_eq!(
        BTreeSet::from_iter(word("wait", "outcome")),
        BTreeSet::from(["left", "refreshed", "scanned"])
    );
    assert_eq!(word("callback", "outcome"), ["claimed"]);
    assert_eq!(word("redeem", "outcome"), ["redeemed"]);
    assert_eq!(word("push", "after"), ["notice"]);
    // The gateway that it comes from hears of that before or after the end of the socket; which tells first is open.
    let mut endings = word("page", "ending");
    endings.sort_unstable();
    assert!(matches!(endings[..], ["left", "left" | "replaced"]), "{endings:?}");
    // What began before it could be told of: the page with the request for its code, the push with the notice.
    let times = |name: &str| -> Vec<[u64; 2]> {
        spans.iter().filter(|span| span.name == name).map(|span| span.time).collect()
    };
    let first = |name: &str| times(name).into_iter().map(|[began, _]| began).min().unwrap();
    let last = |name: &str| times(name).into_iter().map(|[_, ended]| ended).max().unwrap();
    assert!(first("page") <= first("make_qr_code"));
    assert!(first("push") <= last("wait"));
    let instances: BTreeSet<_> = spans.iter().map(|span| &span.process["service.instance.id"]).collect();
    assert_eq!(instances.len(), 3, "{instances:?}");
}

#[tokio::test]
async fn a5_whole_logins_leave_no_secret_in_any_trace() {
    let collector = Collector::start().await;
    let headers = setting("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=what-the-collector-wants");
    let (stack, mut secrets) = whole_logins(vec![collector.setting(), headers]).await;
    secrets.push("what-the-collector-wants".to_owned());
    collector.has(&[("gateway", &["redeem", "refresh", "resume"]), ("callback", &["callback"])]).await;
    let sent: Vec<String> = collector
        .requests()
        .iter()
        .map(|(_, body)| String::from_utf8_lossy(body).into_owned())
        .chain([stack.printed()])
        .collect();
    for secret in secrets {
        for sent in &sent {
            assert!(!sent.contains(&secret), "{secret} in {sent}");
        }
    }
    // What is not one of our words is the login.
    for span in collector.spans() {
        for (key, value) in &span.attributes {
            let ours = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(ours || key == "scanlogin.login" && trace_of(value) == span.trace, "{span:?}");
        }
    }
}

#[tokio::test]
async fn what_operators_say_of_traces_reaches_the_collector() {
    let (collector, directory) = (Collector::start().await, tempfile::tempdir().unwrap());
    let path = directory.path().join("headers");
    std::fs::write(&path, "authorization=Bearer%20abcdef, x-tenant=login\n").unwrap();
    let stack = stack(&[
        setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/somewhere", collector.url())),
        setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        setting("OTEL_EXPORTER_OTLP_HEADERS_FILE", path.display().to_string()),
        setting("OTEL_SERVICE_NAME", "logins"),
        setting("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test%2C1,service.namespace=ours"),
    ])
    .await;
    login(&stack).await;
    let spans = collector.has(&[("logins", &["login", "callback", "redeem"])]).await;
    for span in spans {
        let says = |key: &str| span.process[key].as_str();
        assert_eq!((says("deployment.environment.name"), says("service.namespace")), ("test,1", "ours"));
        assert_eq!(says("service.version"), env!("CARGO_PKG_VERSION"));
    }
    for (headers, _) in collector.requests() {
        assert_eq!(headers["authorization"], "Bearer abcdef");
        assert_eq!(headers["x-tenant"], "login");
        assert_eq!(headers["content-type"], "application/x-protobuf");
    }
    assert!(!stack.printed().contains("abcdef"));
}

#[tokio::test]
async fn a_share_of_logins_is_traced_by_all_programs_and_the_rest_by_none() {
    let collector = Collector::start().await;
    let sampler = [setting("OTEL_TRACES_SAMPLER", "traceidratio"), setting("OTEL_TRACES_SAMPLER_ARG", "0.5")];
    let stack = stack(&[&[collector.setting()], &sampler[..]].concat()).await;
    let mut expected = BTreeSet::new();
    // Until both kinds were there.
    for n in 0.. {
        let trace = trace_of(&login(&stack).await);
        // https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased, as the SDKs have it: 63 bits.
        let share = u64::from_str_radix(&trace[16..], 16).unwrap() >> 1;
        if share < 1 << 62 {
            expected.insert(trace);
        }
        if !expected.is_empty() && expected.len() <= n {
            break;
        }
    }
    let whole = |spans: &[Span], service: &str, name: &str| -> BTreeSet<String> {
        let found = spans.iter().filter(|span| span.service() == service && span.name == name);
        found.map(|span| span.trace.clone()).collect()
    };
    for (service, name) in [("gateway", "login"), ("gateway", "redeem"), ("callback", "callback")] {
        until("the share to come", async || whole(&collector.spans(), service, name).len() >= expected.len())
            .await;
    }
    let traces: BTreeSet<String> = collector.spans().into_iter().map(|span| span.trace).collect();
    assert_eq!(traces, expected);
}

#[tokio::test]
async fn a_collector_that_hangs_delays_no_login_and_no_end() {
    let collector = Collector::start().await;
    collector.behaves(Manner::Hangs);
    let mut stack = stack(&[collector.setting()]).await;
    for _ in 0..3 {
        within_time(AS_EVER, "a login", login(&stack)).await;
    }
    for program in stack.gateways.iter_mut().chain(&mut stack.callbacks) {
        // A second of DRAIN_TIME, and three for what is left.
        let code = within_time(AS_EVER + AS_EVER / 2, "the end", program.terminate()).await;
        assert_eq!(code, Some(0), "{}", program.printed());
    }
    assert!(stack.printed().contains("the last traces are lost"), "{}", stack.printed());
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once_and_gets_traces_when_it_is_back() {
    let collector = Collector::start().await;
    collector.behaves(Manner::Refuses(StatusCode::FORBIDDEN));
    let stack = stack(&[collector.setting()]).await;
    let gateway = &stack.gateways[0];
    for _ in 0..2 {
        let before = spans_that(gateway, "failed").await;
        within_time(AS_EVER, "a login", login(&stack)).await;
        until("the spans to be lost", async || spans_that(gateway, "failed").await > before).await;
    }
    gateway.prints("traces are not taken").await;
    assert_eq!(gateway.printed().matches("traces are not taken").count(), 1, "{}", gateway.printed());
    assert_eq!(spans_that(gateway, "exported").await, 0.0);
    collector.behaves(Manner::Takes);
    let trace = trace_of(&login(&stack).await);
    let spans = collector.has(&[("gateway", &["login"])]).await;
    assert!(spans.iter().any(|span| span.trace == trace), "{spans:?}");
    gateway.prints("traces are taken again").await;
    assert!(spans_that(gateway, "exported").await > 0.0);
}

async fn spans_that(program: &Program, outcome: &str) -> f64 {
    Scrape::of(program).await.value(&format!("trace_spans_total{{outcome=\"{outcome}\"}}"))
}

#[tokio::test]
async fn nobody_at_the_collectors_address_delays_no_login_and_no_end() {
    let mut stack = stack(&[setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]).await;
    within_time(AS_EVER, "a login", login(&stack)).await;
    for program in stack.gateways.iter_mut().chain(&mut stack.callbacks) {
        assert_eq!(within_time(AS_EVER + AS_EVER / 2, "the end", program.terminate()).await, Some(0));
        assert!(program.printed().contains("traces are not taken"), "{}", program.printed());
    }
}

#[tokio::test]
async fn a_login_that_fails_is_a_trace_that_says_at_what() {
    let collector = Collector::start().await;
    let mut stack = stack(&[collector.setting()]).await;
    let why =
        |spans: &[Span], name: &str| spans.iter().find(|span| span.name == name).unwrap().failed.clone();
    faults(&stack, json!({ "error": { "errcode": 48001, "calls": 1, "path": "/cgi-bin/qrcode/create" } }))
        .await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    assert_eq!(browser.error().await, "platform_unavailable");
    let spans = collector.has(&[("gateway", &["login", "make_qr_code"])]).await;
    assert_eq!(why(&spans, "login").as_deref(), Some("platform_unavailable"));
    assert_eq!(why(&spans, "make_qr_code").as_deref(), Some("failed"));
    let mut browser = Browser::open(&stack.gateways[1].url()).await;
    let shown = browser.qr_code().await;
    stack.redis.kill();
    stack.scan(&shown.content, &somebodys_openid()).await;
    let spans = collector.has(&[("callback", &["callback", "claim"])]).await;
    assert_eq!(why(&spans, "callback").as_deref(), Some("backplane_unavailable"));
    assert_eq!(why(&spans, "claim").as_deref(), Some("failed"));
}

#[tokio::test]
async fn a_call_that_is_given_up_has_failed() {
    let collector = Collector::start().await;
    let stack = stack(&[collector.setting()]).await;
    // A token and a code, each within its own limit, and together beyond that of a page.
    faults(&stack, json!({ "latency_ms": 4_200 })).await;
    assert_eq!(Browser::open(&stack.gateways[0].url()).await.error().await, "platform_unavailable");
    let spans = collector.has(&[("gateway", &["login", "make_qr_code"])]).await;
    let call = spans.iter().find(|span| span.name == "make_qr_code").unwrap();
    assert_eq!(call.failed.as_deref(), Some("given_up"));
    assert_eq!(call.attributes["error.type"], "given_up");
}

#[tokio::test]
async fn what_ends_with_a_program_is_sent_before_it_has_ended() {
    let collector = Collector::start().await;
    let mut stack = stack(&[collector.setting()]).await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    browser.qr_code().await;
    assert_eq!(stack.gateways[0].terminate().await, Some(0));
    let spans = collector.spans();
    let page = spans.iter().find(|span| span.name == "page").unwrap();
    assert_eq!(page.attributes["ending"], "moved");
    assert!(spans.iter().any(|span| span.name == "login" && span.trace == page.trace));
}

/// Whoever does not know where to go would go to localhost, for that is the standard's default; and so to the proxy.
#[tokio::test]
async fn without_an_endpoint_nothing_is_sent_anywhere() {
    let collector = Collector::start().await;
    let proxied = [setting("HTTP_PROXY", collector.url()), setting("NO_PROXY", "127.0.0.1")];
    let said = [
        setting("OTEL_SERVICE_NAME", "logins"),
        setting("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=what-the-collector-wants"),
        setting("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let mut silent = stack(&[&proxied[..], &said[..]].concat()).await;
    login(&silent).await;
    let scrape = Scrape::of(&silent.gateways[0]).await;
    assert!(!scrape.text.contains("trace_spans"), "{}", scrape.text);
    for program in silent.gateways.iter_mut().chain(&mut silent.callbacks) {
        assert_eq!(program.terminate().await, Some(0));
        assert!(!program.printed().contains("traces"), "{}", program.printed());
    }
    assert_eq!(collector.requests().len(), 0);
    let endpoint = setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let talkative = stack(&[&proxied[..], &[endpoint]].concat()).await;
    login(&talkative).await;
    collector.has(&[("gateway", &["login"]), ("callback", &["callback"])]).await;
}

#[tokio::test]
async fn a_standalone_login_is_a_trace_too() {
    let collector = Collector::start().await;
    let secret = setting("REDEEM_SECRET", "a-secret-of-the-test");
    let program = Program::start("standalone", vec![collector.setting(), secret]).await;
    let mut browser = Browser::open(&program.url()).await;
    let shown = browser.qr_code().await;
    scan_at(&program.url(), &json!({ "content": shown.content, "openid": somebodys_openid() })).await;
    let code = browser.success().await.code;
    Application::new(program.url(), "a-secret-of-the-test").redeem(&code).await;
    let spans = collector.has(&[("standalone", &["login", "callback", "push", "redeem"])]).await;
    assert!(spans.iter().all(|span| span.trace == trace_of(&code[..22])), "{spans:?}");
}

#[test]
fn operators_can_turn_the_login_of_a_log_line_into_the_traces_id() {
    let page = include_str!("../../../docs/operations.md");
    let command = page.lines().find(|line| line.contains("basenc")).unwrap();
    for login in ["AAECAwQFBgcICQoLDA0ODw", "-_-_-_-_-_-_-_-_-_-_-w"] {
        let run = Command::new("sh").args(["-c", command]).env("LOGIN", login).output().unwrap();
        assert_eq!(String::from_utf8(run.stdout).unwrap().trim(), trace_of(login), "{command}");
    }
}
