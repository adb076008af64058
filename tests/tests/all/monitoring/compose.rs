//! The monitoring profile of `docker-compose.yml`, as its files say it: Grafana and Prometheus cannot be had as images
//! here, so that what one of them looks for where another one puts it is compared by hand.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::kubernetes::{documents, list, text};
use tests::prometheus::promtool;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &Path) -> Value {
    documents(&std::fs::read_to_string(file).unwrap())[0].take()
}

/// The file that a container has at this path.
fn mounted<'a>(service: &'a Value, target: &str) -> &'a str {
    let bind = list(&service["volumes"]).iter().find(|volume| volume["target"] == target);
    let bind = bind.unwrap_or_else(|| panic!("nothing at {target}"));
    assert_eq!((&bind["type"], &bind["read_only"]), (&json!("bind"), &json!(true)), "{target}");
    text(&bind["source"])
}

#[test]
fn grafana_shows_the_dashboard_from_the_prometheus_beside_it() {
    let compose = read(&sources().join("docker-compose.yml"));
    let services = &compose["services"];
    let (prometheus, grafana) = (&services["prometheus"], &services["grafana"]);
    for (service, name) in [(prometheus, "prom/prometheus:v"), (grafana, "grafana/grafana:")] {
        assert_eq!(service["profiles"], json!(["monitoring"]));
        let version = text(&service["image"]).strip_prefix(name).unwrap();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
        assert!(text(&service["ports"][0]).starts_with("127.0.0.1:"), "for this machine only");
        for volume in list(&service["volumes"]) {
            let Some(short) = volume.as_str() else {
                assert!(sources().join(text(&volume["source"])).is_file(), "{volume}");
                continue;
            };
            let (kept, _) = short.split_once(':').unwrap();
            assert!(compose["volumes"].as_object().unwrap().contains_key(kept), "{short}");
        }
    }

    let provisioning = "/etc/grafana/provisioning";
    let source = mounted(grafana, &format!("{provisioning}/datasources/scan-login.yml"));
    let source = &read(&sources().join(source))["datasources"][0];
    // The dashboard's variable begins with whichever is the default one.
    assert_eq!((&source["type"], &source["isDefault"]), (&json!("prometheus"), &json!(true)));
    let port = text(&prometheus["ports"][0]).rsplit_once(':').unwrap().1;
    assert_eq!(source["url"], format!("http://prometheus:{port}"));
    let variable = &super::dashboard()["templating"]["list"][0];
    assert_eq!((&variable["type"], &variable["query"]), (&json!("datasource"), &source["type"]));
    let provider = mounted(grafana, &format!("{provisioning}/dashboards/scan-login.yml"));
    let folder = read(&sources().join(provider))["providers"][0]["options"]["path"].take();
    let home = text(&grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]);
    assert_eq!(Path::new(home).parent(), Some(Path::new(text(&folder))));
    let shown = sources().join(mounted(grafana, home)).canonicalize().unwrap();
    assert_eq!(shown, super::file("dashboard.json").canonicalize().unwrap());
}

#[test]
fn prometheus_finds_the_rules_and_the_replicas() {
    let compose = read(&sources().join("docker-compose.yml"));
    let (services, prometheus) = (&compose["services"], &compose["services"]["prometheus"]);
    let command = text(&prometheus["command"]);
    let at = command.split_whitespace().find_map(|word| word.strip_prefix("--config.file=")).unwrap();
    let file = sources().join(mounted(prometheus, at));
    promtool(&["check", "config", "--syntax-only"], &file).unwrap_or_else(|said| panic!("{said}"));
    let config = read(&file);
    let rules = sources().join(mounted(prometheus, text(&config["rule_files"][0]))).canonicalize().unwrap();
    assert_eq!(rules, super::file("alerts.yml").canonicalize().unwrap());
    let scraped: Vec<_> = list(&config["scrape_configs"])
        .iter()
        .map(|job| {
            let found = &job["dns_sd_configs"][0];
            let name = text(&found["names"][0]);
            assert!(services[name].is_object() && services[name]["environment"]["ADMIN_LISTEN"].is_null());
            (name, found["port"].as_u64().unwrap())
        })
        .collect();
    // Where the programs' own default is (docs/settings.md).
    assert_eq!(scraped, [("gateway", 9090), ("callback", 9091)]);
}
