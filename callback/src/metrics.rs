//! What operators see of the platform's calls (docs/metrics.md, "Callback").

use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter};
use shared::metrics::{Counters, Registry, WAITS};
use tokio::time::Instant;

use crate::answer::Outcome;
use crate::error::Error;
use crate::request::now;

/// The platform tells the time of an event in whole seconds (docs/wechat.md, "Bodies"), so an age is up to one second
/// too long, and less than a second cannot be told apart.
const AGES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 60.0];

pub(crate) struct Metrics {
    registry: Registry,
    pushes: Counters,
    refusals: Counters,
    pub(crate) verifications: IntCounter,
    age: Histogram,
    duration: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        Self {
            pushes: registry.counters(
                "callback_pushes_total",
                "Authentic pushes, by what came of them.",
                "outcome",
                Outcome::NAMES,
            ),
            refusals: registry.counters(
                "callback_refusals_total",
                "Calls that were refused.",
                "reason",
                Error::NAMES,
            ),
            verifications: registry
                .counter("callback_verifications_total", "Verifications of the address that were answered."),
            age: registry.histogram(
                "event_age_seconds",
                "From the creation of an event, in the platform's whole seconds, until it came.",
                AGES,
            ),
            duration: registry.histogram(
                "callback_duration_seconds",
                "From the beginning of an authentic push until its answer is ready.",
                WAITS,
            ),
            registry,
        }
    }
}

impl Metrics {
    /// A push is answered that came at `came` and was created at `created`, in seconds since 1970 by the platform's clock.
    /// Where that is ahead of ours, the push counts as new.
    pub(crate) fn answered(&self, outcome: &Outcome, created: Option<u64>, came: Instant) {
        self.pushes.rise(outcome.name());
        let took = came.elapsed();
        self.duration.observe(took.as_secs_f64());
        if let Some(created) = created {
            let age = Duration::from_secs(now().saturating_sub(created)).saturating_sub(took);
            self.age.observe(age.as_secs_f64());
        }
    }

    pub(crate) fn refused(&self, error: &Error) {
        self.refusals.rise(error.name());
    }

    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        self.registry.families()
    }
}
