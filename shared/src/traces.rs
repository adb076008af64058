//! Traces: what a login took, and where, for operators who name a collector (docs/operations.md, "Traces").
//!
//! The programs agree on a login's trace without telling each other anything: its id is the login's, the root's id is a
//! part of it, and whether it is sampled is computed from it. That is why spans are made here and not by the SDK's
//! tracer, which gives out ids of its own.

mod export;
mod settings;

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _, SpanData};
use prometheus::proto::MetricFamily;
use tokio::time::Instant;

use self::export::Export;
pub use self::settings::{Destination, TraceSettings};
use crate::login::RecordId;
use crate::random;
use crate::settings::Invalid;

/// What makes these spans, as a collector sees it.
const SCOPE: &str = "scan-login";
/// The attribute that has the login as log lines have it.
const LOGIN: &str = "scanlogin.login";

/// Where a program's spans go. Clones are of the same program. While it is off, nothing is made, kept or sent.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Collector>>);

#[derive(Debug)]
struct Collector {
    sampler: Sampler,
    scope: InstrumentationScope,
    export: Export,
}

impl Traces {
    /// Nobody asked for any.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Those of `program`, of which this process is the `instance`. They are exported by a task of the present runtime.
    ///
    /// # Errors
    ///
    /// A request to this destination cannot be made.
    pub fn start(destination: Option<Destination>, program: &str, instance: &str) -> Result<Self, Invalid> {
        let Some(destination) = destination else { return Ok(Self::off()) };
        let sampler = destination.sampler.clone();
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let export = Export::start(destination, program, instance)?;
        Ok(Self(Some(Arc::new(Collector { sampler, scope, export }))))
    }

    /// The root of a login's trace: how it began. Only the process that opens the login has it.
    #[must_use]
    pub fn login(&self, login: RecordId) -> Span {
        self.begin(login, "login", root_of(login), SpanId::INVALID, SpanKind::Server)
    }

    /// Somebody's request, for this login.
    #[must_use]
    pub fn request(&self, login: RecordId, name: &'static str) -> Span {
        self.begin(login, name, random_id(), root_of(login), SpanKind::Server)
    }

    /// Something that happens to this login.
    #[must_use]
    pub fn part(&self, login: RecordId, name: &'static str) -> Span {
        self.begin(login, name, random_id(), root_of(login), SpanKind::Internal)
    }

    fn begin(&self, login: RecordId, name: &'static str, id: SpanId, parent: SpanId, kind: SpanKind) -> Span {
        let trace = TraceId::from_bytes(login.to_bytes());
        let Some(collector) = self.0.as_ref().filter(|collector| collector.samples(trace)) else {
            return Span::none();
        };
        let mut span = collector.begin(trace, name, id, parent, kind);
        span.data.attributes.push(KeyValue::new(LOGIN, login.to_string()));
        // Who has the root is another process, or was.
        span.data.parent_span_is_remote = parent != SpanId::INVALID;
        Span(Some(Box::new(span)))
    }

    /// Sends what has not been sent, for the process is about to end. Takes three seconds at most; spans that end later
    /// are lost.
    pub async fn flush(&self) {
        if let Some(collector) = &self.0 {
            collector.export.flush().await;
        }
    }

    /// What became of the spans; nothing while it is off.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricFamily> {
        self.0.as_ref().map(|collector| collector.export.metrics()).unwrap_or_default()
    }
}

impl Collector {
    /// By the trace's id alone, so that all programs with the same settings say the same.
    fn samples(&self, trace: TraceId) -> bool {
        let sampled = self.sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }

    fn begin(
        self: &Arc<Self>,
        trace: TraceId,
        name: &'static str,
        id: SpanId,
        parent: SpanId,
        kind: SpanKind,
    ) -> Open {
        let now = SystemTime::now();
        let data = SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        };
        Open { collector: self.clone(), began: Instant::now(), data }
    }
}

/// The id of a login's root span: the first half of the login's, so that whoever knows the login knows it.
fn root_of(login: RecordId) -> SpanId {
    let [a, b, c, d, e, f, g, h, ..] = login.to_bytes();
    SpanId::from_bytes([a, b, c, d, e, f, g, h])
}

fn random_id() -> SpanId {
    SpanId::from_bytes(random::bytes())
}

/// A stretch of time in a login, from when it is made until it is dropped. What it can say of it are words of our own:
/// there is no way to put anything of a person into it. `none` where traces are off, or without this login.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    collector: Arc<Collector>,
    began: Instant,
    data: SpanData,
}

impl Span {
    /// One that nobody hears of.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// The same, but it began earlier.
    #[must_use]
    pub fn since(mut self, began: Instant) -> Self {
        if let Some(open) = &mut self.0 {
            open.began = began;
            open.data.start_time =
                SystemTime::now().checked_sub(began.elapsed()).unwrap_or(SystemTime::now());
        }
        self
    }

    /// A call to somebody else that is made within this stretch.
    #[must_use]
    pub fn call(&self, name: &'static str) -> Self {
        let Some(Open { collector, data, .. }) = self.0.as_deref() else { return Self::none() };
        let (trace, parent) = (data.span_context.trace_id(), data.span_context.span_id());
        Self(Some(Box::new(collector.begin(trace, name, random_id(), parent, SpanKind::Client))))
    }

    /// Says something of it.
    pub fn put(&mut self, key: &'static str, word: &'static str) {
        if let Some(open) = &mut self.0 {
            open.data.attributes.push(KeyValue::new(key, word));
        }
    }

    /// Says that it failed, and at what.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(open) = &mut self.0 {
            open.data.status = Status::error(why);
            open.data.attributes.push(KeyValue::new("error.type", why));
        }
    }

    /// Lasts as long as `work`; an error of it is a failure, and so is not to be awaited to its end.
    ///
    /// # Errors
    ///
    /// Those of the work.
    pub async fn over<T, E>(mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.fail("given_up");
        let done = work.await;
        if let Some(open) = &mut self.0 {
            open.data.status = Status::Unset;
            open.data.attributes.pop();
        }
        if done.is_err() {
            self.fail("failed");
        }
        done
    }

    /// It is over.
    pub fn end(self) {}
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let Open { collector, began, mut data } = *open;
            data.end_time = data.start_time.checked_add(began.elapsed()).unwrap_or(data.start_time);
            collector.export.take(data);
        }
    }
}

#[cfg(test)]
mod tests;
