//! How long things took, summed up.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Anything longer counts as this long: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Any number of durations, each kept to three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// What most, nearly all, and all of them are, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// Half of them are not above.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p99_9: f64,
    /// All of them.
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self(
            Histogram::new_with_bounds(1, LONGEST, 3)
                .expect("the bounds are in order, and three digits are few"),
        )
    }
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
    }

    /// Adds one from a history; what ended before it began took no time.
    pub fn add_between(&mut self, from_us: u64, to_us: u64) {
        self.add(Duration::from_micros(to_us.saturating_sub(from_us)));
    }

    /// Sums up.
    #[must_use]
    pub fn summary(&self) -> Summary {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        let (count, max) = (self.0.len(), micros(self.0.max()));
        Summary { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999).min(max), max }
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(all: I) -> Self {
        let mut latencies = Self::default();
        all.into_iter().for_each(|took| latencies.add(took));
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits() {
        let summary = (1..=1000).map(Duration::from_micros).collect::<Latencies>().summary();
        assert_eq!(summary.count, 1000);
        for (value, expected) in [
            (summary.p50, 500.0),
            (summary.p90, 900.0),
            (summary.p99, 990.0),
            (summary.p99_9, 999.0),
            (summary.max, 1000.0),
        ] {
            assert!((value - expected).abs() <= expected / 500.0, "{value} for {expected}");
        }
        assert_eq!(Latencies::default().summary().count, 0);
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_bound() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::MAX);
        latencies.add_between(5, 3);
        assert!(latencies.summary().max >= 3_599e6);
        assert!(latencies.summary().p50 <= 1.0);
    }
}
