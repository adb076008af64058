//! Who may reach whom, decided as a network plugin decides it: both ends must allow it.

use serde_json::Value;
use tests::kubernetes::{Built, Workload, list, text};

/// The far end of a connection.
#[derive(Clone, Copy)]
enum Peer<'a> {
    Pod(&'a Workload<'a>),
    Namespace(&'static str),
    Address(&'static str),
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let mut all = selector["matchLabels"].as_object().into_iter().flatten();
    all.all(|(name, value)| labels[name] == *value)
        && list(&selector["matchExpressions"]).iter().all(|expression| {
            assert_eq!(expression["operator"], "In");
            list(&expression["values"]).contains(&labels[text(&expression["key"])])
        })
}

fn is_meant(rule: &Value, peer: Peer<'_>) -> bool {
    // Nobody named is anybody.
    rule.is_null()
        || list(rule).iter().any(|meant| match peer {
            Peer::Pod(workload) => {
                meant["namespaceSelector"].is_null()
                    && meant["podSelector"].is_object()
                    && selects(&meant["podSelector"], workload.labels)
            }
            Peer::Namespace(name) => {
                meant["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == name
            }
            Peer::Address(block) => meant["ipBlock"]["cidr"] == block,
        })
}

/// Whether policies let `workload` and its peer talk on a port of `served`, in a direction.
fn allowed(
    built: &Built,
    workload: &Workload<'_>,
    direction: &str,
    peer: Peer<'_>,
    port: (&str, u64),
) -> bool {
    let policies = built.of_kind("NetworkPolicy").map(|policy| &policy["spec"]);
    let mut about: Vec<_> =
        policies.filter(|policy| selects(&policy["podSelector"], workload.labels)).collect();
    about.retain(|policy| list(&policy["policyTypes"]).contains(&direction.into()));
    assert!(!about.is_empty(), "{}: {} may do anything", built.name, workload.component);
    let (rules, end) = if direction == "Egress" { ("egress", "to") } else { ("ingress", "from") };
    about.iter().flat_map(|policy| list(&policy[rules])).any(|rule| {
        let ports = list(&rule["ports"]);
        assert!(!ports.is_empty(), "{}: all ports: {rule}", built.name);
        let fits = ports.iter().any(|allowed| allowed["port"] == port.0 || allowed["port"] == port.1);
        fits && is_meant(&rule[end], peer)
    })
}

#[test]
fn pods_reach_those_that_they_ask_and_nobody_else() {
    let expected = [
        ("callback", "redis", "redis"),
        ("gateway", "redis", "redis"),
        ("gateway", "simulator", "http"),
        ("simulator", "callback", "http"),
    ];
    let built = Built::overlay("development");
    let workloads = built.workloads();
    let mut found = Vec::new();
    for from in &workloads {
        for to in &workloads {
            for name in ["http", "admin", "redis"] {
                let Some(number) = to.port(name) else { continue };
                let out = allowed(&built, from, "Egress", Peer::Pod(to), (name, number));
                let into = allowed(&built, to, "Ingress", Peer::Pod(from), (name, number));
                assert_eq!(
                    out, into,
                    "{} to {}, {name}: one end alone allows it",
                    from.component, to.component
                );
                if out {
                    found.push((from.component, to.component, name));
                }
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn the_way_in_is_the_controllers_and_metrics_are_prometheuss() {
    for (component, controller) in [("ingress", "ingress-nginx"), ("gateway-api", "envoy-gateway-system")] {
        let built = Built::with_component(component);
        for workload in built.workloads() {
            let ports = ["http", "admin"].map(|name| (name, workload.port(name).unwrap()));
            for (namespace, lets_in) in
                [(controller, [true, false]), ("monitoring", [false, true]), ("default", [false, false])]
            {
                let found =
                    ports.map(|port| allowed(&built, &workload, "Ingress", Peer::Namespace(namespace), port));
                assert_eq!(found, lets_in, "{component}: {namespace} to {}", workload.component);
            }
        }
    }
}

#[test]
fn in_production_gateways_alone_reach_the_platform_and_both_reach_redis_and_names() {
    let built = Built::overlay("production");
    for (component, platform) in [("gateway", true), ("callback", false)] {
        let workload = built.workload(component);
        let reaches = |peer, port| allowed(&built, &workload, "Egress", peer, ("", port));
        for anywhere in ["0.0.0.0/0", "::/0"] {
            assert_eq!(reaches(Peer::Address(anywhere), 443), platform, "{component}");
            assert!(!reaches(Peer::Address(anywhere), 80), "{component}");
        }
        assert!(reaches(Peer::Address("10.1.2.3/32"), 6379), "{component}");
        assert!(reaches(Peer::Namespace("kube-system"), 53), "{component}");
        assert!(!reaches(Peer::Namespace("kube-system"), 443), "{component}");
    }
    // A gateway that is told a wrong address asks no neighbour, and no cloud's metadata.
    let egress = &built.object("NetworkPolicy", "scan-login-platform")["spec"]["egress"][0]["to"];
    let except: Vec<_> =
        list(egress).iter().flat_map(|to| list(&to["ipBlock"]["except"])).map(text).collect();
    for near in ["10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"] {
        assert!(except.contains(&near), "{near}");
    }
}

#[test]
fn what_no_policy_allows_is_denied_to_every_pod() {
    for built in Built::all() {
        let deny = &built.object("NetworkPolicy", "scan-login-deny")["spec"];
        assert_eq!(deny["policyTypes"], serde_json::json!(["Ingress", "Egress"]), "{}", built.name);
        assert!(deny["ingress"].is_null() && deny["egress"].is_null(), "{}", built.name);
        for workload in built.workloads() {
            assert!(selects(&deny["podSelector"], workload.labels), "{}: {}", built.name, workload.component);
        }
    }
}
