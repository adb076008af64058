//! The commands of `k8s/README.md` name what the manifests have.

use std::fs;

use serde_json::Value;
use tests::kubernetes::{Built, list, manifests, text};

/// The command lines, whole, and those within a sentence.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(manifests().join("README.md")).unwrap();
    let page = page.replace("\\\n", " ");
    let pieces = page.lines().flat_map(|line| line.split('`'));
    pieces.map(str::trim).filter(|piece| piece.starts_with("kubectl ")).map(str::to_owned).collect()
}

/// The word behind another one.
fn behind<'a>(command: &'a str, word: &str) -> Option<&'a str> {
    let mut words = command.split_whitespace();
    words.find(|other| *other == word)?;
    words.next()
}

/// The overlay whose namespace a command is about.
fn overlay_of(command: &str) -> Built {
    let namespace = behind(command, "-n").or_else(|| behind(command, "namespace")).unwrap();
    let overlay = if namespace.ends_with("-development") { "development" } else { "production" };
    let built = Built::overlay(overlay);
    for object in &built.objects {
        if object["kind"] == "Namespace" {
            assert_eq!(object["metadata"]["name"], namespace, "{command}");
        } else {
            assert_eq!(object["metadata"]["namespace"], namespace, "{command}");
        }
    }
    built
}

#[test]
fn every_command_names_what_there_is() {
    let (mut applied, mut forwarded, mut created) = (0, 0, 0);
    for command in commands() {
        if let Some(folder) = behind(&command, "-k") {
            assert!(manifests().join("..").join(folder).join("kustomization.yaml").exists(), "{command}");
            applied += 1;
            continue;
        }
        let built = overlay_of(&command);
        if let Some(service) = behind(&command, "port-forward") {
            let service = built.object("Service", service.strip_prefix("service/").unwrap());
            let (_, port) = command.split_whitespace().find_map(|word| word.split_once(':')).unwrap();
            let has = |other: &Value| other["port"].as_u64() == port.parse().ok();
            assert!(list(&service["spec"]["ports"]).iter().any(has), "{command}");
            forwarded += 1;
        } else if let Some(secret) = behind(&command, "generic") {
            let mut keys: Vec<&str> = Vec::new();
            for workload in built.workloads() {
                let volume = &workload.pod["volumes"][0]["secret"];
                assert_eq!(volume["secretName"], secret, "{command}");
                keys.extend(list(&volume["items"]).iter().map(|item| text(&item["key"])));
            }
            let mut given: Vec<&str> =
                command.split_whitespace().filter_map(|word| word.strip_prefix("--from-file=")).collect();
            given.sort_unstable();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(given, keys, "{command}");
            created += 1;
        }
    }
    assert_eq!((applied, forwarded, created), (2, 2, 1));
}

#[test]
fn the_rule_for_the_autoscaler_has_its_metric() {
    let page = fs::read_to_string(manifests().join("README.md")).unwrap();
    let built = Built::overlay("production");
    let scaler = built.object("HorizontalPodAutoscaler", "scan-login-gateway");
    let metric = &list(&scaler["spec"]["metrics"])[0]["pods"];
    let name = text(&metric["metric"]["name"]);
    assert!(include_str!("../../../../docs/metrics.md").contains(&format!("| `{name}` |")), "{name}");
    assert!(page.contains(&format!("name: {{ as: {name} }}")) && page.contains(&format!("'{name}{{")));
    let aim: usize = text(&metric["target"]["averageValue"]).parse().unwrap();
    assert!(page.contains(&format!("wants {},{:03} browsers on a pod", aim / 1000, aim % 1000)));
}
