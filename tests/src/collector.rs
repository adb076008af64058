//! An OpenTelemetry collector that keeps all that it gets, and is away or slow on command.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::patience::until;
use crate::program::{Setting, setting};

/// What a collector does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Answers with this status, which is not worth a repetition.
    Refuses(StatusCode),
    /// Never answers, until it is told something else.
    Hangs,
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    url: String,
    got: Got,
    manner: watch::Sender<Manner>,
    server: JoinHandle<()>,
}

type Got = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A span as it came, in words.
#[derive(Clone, Debug)]
pub struct Span {
    /// `service.name`, and what else the process says of itself.
    pub process: BTreeMap<String, String>,
    /// In hexadecimal digits, as all ids here.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of the span that it belongs to; empty for the root.
    pub parent: String,
    /// What it is.
    pub name: String,
    /// Nanoseconds since 1970, the beginning first.
    pub time: [u64; 2],
    /// What it says.
    pub attributes: BTreeMap<String, String>,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

impl Span {
    /// `service.name`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.process["service.name"]
    }
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (got, (manner, mannered)) = (Got::default(), watch::channel(Manner::Takes));
        // Whatever the path: whoever uses a proxy sends it the whole URL.
        let router = Router::new().fallback(post(take)).with_state((got.clone(), mannered));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, got, manner, server }
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What makes a program send its traces here.
    #[must_use]
    pub fn setting(&self) -> Setting {
        setting("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url)
    }

    /// From now on, and for who waits already, it has this manner.
    pub fn behaves(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// The headers and the body of each request that was taken.
    #[must_use]
    pub fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        lock(&self.got).clone()
    }

    /// All spans that were taken.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let bodies = self.requests().into_iter().map(|(_, body)| body);
        bodies.flat_map(|body| read(ExportTraceServiceRequest::decode(body).unwrap())).collect()
    }

    /// Waits until it has, of each of these services, a span with each of the names.
    pub async fn has(&self, expected: &[(&str, &[&str])]) -> Vec<Span> {
        until("the spans to come", async || {
            let spans = self.spans();
            let has = |service, name| spans.iter().any(|span| span.service() == service && span.name == name);
            expected.iter().all(|(service, names)| names.iter().all(|name| has(*service, *name)))
        })
        .await;
        self.spans()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State((got, mut manner)): State<(Got, watch::Receiver<Manner>)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let manner = *manner.wait_for(|manner| *manner != Manner::Hangs).await.unwrap();
    match manner {
        Manner::Refuses(status) => status,
        Manner::Takes | Manner::Hangs => {
            lock(&got).push((headers, body));
            StatusCode::OK
        }
    }
}

fn lock(got: &Got) -> MutexGuard<'_, Vec<(HeaderMap, Bytes)>> {
    got.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_process in request.resource_spans {
        let process = words(of_process.resource.unwrap_or_default().attributes);
        for span in of_process.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            let failed = span.status.filter(|status| status.code == 2).map(|status| status.message);
            spans.push(Span {
                process: process.clone(),
                trace: hexadecimal(&span.trace_id),
                id: hexadecimal(&span.span_id),
                parent: hexadecimal(&span.parent_span_id),
                name: span.name,
                time: [span.start_time_unix_nano, span.end_time_unix_nano],
                attributes: words(span.attributes),
                failed,
            });
        }
    }
    spans
}

fn words(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let word = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(word)) => word,
        other => panic!("{other:?} is no word"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, word(attribute.value))).collect()
}

/// Bytes as OpenTelemetry writes ids.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
