//! What operators see of Redis (docs/metrics.md, "Redis").

use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter, IntGauge};

use crate::backplane::Error;
use crate::login::Timestamp;
use crate::metrics::{Counters, Registry, WAITS};

/// What the connections are for.
const CONNECTIONS: &[&str] = &["commands", "inbox", "durable"];

#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    reachable: IntGauge,
    pub(super) reconnects: Counters,
    pub(super) outages: Counters,
    pub(super) read_again: IntCounter,
    pub(super) restored: IntCounter,
    notice_delay: Histogram,
    move_duration: Histogram,
    move_errors: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        Self {
            reachable: registry.gauge("redis_reachable", "1 while Redis answers and notices arrive, else 0."),
            reconnects: registry.counters(
                "redis_reconnects_total",
                "Connections to Redis that took the place of one that broke.",
                "connection",
                CONNECTIONS,
            ),
            outages: registry.counters(
                "redis_outages_total",
                "Times that Redis stopped answering the watchdog.",
                "connection",
                CONNECTIONS,
            ),
            read_again: registry.counter(
                "redis_records_read_again_total",
                "Watched records that were read again, after an outage of the notices or for no reason.",
            ),
            restored: registry.counter(
                "redis_logins_restored_total",
                "Waiting logins that Redis had lost and that were written again.",
            ),
            notice_delay: registry.histogram(
                "notice_delay_seconds",
                "From a claim, by the clock of Redis, to its notice in the gateway, by the gateway's.",
                WAITS,
            ),
            move_duration: registry.histogram(
                "redis_move_duration_seconds",
                "Time that a move took, answered or not.",
                WAITS,
            ),
            move_errors: registry.counter("redis_move_errors_total", "Moves that were not answered."),
            registry,
        }
    }
}

impl Metrics {
    pub(super) fn families(&self, reachable: bool) -> Vec<MetricFamily> {
        self.reachable.set(reachable.into());
        self.registry.families()
    }

    /// A notice of a claim came that was made at this time, in milliseconds by the clock of Redis. Where the clocks
    /// disagree it may lie in the future, and then counts as made now.
    pub(super) fn noticed(&self, claimed_at: Timestamp) {
        let Timestamp(now) = Timestamp::of_this_machine();
        self.notice_delay
            .observe(std::time::Duration::from_millis(now.saturating_sub(claimed_at.0)).as_secs_f64());
    }

    /// A move is made.
    pub(super) async fn time<T>(&self, made: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let timer = self.move_duration.start_timer();
        let outcome = made.await;
        timer.observe_duration();
        if outcome.is_err() {
            self.move_errors.inc();
        }
        outcome
    }
}
