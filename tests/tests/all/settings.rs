//! Settings, and how programs end.

use nix::sys::signal::Signal;
use tests::patience::within;
use tests::program::{Ended, Program, Setting, setting};
use tests::stack::Account;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What each program needs, and everything that it understands, with a value that it cannot have.
const GATEWAY: (&str, &[&str], &[(&str, &str)]) = (
    "gateway",
    &["WECHAT_APP_ID", "WECHAT_APP_SECRET", "REDIS_URL"],
    &[
        ("GATEWAY_LISTEN", "nowhere"),
        ("ADMIN_LISTEN", "9090"),
        ("REDIS_URL", "http://redis"),
        ("WECHAT_APP_ID", "an id"),
        ("WECHAT_API_BASE", "api.weixin.qq.com"),
        ("SCENE_TTL", "120"),
        ("SESSION_TTL", "soon"),
        ("SESSION_TTL", "1s"),
        ("ALLOWED_ORIGINS", "app.example"),
        ("MAX_CONNECTIONS", "many"),
        ("MAX_CONNECTIONS", "0"),
        ("QR_LIMIT_PER_CLIENT", "20"),
        ("QR_LIMIT_PER_NETWORK", "200/min,"),
        ("QR_LIMIT_TOTAL", "0/day"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("DRAIN_DELAY", "5"),
        ("DRAIN_TIME", "long"),
        ("GRACE_TIME", "10s"),
        ("REPLICATION_WAIT", "all"),
        ("WECHAT_APP_SECRET_FILE", "/nowhere"),
        ("REDEEM_SECRET", "geheim-mit-Ü"),
        ("REDEEM_SECRET", " a-secret-after-a-blank"),
        ("REDEEM_SECRET", "a-secret-before-a-blank "),
    ],
);
const CALLBACK: (&str, &[&str], &[(&str, &str)]) = (
    "callback",
    &["WECHAT_APP_ID", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "REDIS_URL"],
    &[
        ("CALLBACK_LISTEN", "nowhere"),
        ("ADMIN_LISTEN", "9091"),
        ("REDIS_URL", "redis//"),
        ("WECHAT_APP_ID", "an id"),
        ("WECHAT_ORIGINAL_ID", "an id"),
        ("WECHAT_TOKEN", "a"),
        ("WECHAT_TOKEN", "not-letters"),
        ("WECHAT_ENCODING_AES_KEY", "short"),
        ("WECHAT_MESSAGE_MODE", "secret"),
        ("CALLBACK_MAX_SKEW", "10"),
        ("REPLY_SUCCESS", "{WHO}"),
        ("WECHAT_TOKEN_FILE", "/nowhere"),
    ],
);
/// What gateway and callback understand besides: what they log, and where their traces go.
const TELEMETRY: &[(&str, &str)] = &[
    ("RUST_LOG", "=,="),
    ("LOG_FORMAT", "xml"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "elsewhere:4318"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:secret@collector"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ("OTEL_RESOURCE_ATTRIBUTES", "production"),
    ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "a-key-without-a-name"),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a name=with-a-blank"),
];
const SIMULATOR: (&str, &[&str], &[(&str, &str)]) = (
    "simulator",
    &["WECHAT_APP_ID", "WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY"],
    &[
        ("SIMULATOR_LISTEN", "nowhere"),
        ("ADMIN_LISTEN", "9092"),
        ("WECHAT_APP_ID", "an id"),
        ("WECHAT_TOKEN", "a"),
        ("WECHAT_ENCODING_AES_KEY", "short"),
        ("WECHAT_MESSAGE_MODE", "secret"),
        ("SIMULATOR_CALLBACK_URL", "callback"),
        ("SIMULATOR_PUBLIC_URL", "phone"),
        ("LOG_FORMAT", "xml"),
    ],
);

fn complete() -> Vec<Setting> {
    let mut settings = Account::random().settings("safe");
    settings.push(setting("REDIS_URL", "redis://127.0.0.1:1/"));
    for listen in ["GATEWAY", "CALLBACK", "SIMULATOR", "ADMIN", "STANDALONE"] {
        settings.push(setting(format!("{listen}_LISTEN"), "127.0.0.1:0"));
    }
    settings
}

fn is_refused_naming(name: &str, ended: &Ended) {
    assert_eq!(ended.code, Some(2), "{name}: {}", ended.printed);
    assert_eq!(ended.printed.lines().count(), 1, "{name}: {}", ended.printed);
    // A secret may have come from either of its variables.
    assert!(ended.printed.contains(name.trim_end_matches("_FILE")), "{name}: {}", ended.printed);
}

async fn missing_and_malformed_settings_are_named(
    (program, required, malformed): (&str, &[&str], &[(&str, &str)]),
    besides: &[(&str, &str)],
) {
    for missing in required {
        for empty in [false, true] {
            let mut settings = complete();
            settings.retain(|(name, _)| name != missing);
            if empty {
                settings.push(setting(*missing, ""));
            }
            is_refused_naming(missing, &Program::run(program, &settings).await);
        }
    }
    for (name, value) in malformed.iter().chain(besides) {
        let mut settings = complete();
        settings.retain(|(complete, _)| complete != name);
        if let Some(secret) = name.strip_suffix("_FILE") {
            settings.retain(|(complete, _)| complete != secret);
        }
        settings.push(setting(*name, *value));
        let ended = Program::run(program, &settings).await;
        is_refused_naming(name, &ended);
        let secret = ["WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "REDIS_URL", "REDEEM_SECRET"];
        let may_be_shown = !secret.contains(name) && !name.starts_with("OTEL_EXPORTER_OTLP_");
        assert!(may_be_shown || value.len() < 3 || !ended.printed.contains(value), "{}", ended.printed);
    }
}

#[tokio::test]
async fn the_gateway_names_a_setting_that_is_missing_or_malformed() {
    missing_and_malformed_settings_are_named(GATEWAY, TELEMETRY).await;
}

#[tokio::test]
async fn the_callback_names_a_setting_that_is_missing_or_malformed() {
    missing_and_malformed_settings_are_named(CALLBACK, TELEMETRY).await;
}

#[tokio::test]
async fn the_simulator_names_a_setting_that_is_missing_or_malformed() {
    missing_and_malformed_settings_are_named(SIMULATOR, &[]).await;
}

#[tokio::test]
async fn an_account_that_is_half_configured_is_refused_by_standalone() {
    for only in ["WECHAT_APP_ID", "WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY"] {
        let mut settings = complete();
        settings.retain(|(name, _)| name == only || name.ends_with("_LISTEN"));
        let ended = Program::run("standalone", &settings).await;
        assert_eq!(ended.code, Some(2), "{}", ended.printed);
        assert_eq!(ended.printed.lines().count(), 1, "{}", ended.printed);
        assert!(ended.printed.contains("WECHAT_"), "{}", ended.printed);
    }
}

#[tokio::test]
async fn a_key_in_plain_mode_is_refused() {
    for program in ["callback", "simulator"] {
        let mut settings = complete();
        settings.push(setting("WECHAT_MESSAGE_MODE", "plain"));
        is_refused_naming("WECHAT_ENCODING_AES_KEY", &Program::run(program, &settings).await);
    }
}

/// The library that sends traces reads the plain variables by itself, and would send the collector both.
#[tokio::test]
async fn headers_for_the_collector_that_are_said_twice_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("headers");
    std::fs::write(&path, "x-api-key=of-the-file").unwrap();
    for other in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        let mut settings = complete();
        settings.push(setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"));
        settings.push(setting("OTEL_EXPORTER_OTLP_TRACES_HEADERS_FILE", path.display().to_string()));
        settings.push(setting(other, "x-api-key=of-the-variable"));
        is_refused_naming(other, &Program::run("gateway", &settings).await);
    }
}

#[tokio::test]
async fn every_program_explains_itself() {
    for program in ["gateway", "callback", "simulator", "standalone"] {
        let help = Program::help(program).await;
        assert_eq!(help.code, Some(0));
        for name in ["ADMIN_LISTEN", "RUST_LOG", "LOG_FORMAT", "WECHAT_APP_ID"] {
            assert!(help.printed.contains(name), "{program}: {name}");
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_exit_code_1_and_a_line_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (program, listen) in [
        ("gateway", "GATEWAY_LISTEN"),
        ("callback", "CALLBACK_LISTEN"),
        ("simulator", "SIMULATOR_LISTEN"),
        ("gateway", "ADMIN_LISTEN"),
    ] {
        let mut settings = complete();
        settings.push(setting(listen, &address));
        let ended = Program::run(program, &settings).await;
        assert_eq!(ended.code, Some(1), "{}", ended.printed);
        assert!(ended.printed.contains(&address), "{}", ended.printed);
    }
}

#[tokio::test]
async fn secrets_can_come_from_files() {
    let directory = tempfile::tempdir().unwrap();
    for program in ["gateway", "callback", "simulator"] {
        let mut settings = complete();
        for (name, value) in &mut settings {
            let secrets = [
                "WECHAT_APP_SECRET",
                "WECHAT_TOKEN",
                "WECHAT_ENCODING_AES_KEY",
                "REDEEM_SECRET",
                "REDIS_URL",
            ];
            if secrets.contains(&name.as_str()) {
                let path = directory.path().join(&*name);
                std::fs::write(&path, format!("{value}\n")).unwrap();
                (*name, *value) = (format!("{name}_FILE"), path.display().to_string());
            }
        }
        let mut program = Program::start(program, settings).await;
        assert_eq!(program.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn sigterm_and_sigint_end_every_program_with_0() {
    for program in ["gateway", "callback", "simulator", "standalone"] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let mut program = Program::start(program, complete_for(program)).await;
            program.signal(signal);
            assert_eq!(program.exit_code().await, Some(0), "{}", program.printed());
        }
    }
}

fn complete_for(program: &str) -> Vec<Setting> {
    if program == "standalone" { Vec::new() } else { complete() }
}

#[tokio::test]
async fn a_second_signal_ends_a_gateway_at_once_with_1() {
    let settings = complete();
    let (_, secret) = settings.iter().find(|(name, _)| name == "REDEEM_SECRET").cloned().unwrap();
    let mut gateway = Program::start("gateway", settings).await;
    // The gateway begins to read a body that never comes to its end, and lets the request finish.
    let mut socket = TcpStream::connect(gateway.public()).await.unwrap();
    let request = format!(
        "POST /api/redeem HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {secret}\r\n\
         content-length: 100\r\nexpect: 100-continue\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within("the body to be asked for", socket.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    gateway.signal(Signal::SIGTERM);
    gateway.prints("told to end").await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.exit_code().await, Some(1), "{}", gateway.printed());
}

#[tokio::test]
async fn a_health_check_tells_whether_the_program_that_runs_is_ready() {
    for name in ["gateway", "callback", "simulator", "standalone"] {
        let mut program = Program::start(name, complete_for(name)).await;
        let admin = setting("ADMIN_LISTEN", program.admin_url().replace("http://", ""));
        let asked = Program::run_with(name, std::slice::from_ref(&admin), &["--healthcheck"]).await;
        // Nobody answers at these settings' Redis, without which only a gateway is not ready.
        if name == "gateway" {
            assert_eq!(asked.code, Some(1), "{}", asked.printed);
            assert!(asked.printed.starts_with("error: not ready: {"), "{}", asked.printed);
        } else {
            assert_eq!((asked.code, asked.printed.as_str()), (Some(0), ""), "{name}");
        }
        assert_eq!(program.terminate().await, Some(0));
        let asked = Program::run_with(name, &[admin], &["--healthcheck"]).await;
        assert_eq!(asked.code, Some(1), "{name}: {}", asked.printed);
        assert!(asked.printed.starts_with("error: nobody answers at 127.0.0.1:"), "{}", asked.printed);
    }
}

#[tokio::test]
async fn an_unreachable_redis_prevents_no_start() {
    for name in ["gateway", "callback"] {
        let mut program = Program::start(name, complete()).await;
        let live = tests::http::client().get(format!("{}/livez", program.admin_url())).send().await.unwrap();
        assert_eq!(live.status(), 200);
        let ready =
            tests::http::client().get(format!("{}/readyz", program.admin_url())).send().await.unwrap();
        assert_eq!(ready.status(), if name == "gateway" { 503 } else { 200 });
        let body: serde_json::Value = ready.json().await.unwrap();
        assert!(!body["wrong"].as_array().unwrap().is_empty(), "{body}");
        assert_eq!(program.terminate().await, Some(0));
    }
}
