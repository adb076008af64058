//! Counters, gauges and histograms for operators (docs/metrics.md). Each part of a program has a [`Registry`] of its own;
//! the operators' listener asks all of them. To count is one atomic addition.

use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, TextEncoder,
};

/// Seconds from a millisecond to half a minute: for what a browser or a server waits for.
pub const WAITS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What every metric of ours begins with.
const NAMESPACE: &str = "scanlogin";
/// Why making a metric cannot fail.
const OURS: &str = "each name is written once in our code, and is one of Prometheus";

/// The metrics of one part of a program. Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// A counter. Its name ends in `_total`.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::with_opts(options(name, help)))
    }

    /// A counter for each of `words`, the only values that `label` has.
    #[must_use]
    pub fn counters(&self, name: &str, help: &str, label: &str, words: &[&'static str]) -> Counters {
        let family = self.counter_family(name, help, &[label]);
        let each = words.iter().map(|word| (*word, family.with_label_values(&[*word])));
        Counters { each: each.collect(), family }
    }

    /// Counters with several labels, whose values are the caller's to bound.
    #[must_use]
    pub fn counter_family(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(options(name, help), labels))
    }

    /// A gauge of whole numbers.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::with_opts(options(name, help)))
    }

    /// A gauge of a time, in seconds with fractions.
    #[must_use]
    pub fn time_gauge(&self, name: &str, help: &str) -> Gauge {
        self.keep(Gauge::with_opts(options(name, help)))
    }

    /// Gauges with labels, whose values are the caller's to bound.
    #[must_use]
    pub fn gauge_family(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(options(name, help), labels))
    }

    /// A histogram with these upper bounds.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
        self.keep(Histogram::with_opts(options))
    }

    /// Histograms with labels, whose values are the caller's to bound.
    #[must_use]
    pub fn histogram_family(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(options, labels))
    }

    /// What the process itself has and uses, by the names that every Prometheus client has for it.
    pub(crate) fn with_process(self) -> Self {
        #[cfg(target_os = "linux")]
        self.0.register(Box::new(prometheus::process_collector::ProcessCollector::for_self())).expect(OURS);
        self
    }

    /// All of them as they are now.
    #[must_use]
    pub fn families(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }

    fn keep<M: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<M>) -> M {
        let metric = made.expect(OURS);
        self.0.register(Box::new(metric.clone())).expect(OURS);
        metric
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

/// A counter for each word of a closed set. All are there from the start, so that the first event is seen as a rise from 0.
#[derive(Clone, Debug)]
pub struct Counters {
    each: Vec<(&'static str, IntCounter)>,
    family: IntCounterVec,
}

impl Counters {
    /// Counts one.
    pub fn rise(&self, word: &'static str) {
        match self.each.iter().find(|(known, _)| *known == word) {
            Some((_, counter)) => counter.inc(),
            None => {
                debug_assert!(false, "{word} is none of this counter's words");
                self.family.with_label_values(&[word]).inc();
            }
        }
    }
}

/// The Prometheus text format: what it is, and what it says.
pub(crate) fn text(mut families: Vec<MetricFamily>) -> (&'static str, String) {
    families.sort_by(|one, other| one.name().cmp(other.name()));
    let mut text = Vec::new();
    // Fails only for a metric without values, which leaves the rest as it is; writing to memory does not fail.
    let _ = TextEncoder::new().encode(&families, &mut text);
    (prometheus::TEXT_FORMAT, String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_before_the_first_event() {
        let registry = Registry::default();
        let counters = registry.counters("tests_total", "Tests.", "outcome", &["good", "bad"]);
        counters.rise("good");
        let (_, text) = text(registry.families());
        assert!(text.contains("scanlogin_tests_total{outcome=\"good\"} 1\n"), "{text}");
        assert!(text.contains("scanlogin_tests_total{outcome=\"bad\"} 0\n"), "{text}");
    }
}
