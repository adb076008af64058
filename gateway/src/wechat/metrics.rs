//! What operators see of the platform's API (docs/metrics.md, "The platform").

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use shared::day;
use shared::metrics::{Registry, WAITS};

use super::Error;
use super::error::Kind;
use super::rest::since_1970;

/// The platform's codes that have a value of their own (docs/wechat.md, "Error codes"); any other is `other`.
const CODES: [i64; 29] = [
    -1, 40001, 40002, 40003, 40013, 40014, 40052, 40053, 40125, 40164, 40243, 41001, 41002, 41004, 42001,
    43002, 43003, 44002, 45009, 45011, 47001, 48001, 48004, 50004, 50007, 89501, 89503, 89506, 89507,
];
/// What is no code of the platform's.
const OTHERS: [&str; 5] = ["other", "unreachable", "http_status", "unreadable", "token_not_taken"];
/// The states of a breaker.
pub(super) const STATES: [&str; 3] = ["working", "resting", "probing"];

/// All calls together.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    durations: HistogramVec,
    errors: IntCounterVec,
    not_made: IntCounterVec,
    breakers: IntGaugeVec,
    token_fetched: Gauge,
    token_ends: Gauge,
    codes_today: IntGauge,
    today: Mutex<Today>,
}

/// The QR codes of one day.
#[derive(Debug, Default)]
struct Today {
    day: u64,
    codes: i64,
}

/// One kind of call.
#[derive(Clone, Debug)]
pub(super) struct CallMetrics {
    call: &'static str,
    pub(super) duration: Histogram,
    pub(super) not_made: IntCounter,
    errors: IntCounterVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        Self {
            durations: registry.histogram_family(
                "platform_call_duration_seconds",
                "Time that a request to the platform took, whatever its answer.",
                &["call"],
                WAITS,
            ),
            errors: registry.counter_family(
                "platform_errors_total",
                "Requests to the platform that failed, by the platform's code or what came in its place.",
                &["call", "code"],
            ),
            not_made: registry.counter_family(
                "platform_calls_not_made_total",
                "Calls that were not made: the platform was given a rest, or too many were under way.",
                &["call"],
            ),
            breakers: registry.gauge_family(
                "platform_breaker_state",
                "1 for the state that the breaker of a kind of call is in, else 0.",
                &["call", "state"],
            ),
            token_fetched: registry.time_gauge(
                "platform_token_fetched_timestamp_seconds",
                "When the access token was fetched, since 1970; 0 without one.",
            ),
            token_ends: registry.time_gauge(
                "platform_token_expiry_timestamp_seconds",
                "When the access token ends, since 1970; 0 without one.",
            ),
            codes_today: registry.gauge(
                "qr_codes_made_today",
                "QR codes that this replica has had made since midnight in China.",
            ),
            today: Mutex::default(),
            registry,
        }
    }
}

impl Metrics {
    /// One kind of call, with 0 for everything that may be counted.
    pub(super) fn of(&self, call: &'static str) -> CallMetrics {
        let words = CODES.iter().map(ToString::to_string).chain(OTHERS.map(str::to_owned));
        for word in words {
            self.errors.with_label_values(&[call, word.as_str()]);
        }
        CallMetrics {
            call,
            duration: self.durations.with_label_values(&[call]),
            not_made: self.not_made.with_label_values(&[call]),
            errors: self.errors.clone(),
        }
    }

    /// The platform has made a QR code, or may have.
    pub(super) fn code_made(&self) {
        self.today(|today| today.codes += 1);
    }

    /// The state of a breaker.
    pub(super) fn set_breaker(&self, call: &'static str, is: &'static str) {
        for state in STATES {
            self.breakers.with_label_values(&[call, state]).set((state == is).into());
        }
    }

    /// When the token was fetched and when it ends, since 1970.
    pub(super) fn set_token(&self, token: Option<(Duration, Duration)>) {
        let (fetched, ends) = token.unwrap_or_default();
        self.token_fetched.set(fetched.as_secs_f64());
        self.token_ends.set(ends.as_secs_f64());
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.today(|today| self.codes_today.set(today.codes));
        self.registry.families()
    }

    fn today(&self, with: impl FnOnce(&mut Today)) {
        let day = day::number(since_1970());
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if today.day != day {
            *today = Today { day, codes: 0 };
        }
        with(&mut today);
    }
}

impl CallMetrics {
    /// A request failed.
    pub(super) fn failed(&self, error: &Error) {
        let code = match error.kind() {
            Kind::Code(code) if CODES.contains(&code) => &code.to_string(),
            Kind::Code(_) => "other",
            Kind::Unreachable => "unreachable",
            Kind::Status(_) => "http_status",
            Kind::Unreadable => "unreadable",
            Kind::TokenNotTaken => "token_not_taken",
            // Nothing was asked: it is counted as a call that was not made.
            Kind::Crowded => return,
        };
        self.errors.with_label_values(&[self.call, code]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_told_us_about_makes_no_new_series() {
        let metrics = Metrics::default();
        let call = metrics.of("/call");
        let series = |metrics: &Metrics| -> usize {
            let errors = metrics.families().into_iter().find(|family| family.name().contains("errors"));
            errors.map_or(0, |family| family.get_metric().len())
        };
        let before = series(&metrics);
        assert_eq!(before, CODES.len() + OTHERS.len());
        for code in [-1, 40164, 1, 99_999] {
            call.failed(&Error::refused(code, ""));
        }
        assert_eq!(series(&metrics), before);
        let other = metrics.errors.with_label_values(&["/call", "other"]).get();
        assert_eq!((other, metrics.errors.with_label_values(&["/call", "40164"]).get()), (2, 1));
    }

    #[test]
    fn the_days_count_begins_anew_at_midnight() {
        let metrics = Metrics::default();
        metrics.code_made();
        metrics.code_made();
        metrics.families();
        assert_eq!(metrics.codes_today.get(), 2);
        metrics.today.lock().unwrap().day -= 1;
        metrics.families();
        assert_eq!(metrics.codes_today.get(), 0);
    }
}
