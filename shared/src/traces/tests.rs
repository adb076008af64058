use clap::Parser;
use tokio::time::Duration;

use super::*;
use crate::login::SessionId;

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    traces: TraceSettings,
}

fn settings(flags: &[&str]) -> Result<TraceSettings, Invalid> {
    let arguments = ["program"].iter().chain(flags);
    crate::settings::parse_from::<Settings, _, _>(arguments).map(|settings| settings.traces)
}

fn destination(flags: &[&str]) -> Option<Destination> {
    settings(flags).unwrap().destination().unwrap()
}

fn traces(flags: &[&str]) -> Traces {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let to_nobody = ["--otel-exporter-otlp-endpoint=http://127.0.0.1:1"];
    Traces::start(destination(&[&to_nobody, flags].concat()), "program", "instance").unwrap()
}

fn somebodys() -> RecordId {
    SessionId::random().record_id()
}

fn of(span: &Span) -> &SpanData {
    &span.0.as_ref().unwrap().data
}

#[tokio::test]
async fn programs_that_know_nothing_but_the_login_find_the_same_trace_and_root() {
    let (one, other, login) = (traces(&[]), traces(&[]), somebodys());
    let (root, request, part) =
        (one.login(login), other.request(login, "request"), other.part(login, "part"));
    let call = request.call("call");
    let context = |span: &Span| of(span).span_context.clone();
    for span in [&root, &request, &part, &call] {
        assert_eq!(context(span).trace_id().to_bytes(), login.to_bytes());
    }
    assert_eq!(context(&root).span_id().to_bytes(), login.to_bytes()[..8]);
    assert_eq!(of(&root).parent_span_id, SpanId::INVALID);
    assert_eq!(of(&request).parent_span_id, context(&root).span_id());
    assert_eq!(of(&part).parent_span_id, context(&root).span_id());
    assert_eq!(of(&call).parent_span_id, context(&request).span_id());
    assert_ne!(context(&request).span_id(), context(&part).span_id());
}

#[tokio::test]
async fn a_login_is_sampled_by_all_or_by_none_and_as_many_as_was_said() {
    let flags = ["--otel-traces-sampler=parentbased_traceidratio", "--otel-traces-sampler-arg=0.25"];
    let (one, other) = (traces(&flags), traces(&flags));
    let mut sampled = 0;
    for _ in 0..4000 {
        let login = somebodys();
        let (root, part) = (one.login(login), other.part(login, "part"));
        assert_eq!(root.0.is_some(), part.0.is_some());
        assert_eq!(root.0.is_some(), root.call("call").0.is_some());
        sampled += u32::from(root.0.is_some());
    }
    assert!((800..1200).contains(&sampled), "{sampled} of 4000");
    for (sampler, samples) in [("always_on", true), ("always_off", false), ("parentbased_always_off", false)]
    {
        let traces = traces(&[&format!("--otel-traces-sampler={sampler}")]);
        assert_eq!(traces.login(somebodys()).0.is_some(), samples, "{sampler}");
    }
}

#[test]
fn what_is_off_makes_nothing_and_takes_a_pointer() {
    assert!(destination(&[]).is_none());
    assert!(destination(&["--otel-service-name=a", "--otel-traces-sampler=always_on"]).is_none());
    let mut span = Traces::off().login(somebodys()).since(Instant::now());
    span.put("key", "word");
    span.fail("why");
    assert!(span.0.is_none() && span.call("call").0.is_none());
    assert_eq!(size_of::<Span>(), size_of::<usize>());
    assert!(Traces::off().metrics().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_span_lasts_from_when_it_began_until_its_end() {
    let (traces, began) = (traces(&[]), Instant::now());
    tokio::time::advance(Duration::from_secs(2)).await;
    let span = traces.part(somebodys(), "part").since(began);
    let age = SystemTime::now().duration_since(of(&span).start_time).unwrap();
    assert!((1900..2100).contains(&age.as_millis()), "{age:?}");
    // What its end is reckoned from.
    assert_eq!(span.0.as_ref().unwrap().began, began);
}

#[tokio::test]
async fn what_fails_says_so_and_at_what() {
    let traces = traces(&[]);
    let mut span = traces.part(somebodys(), "part");
    span.fail("redis");
    assert_eq!(of(&span).status, Status::error("redis"));
    assert!(of(&span).attributes.contains(&KeyValue::new("error.type", "redis")));
}

#[tokio::test]
async fn more_spans_than_may_wait_are_dropped_and_counted() {
    // Nothing is sent before this task waits.
    let (traces, login) = (traces(&[]), somebodys());
    for _ in 0..export::QUEUE + 10 {
        traces.part(login, "part").end();
    }
    let dropped = |family: &prometheus::proto::MetricFamily| {
        let of_outcome =
            |word: &str| family.get_metric().iter().find(|one| one.get_label()[0].value() == word);
        of_outcome("dropped").unwrap().get_counter().get_value()
    };
    assert_eq!(dropped(&traces.metrics()[0]), 10.0);
}

#[test]
fn traces_go_beneath_the_base_or_to_the_url_that_is_said() {
    let url = |flags: &[&str]| destination(flags).unwrap().url.to_string();
    for base in ["http://collector:4318", "http://collector:4318/", "HTTP://Collector:4318"] {
        assert_eq!(
            url(&[&format!("--otel-exporter-otlp-endpoint={base}")]),
            "http://collector:4318/v1/traces"
        );
    }
    let beneath = ["--otel-exporter-otlp-endpoint=https://a.example/otlp/"];
    assert_eq!(url(&beneath), "https://a.example/otlp/v1/traces");
    let whole = ["--otel-exporter-otlp-traces-endpoint=https://b.example/x"];
    assert_eq!(url(&[beneath, whole].concat()), "https://b.example/x");
    for wrong in ["collector:4318", "ftp://a", "http://user:secret@a", "http://a/?b", ""] {
        let flag = format!("--otel-exporter-otlp-endpoint={wrong}");
        let said = settings(&[&flag]).unwrap_err().to_string();
        assert!(said.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT") && !said.contains("secret@"), "{said}");
    }
}

#[test]
fn attributes_are_pairs_with_encoded_values() {
    let flags = [
        "--otel-exporter-otlp-endpoint=http://a",
        "--otel-resource-attributes= a=1, b=x%2Cy%3Dz ,,c=%E5%BE%AE",
    ];
    let expected = [("a", "1"), ("b", "x,y=z"), ("c", "微")].map(|(name, value)| KeyValue::new(name, value));
    assert_eq!(destination(&flags).unwrap().attributes, expected);
    for wrong in ["a", "=1", "a=1,b", "a=%ff"] {
        assert!(settings(&[&format!("--otel-resource-attributes={wrong}")]).is_err(), "{wrong}");
    }
}
