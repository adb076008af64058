//! The manifests in `k8s/`: what would be applied is valid, safe, and says what the programs themselves say.

mod network;
mod readme;
mod rolling;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::kubernetes::{Built, against_policies, against_schema, documents, list, manifests, text};

/// The versions that Kubernetes itself still mends.
const VERSIONS: [&str; 3] = ["1.35", "1.36", "1.37"];

/// These come with their operators, and no list of schemas has them: tests of their own look at them.
const CUSTOM: [&str; 4] = ["HTTPRoute", "ServiceMonitor", "PodMonitor", "PrometheusRule"];

fn is_custom(object: &Value) -> bool {
    CUSTOM.iter().any(|kind| object["kind"] == *kind)
}

#[test]
fn what_is_applied_fits_the_schemas_of_the_last_three_versions_of_kubernetes() {
    for built in Built::all() {
        let objects: Vec<_> = built.objects.iter().filter(|object| !is_custom(object)).collect();
        assert!(objects.len() > 10, "{}", built.name);
        for version in VERSIONS {
            let complaint = against_schema(version, &objects);
            assert_eq!(complaint, None, "{}, {version}: {}", built.name, complaint.as_deref().unwrap_or(""));
        }
    }
}

#[test]
fn every_file_fits_the_schemas_and_is_part_of_something_that_is_applied() {
    let all = Built::all();
    let known = |object: &Value| {
        let mut everything = all.iter().flat_map(|built| &built.objects);
        everything.any(|other| {
            ["/kind", "/metadata/name"].iter().all(|field| object.pointer(field) == other.pointer(field))
        })
    };
    let files = yaml_files(&manifests());
    assert!(files.len() > 10, "{files:?}");
    let mut standard = Vec::new();
    for path in files {
        // A plain file of Prometheus has no kind.
        let objects = documents(&fs::read_to_string(&path).unwrap());
        for object in objects.into_iter().filter(|object| object["kind"].is_string()) {
            assert!(known(&object), "{}: nothing applies {}", path.display(), object["metadata"]["name"]);
            if !is_custom(&object) {
                standard.push(object);
            }
        }
    }
    for version in VERSIONS {
        let complaint = against_schema(version, &standard.iter().collect::<Vec<_>>());
        assert_eq!(complaint, None, "{version}: {}", complaint.as_deref().unwrap_or(""));
    }
}

fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            && !path.ends_with("kustomization.yaml")
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_policy_is_broken_but_those_that_are_argued_about() {
    let complaint = against_policies(&Built::all());
    assert_eq!(complaint, None, "{}", complaint.as_deref().unwrap_or(""));
}

#[test]
fn services_lead_to_the_ports_of_one_deployment_each() {
    for built in Built::all() {
        for service in built.of_kind("Service") {
            let selects = |labels: &Value| {
                let mut wanted = service["spec"]["selector"].as_object().unwrap().iter();
                wanted.all(|(name, value)| labels[name] == *value)
            };
            let workloads = built.workloads();
            let selected: Vec<_> = workloads.iter().filter(|workload| selects(workload.labels)).collect();
            assert_eq!(selected.len(), 1, "{}: {}", built.name, service["metadata"]["name"]);
            for port in list(&service["spec"]["ports"]) {
                assert_eq!(port["name"], port["targetPort"], "{port}");
                assert!(selected[0].port(text(&port["targetPort"])).is_some(), "{}: {port}", built.name);
            }
        }
        for workload in built.workloads() {
            assert_eq!(workload.spec["selector"]["matchLabels"], *workload.labels, "{}", built.name);
        }
    }
}

#[test]
fn both_ways_in_send_the_platform_to_the_callbacks_and_everybody_else_to_the_gateways() {
    let built = Built::with_component("ingress");
    let ingress = built.object("Ingress", "scan-login");
    let paths = list(&ingress["spec"]["rules"][0]["http"]["paths"]);
    let ways: Vec<_> = paths
        .iter()
        .map(|path| {
            let service = &path["backend"]["service"];
            assert!(has_port(&built, service, |port| port["name"] == service["port"]["name"]), "{path}");
            (text(&path["pathType"]), text(&path["path"]), text(&service["name"]))
        })
        .collect();
    assert_eq!(
        ways,
        [("Exact", "/wechat/callback", "scan-login-callback"), ("Prefix", "/", "scan-login-gateway")]
    );

    let built = Built::with_component("gateway-api");
    let route = built.object("HTTPRoute", "scan-login");
    assert_eq!(route["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(keys(&route["spec"]), ["hostnames", "parentRefs", "rules"]);
    let ways: Vec<_> = list(&route["spec"]["rules"])
        .iter()
        .map(|rule| {
            assert_eq!(keys(rule), ["backendRefs", "matches", "timeouts"]);
            assert_eq!((list(&rule["matches"]).len(), list(&rule["backendRefs"]).len()), (1, 1), "{rule}");
            let (path, backend) = (&rule["matches"][0]["path"], &rule["backendRefs"][0]);
            assert!(has_port(&built, backend, |port| port["port"] == backend["port"]), "{rule}");
            let limit = text(&rule["timeouts"]["request"]);
            (text(&path["type"]), text(&path["value"]), text(&backend["name"]), limit)
        })
        .collect();
    assert_eq!(
        ways,
        [
            ("Exact", "/wechat/callback", "scan-login-callback", "10s"),
            ("Exact", "/ws", "scan-login-gateway", "0s"),
            ("PathPrefix", "/", "scan-login-gateway", "30s"),
        ]
    );
}

#[test]
fn prometheus_operator_finds_the_admin_port_of_gateways_and_callbacks() {
    let built = Built::with_component("monitoring");
    let found: Vec<_> = built
        .of_kind("ServiceMonitor")
        .map(|monitor| {
            let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
            let is_wanted = |service: &&Value| {
                wanted.iter().all(|(name, value)| service["metadata"]["labels"][name] == *value)
            };
            let services: Vec<_> = built.of_kind("Service").filter(is_wanted).collect();
            assert_eq!(services.len(), 1, "{monitor}");
            let [endpoint] = list(&monitor["spec"]["endpoints"]) else { panic!("{monitor}") };
            assert!(
                list(&services[0]["spec"]["ports"]).iter().any(|port| port["name"] == endpoint["port"]),
                "{monitor}"
            );
            (text(&services[0]["metadata"]["name"]), text(&endpoint["port"]), text(&endpoint["path"]))
        })
        .collect();
    assert_eq!(
        found,
        [("scan-login-callback", "admin", "/metrics"), ("scan-login-gateway", "admin", "/metrics")]
    );
}

fn has_port(built: &Built, service: &Value, is_it: impl Fn(&Value) -> bool) -> bool {
    let service = built.object("Service", text(&service["name"]));
    list(&service["spec"]["ports"]).iter().any(|port| is_it(port) && port["name"] == "http")
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_proxy_bears_two_missed_pings() {
    let built = Built::with_component("ingress");
    let annotations = &built.object("Ingress", "scan-login")["metadata"]["annotations"];
    for controller in ["nginx.ingress.kubernetes.io", "nginx.org"] {
        for limit in ["proxy-read-timeout", "proxy-send-timeout"] {
            let seconds = text(&annotations[format!("{controller}/{limit}")]).trim_end_matches('s');
            // docs/browser-protocol.md: a ping every 25 s, and gone after two misses.
            assert!(seconds.parse::<u64>().unwrap() > 2 * 25, "{controller}: {limit}");
        }
    }
}
