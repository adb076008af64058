//! What the manifests tell the programs, beside what the programs say of themselves.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::kubernetes::{Built, Workload, list, text};
use tests::program::{Program, Setting, setting};
use tests::stack::Account;

const SECRETS: &str = "/run/secrets/scan-login/";

/// The workloads that run a program of ours.
fn ours(built: &Built) -> Vec<Workload<'_>> {
    let mut workloads = built.workloads();
    workloads.retain(|workload| workload.component != "redis");
    workloads
}

fn program_of(workload: &Workload<'_>) -> &'static str {
    let programs = ["gateway", "callback", "simulator"];
    programs.into_iter().find(|program| *program == workload.component).unwrap()
}

fn overlays() -> [Built; 2] {
    ["development", "production"].map(Built::overlay)
}

#[tokio::test]
async fn every_setting_is_one_that_the_program_explains() {
    for built in overlays() {
        for workload in ours(&built) {
            let help = Program::help(workload.component).await.printed;
            let (flags, secrets) = help.split_once("\nSecrets").unwrap();
            let is_secret =
                |name: &str| secrets.lines().any(|line| line.split_whitespace().next() == Some(name));
            for (name, value) in workload.settings(&built) {
                let of = format!("{}: {}: {name}", built.name, workload.component);
                if let Some(secret) = name.strip_suffix("_FILE") {
                    assert!(is_secret(secret), "{of} is no secret of this program");
                    assert_eq!(value, format!("{SECRETS}{secret}"), "{of}");
                } else {
                    assert!(flags.contains(&format!("[env: {name}]")), "{of} is no setting of this program");
                }
            }
        }
    }
}

#[tokio::test]
async fn ports_are_where_the_program_listens() {
    for built in overlays() {
        for workload in ours(&built) {
            let help = Program::help(workload.component).await.printed;
            let settings = workload.settings(&built);
            let public = format!("{}_LISTEN", workload.component.to_uppercase());
            for (port, variable) in [("http", public.as_str()), ("admin", "ADMIN_LISTEN")] {
                let set = settings.iter().find(|(name, _)| name == variable).map(|(_, value)| value.clone());
                let address = set.unwrap_or_else(|| default_of(variable, &help));
                assert_eq!(
                    address,
                    format!("0.0.0.0:{}", workload.port(port).unwrap()),
                    "{}: {}: {port}",
                    built.name,
                    workload.component
                );
            }
        }
    }
}

fn default_of(variable: &str, help: &str) -> String {
    let (_, after) = help.split_once(&format!("[env: {variable}]")).unwrap();
    let (_, after) = after.split_once("[default: ").unwrap();
    after.split_once(']').unwrap().0.to_owned()
}

#[tokio::test]
async fn the_programs_start_with_these_settings_and_answer_the_probes() {
    for built in overlays() {
        for workload in ours(&built) {
            let path = format!("/usr/local/bin/{}", workload.component);
            assert_eq!(workload.container["command"], serde_json::json!([path]), "{}", built.name);
            let directory = tempfile::tempdir().unwrap();
            let mut settings = given(&workload, &built, directory.path());
            if built.name.ends_with("production") {
                // It is the operator's to set, and nothing runs without.
                let ended = Program::run(workload.component, &settings).await;
                assert_eq!(ended.code, Some(2), "{}", ended.printed);
                assert!(ended.printed.contains("WECHAT_APP_ID"), "{}", ended.printed);
                settings.push(setting("WECHAT_APP_ID", "wx0123456789abcdef"));
            }
            let mut program = Program::start(program_of(&workload), settings).await;
            for (probe, path) in
                [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
            {
                let asked = &workload.container[probe]["httpGet"];
                assert_eq!((text(&asked["path"]), text(&asked["port"])), (path, "admin"), "{}", built.name);
                let url = format!("{}{}", program.admin_url(), path);
                let status = tests::http::client().get(url).send().await.unwrap().status();
                // Nothing but a gateway's readiness depends on the Redis that is not here.
                let waits = workload.component == "gateway" && probe == "readinessProbe";
                assert_eq!(status, if waits { 503 } else { 200 }, "{}: {probe}", workload.component);
            }
            program.signal(nix::sys::signal::Signal::SIGTERM);
            program.kill();
        }
    }
}

#[tokio::test]
async fn a_secret_that_the_operator_left_empty_is_named_at_the_start() {
    let production = Built::overlay("production");
    for workload in ours(&production) {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = given(&workload, &production, directory.path());
        settings.push(setting("WECHAT_APP_ID", "wx0123456789abcdef"));
        let files = settings.iter().filter_map(|(name, path)| Some((name.strip_suffix("_FILE")?, path)));
        let mut named = Vec::new();
        for (secret, path) in files {
            let whole = fs::read(path).unwrap();
            fs::write(path, "").unwrap();
            if secret == "REDEEM_SECRET" {
                // Whose application redeems nothing needs none.
                let program = Program::start(program_of(&workload), settings.clone()).await;
                program.prints("REDEEM_SECRET").await;
            } else {
                let ended = Program::run(workload.component, &settings).await;
                assert_eq!(ended.code, Some(2), "{secret}: {}", ended.printed);
                assert!(ended.printed.contains(secret), "{secret}: {}", ended.printed);
            }
            fs::write(path, whole).unwrap();
            named.push(secret);
        }
        let expected: &[_] = match workload.component {
            "gateway" => &["REDEEM_SECRET", "REDIS_URL", "WECHAT_APP_SECRET"],
            _ => &["REDIS_URL", "WECHAT_ENCODING_AES_KEY", "WECHAT_TOKEN"],
        };
        named.sort_unstable();
        assert_eq!(named, expected, "{}", workload.component);
    }
}

/// The settings as the container will have them, with the secrets' files in `directory`: the overlay's own, or, where
/// the operator brings them, anybody's.
fn given(workload: &Workload<'_>, built: &Built, directory: &Path) -> Vec<Setting> {
    let account = Account::random().settings("safe");
    let mut settings = workload.settings(built);
    let volume = &workload.pod["volumes"][0]["secret"];
    assert_eq!(text(&workload.container["volumeMounts"][0]["mountPath"]), SECRETS.trim_end_matches('/'));
    let own = built.of_kind("Secret").find(|secret| secret["metadata"]["name"] == volume["secretName"]);
    for item in list(&volume["items"]) {
        let (key, path) = (text(&item["key"]), text(&item["path"]));
        assert_eq!(key, path, "{}", built.name);
        let value = own.map_or_else(
            || account.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone().into_bytes()),
            |secret| Some(STANDARD.decode(text(&secret["data"][key])).unwrap()),
        );
        fs::write(directory.join(path), value.unwrap_or_else(|| b"redis://redis.example".to_vec())).unwrap();
    }
    for (_, value) in settings.iter_mut().filter(|(name, _)| name.ends_with("_FILE")) {
        *value = directory.join(value.strip_prefix(SECRETS).unwrap()).display().to_string();
    }
    settings
}

#[test]
fn a_pod_gets_the_secrets_that_it_needs_and_development_has_them_all() {
    let development = Built::overlay("development");
    for workload in ours(&development) {
        let volume = &workload.pod["volumes"][0]["secret"];
        let has = &development.object("Secret", text(&volume["secretName"]))["data"];
        let given: Vec<_> = list(&volume["items"]).iter().map(|item| text(&item["key"])).collect();
        assert!(given.iter().all(|key| has[key].is_string()), "{}: {given:?}", workload.component);
        let of: &[&str] = match workload.component {
            "gateway" => &["REDIS_URL", "WECHAT_APP_SECRET", "REDEEM_SECRET"],
            "callback" => &["REDIS_URL", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY"],
            _ => &["WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY"],
        };
        assert_eq!(given, of, "{}", workload.component);
    }
}

#[test]
fn the_guide_names_every_secret_that_production_expects() {
    let production = Built::overlay("production");
    let guide = fs::read_to_string(tests::kubernetes::manifests().join("README.md")).unwrap();
    assert_eq!(production.of_kind("Secret").count(), 0, "no secret belongs into these files");
    for workload in ours(&production) {
        let volume = &workload.pod["volumes"][0]["secret"];
        assert_eq!(volume["secretName"], "scan-login");
        for item in list(&volume["items"]) {
            assert!(guide.contains(text(&item["key"])), "{item}");
        }
    }
}
