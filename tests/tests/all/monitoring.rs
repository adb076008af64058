//! What operators load into their monitoring: each rule and each panel asks for what the programs have.

mod alarms;
mod compose;
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::http;
use tests::program::setting;
use tests::prometheus::{Prometheus, promtool};
use tests::stack::{Plan, Stack, somebodys_openid};

use crate::bounds::{faults, sent};

/// What Grafana puts in the place of its own variable; longer than the test takes.
const RATE_INTERVAL: &str = "2m";
/// The rows of the dashboard.
const ROWS: [&str; 5] = ["Funnel", "Latency", "Platform", "Redis", "Resources"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/components/monitoring").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("dashboard.json")).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// The series that an expression asks for: each name of ours with the braces behind it.
fn selectors(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = expression;
    while let Some(start) = ["scanlogin_", "process_"].iter().filter_map(|prefix| rest.find(prefix)).min() {
        let from = &rest[start..];
        let name = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let braces = if from[name..].starts_with('{') { from[name..].find('}').unwrap() + 1 } else { 0 };
        found.insert(from[..name + braces].to_owned());
        rest = &from[name + braces..];
    }
    found
}

/// Logins, and what goes wrong in all ways that a panel shows only once it has happened.
async fn logins_and_failures(stack: &Stack) {
    for _ in 0..3 {
        let mut browser = stack.browser().await;
        let content = browser.qr_code().await.content;
        stack.scan(&content, &somebodys_openid()).await;
        stack.application().redeem(&browser.success().await.code).await;
    }
    sent(http::client().post(format!("{}/wechat/callback?signature=0", stack.callbacks[0].url()))).await;
    let error = json!({ "error": { "errcode": 40053, "calls": 2, "path": "/cgi-bin/qrcode/create" } });
    faults(stack, error).await;
    for _ in 0..2 {
        assert_eq!(stack.browser().await.error().await, "platform_unavailable");
    }
}

#[tokio::test]
async fn every_panel_and_every_rule_has_data_after_logins_and_failures() {
    // Their spans are counted, though nobody takes them.
    let settings = vec![setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let stack = Plan { settings, ..Plan::default() }.start().await;
    let jobs: [(&str, &[_]); 2] = [("gateway", &stack.gateways), ("callback", &stack.callbacks)];
    let prometheus = Prometheus::start(&jobs, &file("alerts.yml")).await;
    logins_and_failures(&stack).await;

    let dashboard = dashboard();
    let mut asked = 0;
    for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", RATE_INTERVAL);
            assert!(!expression.contains('$'), "no other variable is used: {expression}");
            prometheus.has_data(&panel["title"].to_string(), &expression).await;
            for selector in selectors(&expression) {
                prometheus.has_data(&panel["title"].to_string(), &format!("count({selector})")).await;
            }
            asked += 1;
        }
    }
    assert!(asked >= 40, "{asked}");

    let rules = prometheus.rules().await;
    assert!(rules.len() >= 15, "{rules:?}");
    for rule in &rules {
        let (name, expression) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        // It parses, and whether it has an answer is what it is for.
        prometheus.query(expression).await;
        let selectors = selectors(expression);
        assert!(!selectors.is_empty(), "{name}: {expression}");
        for selector in selectors {
            prometheus.has_data(name, &format!("count({selector})")).await;
        }
        assert_ne!(rule["health"], "err", "{name}: {}", rule["lastError"]);
        for told in ["summary", "action"] {
            assert!(rule["annotations"][told].is_string(), "{name} has no {told}");
        }
        assert!(
            ["critical", "warning"].iter().any(|severity| rule["labels"]["severity"] == *severity),
            "{name}"
        );
    }
    let alarms: Vec<_> = rules.iter().filter(|rule| rule["state"] == "firing").collect();
    assert!(alarms.is_empty(), "a system that works wakes nobody: {alarms:?}");

    // What the rules are tried on is what programs say; the standalone one does not run here.
    for series in rules::series().iter().filter(|series| !series.contains("standalone")) {
        prometheus.has_data("the rules' cases", &format!("count({series})")).await;
    }
}

#[test]
fn the_rules_are_good_and_the_operators_are_the_same() {
    promtool(&["check", "rules"], &file("alerts.yml")).unwrap_or_else(|said| panic!("{said}"));
    let (plain, resource) = (text("alerts.yml"), text("prometheus-rule.yaml"));
    let (_, groups) = plain.split_once("\ngroups:\n").unwrap();
    let (head, indented) = resource.split_once("\nspec:\n  groups:\n").unwrap();
    assert!(head.contains("\nkind: PrometheusRule\n"));
    let unindented: Vec<&str> =
        indented.lines().map(|line| line.strip_prefix("  ").unwrap_or_else(|| panic!("{line:?}"))).collect();
    assert_eq!(unindented, groups.lines().collect::<Vec<_>>());
}

#[test]
fn the_services_monitors_name_what_the_services_have() {
    let monitors = text("service-monitors.yaml");
    for component in ["gateway", "callback"] {
        let labels = format!(
            "matchLabels: {{ app.kubernetes.io/name: scan-login, app.kubernetes.io/component: {component} }}"
        );
        assert_eq!(monitors.matches(&labels).count(), 1, "{component}");
    }
    assert_eq!(monitors.matches("- port: admin\n      path: /metrics\n").count(), 2);
    let component = text("kustomization.yaml");
    for named in ["service-monitors.yaml", "prometheus-rule.yaml", "dashboard.json", "kind: Component"] {
        assert!(component.contains(named), "{named}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_can_show() {
    let dashboard = dashboard();
    for (field, is_right) in [
        ("uid", dashboard["uid"] == "scan-login"),
        ("title", dashboard["title"].is_string()),
        ("schemaVersion", dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36)),
        ("id", dashboard.get("id").is_none_or(Value::is_null)),
        ("time", dashboard["time"]["from"].is_string() && dashboard["time"]["to"].is_string()),
    ] {
        assert!(is_right, "{field}");
    }
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!((&variable["name"], &variable["type"]), (&json!("datasource"), &json!("datasource")));
    let rows: Vec<&str> = panels(&dashboard)
        .iter()
        .filter(|panel| panel["type"] == "row")
        .filter_map(|row| row["title"].as_str())
        .collect();
    assert_eq!(rows, ROWS);
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(title.is_string() && ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for cell in
            (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)))
        {
            assert!(places.insert(cell), "{title} covers another panel at {cell:?}");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["timeseries", "stat"].iter().any(|kind| panel["type"] == *kind), "{title}");
        assert!(
            panel["description"].is_string() && panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        let (targets, mut names) = (panel["targets"].as_array().unwrap(), BTreeSet::new());
        assert!(!targets.is_empty(), "{title}");
        for of in targets.iter().chain([panel]) {
            assert_eq!(of["datasource"], json!({ "type": "prometheus", "uid": "${datasource}" }), "{title}");
        }
        for target in targets {
            assert!(names.insert(target["refId"].as_str().unwrap()), "{title}");
            assert!(target["legendFormat"].is_string(), "{title}");
        }
    }
}

#[test]
fn every_metric_of_ours_is_on_the_dashboard_or_in_a_rule() {
    let page = include_str!("../../../docs/metrics.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `scanlogin_")?.split('`').next());
    let used = text("dashboard.json") + &text("alerts.yml");
    let unused: Vec<&str> = names.filter(|name| !used.contains(&format!("scanlogin_{name}"))).collect();
    assert!(unused.is_empty(), "{unused:?}");
}
