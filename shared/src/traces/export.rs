//! From the end of a span to the collector: a queue with an end, and a task that sends what is in it. Nothing that makes
//! spans ever waits for either.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus::IntCounter;
use prometheus::proto::MetricFamily;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings::Destination;
use crate::metrics::Registry;
use crate::settings::Invalid;

/// Spans that wait to be sent: some 5 MB, or what a thousand logins leave behind. What comes on top is dropped.
pub(super) const QUEUE: usize = 8192;
/// Spans of one request.
const BATCH: usize = 512;
/// How long a span waits for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);
/// For a request with its repetitions; OTLP's default
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options>).
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// For reaching the collector.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For what is left when the process ends. A collector that answers needs far less.
const FLUSH_TIME: Duration = Duration::from_secs(3);
/// Between two log lines about a queue that is full.
const QUIET: Duration = Duration::from_secs(60);

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Export {
    queue: mpsc::Sender<SpanData>,
    counts: Counts,
    registry: Registry,
    /// The process is about to end.
    closing: CancellationToken,
    task: TaskTracker,
}

/// What becomes of spans.
#[derive(Clone, Debug)]
struct Counts {
    exported: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
}

impl Export {
    pub(super) fn start(destination: Destination, program: &str, instance: &str) -> Result<Self, Invalid> {
        let (url, sampler) = (destination.url.to_string(), format!("{:?}", destination.sampler));
        let resource = resource(&destination, program, instance);
        let exporter = exporter(destination, &resource)?;
        let (queue, spans) = mpsc::channel(QUEUE);
        let registry = Registry::default();
        let family = registry.counter_family("trace_spans_total", "Spans that ended.", &["outcome"]);
        let outcome = |word| family.with_label_values(&[word]);
        let counts =
            Counts { exported: outcome("exported"), failed: outcome("failed"), dropped: outcome("dropped") };
        let (closing, task) = (CancellationToken::new(), TaskTracker::new());
        let sender = Sender { spans, exporter, counts: counts.clone(), trouble: Trouble::default() };
        task.spawn(sender.run(closing.clone()));
        task.close();
        tracing::info!(url, sampler, "traces are sent");
        Ok(Self { queue, counts, registry, closing, task })
    }

    /// Takes a span that ended, or drops it.
    pub(super) fn take(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.counts.dropped.inc();
        }
    }

    pub(super) async fn flush(&self) {
        self.closing.cancel();
        if time::timeout(FLUSH_TIME, self.task.wait()).await.is_err() {
            tracing::warn!(
                limit_s = FLUSH_TIME.as_secs(),
                "the last traces are lost: the collector does not answer"
            );
        }
    }

    pub(super) fn metrics(&self) -> Vec<MetricFamily> {
        self.registry.families()
    }
}

/// Who this process is. What the operator says comes last, and wins.
fn resource(destination: &Destination, program: &str, instance: &str) -> Resource {
    let service = destination.service.clone().map(|name| KeyValue::new("service.name", name));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new("service.name", program.to_owned()),
            KeyValue::new("service.namespace", "scan-login"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .with_attributes(destination.attributes.clone())
        .with_attributes(service)
        .build()
}

fn exporter(destination: Destination, resource: &Resource) -> Result<SpanExporter, Invalid> {
    let mut client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXPORT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .default_headers(destination.headers);
    if destination.url.scheme() == "http" {
        // It has no certificate to check.
        client = client.tls_certs_only([]);
    }
    let unusable = |_| Invalid::malformed("OTEL_EXPORTER_OTLP_ENDPOINT", "the URL of a collector");
    let client = client.build().map_err(|_| unusable(()))?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(destination.url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|_| unusable(()))?;
    exporter.set_resource(resource);
    Ok(exporter)
}

/// The task that sends.
struct Sender {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    counts: Counts,
    trouble: Trouble,
}

impl Sender {
    /// Sends what comes until the process is about to end, and then what is there.
    async fn run(mut self, closing: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.gather(&mut batch, &closing).await;
            if batch.is_empty() {
                return;
            }
            self.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await;
        }
    }

    /// Waits for spans; none come when the end has begun and all were sent.
    async fn gather(&mut self, batch: &mut Vec<SpanData>, closing: &CancellationToken) {
        let mut until = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                biased;
                came = self.spans.recv_many(batch, room) => {
                    if came == 0 {
                        return;
                    }
                    until.get_or_insert_with(|| Instant::now() + DELAY);
                }
                () = closing.cancelled() => return,
                () = async { time::sleep_until(until.unwrap_or_else(Instant::now)).await }, if until.is_some() => return,
            }
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let sent = time::timeout(EXPORT_TIMEOUT, self.exporter.export(batch)).await;
        match sent.unwrap_or(Err(OTelSdkError::Timeout(EXPORT_TIMEOUT))) {
            Ok(()) => {
                self.counts.exported.inc_by(count);
                self.trouble.is_over(self.counts.failed.get() + self.counts.dropped.get());
            }
            Err(error) => {
                self.counts.failed.inc_by(count);
                self.trouble.begins(&error);
            }
        }
    }
}

/// What the log is told: the beginning of a trouble and its end, and not each request in between.
#[derive(Debug, Default)]
struct Trouble {
    lasts: bool,
    /// Spans that were lost before the last line.
    told: u64,
    quiet_until: Option<Instant>,
}

impl Trouble {
    fn begins(&mut self, error: &OTelSdkError) {
        if !std::mem::replace(&mut self.lasts, true) {
            tracing::warn!(%error, "traces are not taken by the collector, spans are lost");
        }
    }

    /// A batch was taken; `lost` spans were not, since the start.
    fn is_over(&mut self, lost: u64) {
        let (now, spans) = (Instant::now(), lost - self.told);
        if std::mem::take(&mut self.lasts) {
            tracing::info!(lost = spans, "traces are taken again");
        } else if spans > 0 && self.quiet_until.is_none_or(|until| now >= until) {
            tracing::warn!(
                lost = spans,
                "spans were lost: more of them than the collector takes, see OTEL_TRACES_SAMPLER"
            );
        } else {
            return;
        }
        (self.told, self.quiet_until) = (lost, Some(now + QUIET));
    }
}
