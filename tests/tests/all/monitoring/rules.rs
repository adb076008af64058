//! The alert rules on made-up series, by Debian's promtool: `tests/alerts` has the cases.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::kubernetes::{documents, list, text};
use tests::prometheus::promtool;

/// The files with the cases.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 1, "{files:?}");
    files
}

/// The cases of all files.
fn cases() -> Vec<Value> {
    let files = files().into_iter().map(|file| std::fs::read_to_string(file).unwrap());
    files.flat_map(|file| list(&documents(&file)[0]["tests"]).to_vec()).collect()
}

/// The series that the cases make up, without what only a scrape gives them.
pub(super) fn series() -> BTreeSet<String> {
    let cases = cases();
    let series = cases.iter().flat_map(|case| list(&case["input_series"]));
    series
        .map(|series| {
            let (name, labels) = text(&series["series"]).trim_end_matches('}').split_once('{').unwrap();
            let labels = labels
                .split(',')
                .filter(|label| ["instance=", "version="].iter().all(|foreign| !label.starts_with(foreign)));
            format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(","))
        })
        .collect()
}

/// What promtool understands by a duration.
fn seconds(text: &str) -> u32 {
    let mut seconds = 0;
    for part in text.split_inclusive(['m', 's']) {
        let number: u32 = part[..part.len() - 1].parse().unwrap();
        seconds += if part.ends_with('m') { 60 * number } else { number };
    }
    seconds
}

/// What a case says of one rule: when, and the alarms that ring then.
fn said<'a>(case: &'a Value, rule: &str) -> Vec<(u32, &'a [Value])> {
    let named = format!("alertname=\"{rule}\"");
    list(&case["promql_expr_test"])
        .iter()
        .filter(|asked| text(&asked["expr"]).contains(&named))
        .map(|asked| (seconds(text(&asked["eval_time"])), list(&asked["exp_samples"])))
        .collect()
}

#[test]
fn each_rule_rings_in_the_bad_case_and_not_in_the_good_one() {
    for file in files() {
        promtool(&["test", "rules"], &file).unwrap_or_else(|said| panic!("{}: {said}", file.display()));
    }
}

#[test]
fn each_rule_has_a_bad_case_and_a_good_one() {
    let (rules, cases) = (documents(&super::text("alerts.yml")), cases());
    let rules = list(&rules[0]["groups"][0]["rules"]);
    assert!(rules.len() >= 19, "{rules:?}");
    for rule in rules {
        let name = text(&rule["alert"]);
        let all: Vec<_> = cases.iter().map(|case| said(case, name)).filter(|case| !case.is_empty()).collect();
        let (bad, good): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|case| case.iter().any(|(_, alarms)| !alarms.is_empty()));
        assert!(
            !bad.is_empty() && !good.is_empty(),
            "{name} has {} bad cases, {} good",
            bad.len(),
            good.len()
        );
        for case in &bad {
            let (rings, alarms) = case.iter().find(|(_, alarms)| !alarms.is_empty()).unwrap();
            // Looked at every 15 s: it is silent the last time before.
            assert!(case.contains(&(rings - 15, &[][..])), "{name}: silent until {rings}");
            let waits = rule["for"].as_str().map_or(0, seconds);
            assert!(*rings >= waits, "{name}");
            let labels = text(&alarms[0]["labels"]);
            assert!(labels.contains("alertstate=\"firing\""), "{name}: {labels}");
            for told in ["summary", "action"] {
                for word in text(&rule["annotations"][told]).split("{{ $labels.").skip(1) {
                    let label = word.split(' ').next().unwrap();
                    assert!(labels.contains(&format!("{label}=\"")), "{name}: no {label} in {labels}");
                }
            }
        }
    }
}
