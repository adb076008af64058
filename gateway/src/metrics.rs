//! What operators see of the browsers and of redeeming (docs/metrics.md, "Gateway").

use prometheus::{Histogram, IntCounter, IntGauge};
use shared::metrics::{Counters, Registry, WAITS};

use crate::limits::QrLimits;
use crate::protocol::ErrorCode;
use crate::redeem;

/// Where `QR_LIMIT_TOTAL` sets no limit, the platform's usual one holds (docs/wechat.md, "Quotas").
const PLATFORM_DAY: i64 = 100_000;

/// Why a login's page shows a code, or its success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The session began.
    Open,
    /// The page asked for a new code.
    Refresh,
    /// The page came back.
    Resume,
    /// A notice said so.
    Notice,
}

impl After {
    /// Its name in metrics and traces.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refresh => "refresh",
            Self::Resume => "resume",
            Self::Notice => "notice",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) pages: Counters,
    connections: IntGauge,
    max_connections: IntGauge,
    pub(crate) connected: Counters,
    pub(crate) not_connected: Counters,
    pub(crate) opened: IntCounter,
    pub(crate) resumed: Counters,
    waiting: IntGauge,
    shown: Counters,
    pub(crate) expired: IntCounter,
    pushed: Counters,
    push_duration: Histogram,
    refusals: Counters,
    pub(crate) redeems: Counters,
    pub(crate) redeem_duration: Histogram,
}

impl Metrics {
    /// All at 0, and how many QR codes there may be.
    pub(crate) fn of(limits: &QrLimits) -> Self {
        let registry = Registry::default();
        let limit = registry
            .gauge("qr_codes_day_limit", "QR codes that all replicas together may have made in a day.");
        limit.set(limits.total.per_day().map_or(PLATFORM_DAY, i64::from));
        let counters =
            |name, help, label, words: &[&'static str]| registry.counters(name, help, label, words);
        Self {
            pages: counters(
                "pages_total",
                "Pages and scripts that were fetched.",
                "file",
                &["page", "element"],
            ),
            connections: registry.gauge("gateway_connections", "Browsers that are connected."),
            max_connections: registry
                .gauge("gateway_connections_limit", "Browsers that this replica has room for."),
            connected: counters(
                "connections_total",
                "Browsers that connected, by what they asked for.",
                "request",
                &["begin", "resume"],
            ),
            not_connected: counters(
                "connections_refused_total",
                "Browsers that were not let in.",
                "reason",
                &["origin", "handshake", "leaving", "too_often", "full"],
            ),
            opened: registry.counter("sessions_opened_total", "Sessions that began."),
            resumed: counters(
                "sessions_resumed_total",
                "Sessions that browsers came back with, by what they had come to.",
                "state",
                &["waiting", "expired", "scanned", "unknown", "overtaken"],
            ),
            waiting: registry.gauge(
                "sessions_waiting",
                "Sessions whose browser is connected and whose login waits for a scan.",
            ),
            shown: counters(
                "qr_codes_shown_total",
                "QR codes that were sent to a page.",
                "after",
                &[After::Open, After::Refresh, After::Resume].map(After::name),
            ),
            expired: registry.counter("qr_codes_expired_total", "QR codes whose time ended on a page."),
            pushed: counters(
                "logins_pushed_total",
                "Successes that were sent to a page, by how the gateway came to know of them.",
                "after",
                &[After::Notice, After::Refresh, After::Resume].map(After::name),
            ),
            push_duration: registry.histogram(
                "push_duration_seconds",
                "From a notice in the gateway until the success is written to the browser's socket.",
                WAITS,
            ),
            refusals: counters(
                "refusals_total",
                "Errors that were sent to pages.",
                "reason",
                &ErrorCode::ALL.map(ErrorCode::name),
            ),
            redeems: counters(
                "redeems_total",
                "Requests to redeem a code, by what they came to.",
                "outcome",
                redeem::OUTCOMES,
            ),
            redeem_duration: registry.histogram(
                "redeem_duration_seconds",
                "Time that a request to redeem a code took, whatever it came to.",
                WAITS,
            ),
            registry,
        }
    }

    /// How many browsers there are and may be, which is looked up when somebody wants to know.
    pub(crate) fn set_connections(&self, present: usize, limit: usize) {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.connections.set(number(present));
        self.max_connections.set(number(limit));
    }

    /// A page shows a code.
    pub(crate) fn shown(&self, after: After) {
        self.shown.rise(after.name());
    }

    /// A page shows its success. `told_at` is when the notice came, if one did.
    pub(crate) fn pushed(&self, after: After, told_at: Option<tokio::time::Instant>) {
        self.pushed.rise(after.name());
        if let Some(told_at) = told_at {
            self.push_duration.observe(told_at.elapsed().as_secs_f64());
        }
    }

    /// A page is told of an error.
    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refusals.rise(code.name());
    }

    /// A login waits, until what is returned is dropped.
    pub(crate) fn waits(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }
}

/// A login that waits for its scan, in the place where its browser is.
#[derive(Debug)]
pub(crate) struct Waiting(IntGauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
