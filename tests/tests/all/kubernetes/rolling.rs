//! How pods come and go: no request is lost, no browser is in the way, and there is room.

use serde_json::Value;
use tests::kubernetes::{Built, Workload, list, text};

const REPLICAS: [&str; 2] = ["gateway", "callback"];

fn seconds(workload: &Workload<'_>, built: &Built, name: &str) -> u64 {
    let settings = workload.settings(built);
    let (_, value) = settings.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
    value.strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn a_pod_that_leaves_has_time_for_its_drain() {
    for built in ["development", "production"].map(Built::overlay) {
        for workload in REPLICAS.map(|component| built.workload(component)) {
            let of = format!("{}: {}", built.name, workload.component);
            let [delay, drain, grace] =
                ["DRAIN_DELAY", "DRAIN_TIME", "GRACE_TIME"].map(|name| seconds(&workload, &built, name));
            // A preStop comes before the signal, from which the others count.
            let before = &workload.container["lifecycle"]["preStop"];
            assert!(before.is_null() || before["sleep"].is_object(), "{of}: the image has no shell");
            let before = before["sleep"]["seconds"].as_u64().unwrap_or(0);
            let until_killed = workload.pod["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(before + delay >= 5, "{of}: proxies learn later than that");
            assert!(delay + drain < grace, "{of}: {delay} + {drain} < {grace}");
            assert!(before + grace < until_killed, "{of}: {before} + {grace} < {until_killed}");
        }
    }
}

#[test]
fn nobody_leaves_before_somebody_else_has_come() {
    for built in ["development", "production"].map(Built::overlay) {
        for component in REPLICAS {
            let workload = built.workload(component);
            let rolling = &workload.spec["strategy"]["rollingUpdate"];
            assert_eq!(
                (&rolling["maxUnavailable"], &rolling["maxSurge"]),
                (&0.into(), &1.into()),
                "{component}"
            );
            assert!(workload.spec["minReadySeconds"].as_u64().unwrap() >= 5, "{component}");
            let spread = list(&workload.pod["topologySpreadConstraints"]).iter();
            let over: Vec<_> = spread
                .map(|constraint| {
                    assert_eq!(constraint["labelSelector"]["matchLabels"], *workload.labels, "{component}");
                    text(&constraint["topologyKey"])
                })
                .collect();
            assert_eq!(over, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"], "{component}");
            let budget = &built.object("PodDisruptionBudget", &format!("scan-login-{component}"))["spec"];
            assert_eq!(budget["selector"]["matchLabels"], *workload.labels, "{component}");
            assert_eq!(budget["maxUnavailable"], 1, "{component}");
        }
    }
}

#[test]
fn the_autoscaler_alone_decides_how_many_there_are_in_production() {
    let built = Built::overlay("production");
    for component in REPLICAS {
        let name = format!("scan-login-{component}");
        let scaling = &built.object("HorizontalPodAutoscaler", &name)["spec"];
        assert_eq!(
            (text(&scaling["scaleTargetRef"]["kind"]), text(&scaling["scaleTargetRef"]["name"])),
            ("Deployment", name.as_str())
        );
        assert!(scaling["minReplicas"].as_u64().unwrap() >= 2, "{component}");
        let workload = built.workload(component);
        assert!(workload.spec["replicas"].is_null(), "{component}: every apply would undo what was scaled");
        assert!(workload.container["resources"]["requests"]["cpu"].is_string(), "{component}: 80 % of what?");
        assert_eq!(metrics(scaling).last(), Some(&"cpu"), "{component}");
    }
    let scaling = &built.object("HorizontalPodAutoscaler", "scan-login-gateway")["spec"];
    assert_eq!(metrics(scaling), ["scanlogin_gateway_connections", "cpu"]);

    // Development needs no metrics.
    let built = Built::overlay("development");
    assert_eq!(built.of_kind("HorizontalPodAutoscaler").count(), 0);
    assert_eq!(REPLICAS.map(|component| built.workload(component).spec["replicas"].as_u64()), [Some(2); 2]);
}

fn metrics(scaling: &Value) -> Vec<&str> {
    let names = list(&scaling["metrics"]).iter().map(|metric| match text(&metric["type"]) {
        "Pods" => text(&metric["pods"]["metric"]["name"]),
        _ => text(&metric["resource"]["name"]),
    });
    names.collect()
}

#[test]
fn memory_suffices_for_the_browsers_that_are_let_in() {
    // Measured: 22 MB, and 6 KB for each browser that waits, the kernel's part included; a quarter more for busy ones.
    let needed = |browsers: u64| 22_000_000 + browsers * 7_500;
    for built in ["development", "production"].map(Built::overlay) {
        let gateway = built.workload("gateway");
        let settings = gateway.settings(&built);
        let (_, most) = settings.iter().find(|(name, _)| name == "MAX_CONNECTIONS").unwrap();
        let most: u64 = most.parse().unwrap();
        let resources = &gateway.container["resources"];
        assert!(needed(most) < mebibytes(&resources["limits"]["memory"]), "{}", built.name);
        for scaling in built.of_kind("HorizontalPodAutoscaler") {
            for metric in list(&scaling["spec"]["metrics"]).iter().filter(|metric| metric["type"] == "Pods") {
                let wanted: u64 = text(&metric["pods"]["target"]["averageValue"]).parse().unwrap();
                assert!(needed(wanted) < mebibytes(&resources["requests"]["memory"]), "{wanted}");
                // Another pod's browsers come over before the autoscaler has an answer.
                assert!(wanted * 2 <= most, "{wanted}");
            }
        }
    }
}

fn mebibytes(quantity: &Value) -> u64 {
    text(quantity).strip_suffix("Mi").unwrap().parse::<u64>().unwrap() * 1024 * 1024
}
