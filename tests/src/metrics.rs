//! What a program says on `/metrics`, as a scraper reads it.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;

use crate::http;
use crate::patience::within;
use crate::program::Program;

/// One scrape, or the sum of several.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The page itself; of several, one after the other.
    pub text: String,
    /// Each series, written `name{label="value"}` as on the page.
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Asks a program.
    pub async fn of(program: &Program) -> Self {
        let request = http::client().get(format!("{}/metrics", program.admin_url())).send();
        let answer = within("the metrics", request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
        Self::read(answer.text().await.unwrap())
    }

    /// Asks all of them, and adds up.
    pub async fn of_all(programs: &[Program]) -> Self {
        let mut sum = Self::default();
        for program in programs {
            let one = Self::of(program).await;
            sum.text.push_str(&one.text);
            for (series, value) in one.series {
                *sum.series.entry(series).or_default() += value;
            }
        }
        sum
    }

    fn read(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        Self { series: series.collect(), text }
    }

    /// The value of `series`, written as on the page but without the prefix; it must be there.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        let series = format!("scanlogin_{series}");
        *self.series.get(&series).unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// How much each series has risen since `before`; those that have not are left out, and so are gauges of time.
    #[must_use]
    pub fn rises_since(&self, before: &Self) -> BTreeMap<String, i64> {
        let counted = |series: &&String| {
            series.starts_with("scanlogin_")
                && (series.contains("_total") || series.contains("_seconds_count"))
        };
        let rises = self.series.keys().filter(counted).map(|series| {
            let risen = self.series[series] - before.series.get(series).copied().unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, reason = "a test counts to a few hundred")]
            (series.trim_start_matches("scanlogin_").to_owned(), risen as i64)
        });
        rises.filter(|(_, risen)| *risen != 0).collect()
    }

    /// The names on the page with their types.
    #[must_use]
    pub fn types(&self) -> BTreeMap<String, String> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split_once(' ').unwrap()).map(|(n, t)| (n.to_owned(), t.to_owned())).collect()
    }

    /// The labels of each name, `le` aside, with their values.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
        let mut all: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let types = self.types();
        for series in self.series.keys() {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let ends = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let name = ends.filter(|name| types.contains_key(*name)).unwrap_or(name);
            let of_name = all.entry(name.to_owned()).or_default();
            for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap();
                if label != "le" {
                    of_name.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
                }
            }
        }
        all
    }
}
