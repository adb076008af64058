//! What the doctor is told, and what it does without.

use tests::doctor::{Doctor, Report};
use tests::program::{Program, setting};
use tests::redis::RedisServer;
use tests::stack::Account;

/// A place where nobody answers, so that nothing is asked of the real platform.
const NOWHERE: &str = "http://127.0.0.1:1";

/// All that standalone needs.
fn complete() -> Doctor {
    Doctor::of_account(&Account::random(), NOWHERE).given("STANDALONE", "true")
}

fn failed_settings(report: &Report) -> Vec<String> {
    report.findings("FAIL", "settings")
}

#[tokio::test]
async fn every_missing_setting_is_listed_with_the_programs_that_need_it() {
    let report =
        Doctor::without_settings().given("WECHAT_API_BASE", NOWHERE).given("RUST_LOG", "").looks().await;
    // Only the gateway's are here.
    report.is_readable().fails("settings", &["gateway: WECHAT_APP_ID is missing"]);
    report.fails("settings", &["gateway: WECHAT_APP_SECRET is missing"]).says(
        "skip",
        "settings",
        &["callback"],
    );
    report.fails("settings", &["gateway: REDIS_URL is missing"]);
    assert_eq!(failed_settings(&report).len(), 3, "{}", report.printed);

    let nothing = Doctor::without_settings();
    for doctor in [
        nothing.given("WECHAT_API_BASE", NOWHERE).given("CALLBACK_MAX_SKEW", "10m"),
        // Nothing tells whose settings these are not. The real platform is asked for its time, by way of nowhere.
        nothing.given("HTTPS_PROXY", NOWHERE),
    ] {
        let report = doctor.looks().await;
        for missing in [
            "gateway, callback: WECHAT_APP_ID is missing",
            "gateway: WECHAT_APP_SECRET is missing",
            "callback: WECHAT_TOKEN is missing",
            "callback: WECHAT_ENCODING_AES_KEY is missing",
            "gateway, callback: REDIS_URL is missing",
        ] {
            report.fails("settings", &[missing]);
        }
        assert_eq!(failed_settings(&report).len(), 5, "{}", report.printed);
        for check in ["token", "ip list", "qr right"] {
            report.says("skip", check, &["needs WECHAT_APP_"]);
        }
        for check in ["callback", "aes/mode", "page"] {
            report.says("skip", check, &["PUBLIC_URL is not set"]);
        }
    }
}

#[tokio::test]
async fn every_malformed_setting_is_listed_and_not_repeated() {
    let malformed = [
        ("GATEWAY_LISTEN", "nowhere"),
        ("CALLBACK_LISTEN", "nowhere"),
        ("ADMIN_LISTEN", "9090"),
        ("REDIS_URL", "http://redis.example/"),
        ("WECHAT_APP_ID", "an id"),
        ("WECHAT_APP_SECRET", "a secret of mine"),
        ("WECHAT_ORIGINAL_ID", "an id"),
        ("WECHAT_API_BASE", "api.weixin.qq.com"),
        ("WECHAT_TOKEN", "not-letters"),
        ("WECHAT_ENCODING_AES_KEY", "muchtooshort"),
        ("SCENE_TTL", "120"),
        ("SESSION_TTL", "soon"),
        ("ALLOWED_ORIGINS", "app.example"),
        ("MAX_CONNECTIONS", "0"),
        ("QR_LIMIT_TOTAL", "many"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("DRAIN_DELAY", "5"),
        ("REPLICATION_WAIT", "all"),
        ("CALLBACK_MAX_SKEW", "10"),
        ("REPLY_SUCCESS", "{WHO}"),
        ("REDEEM_SECRET", "with blanks in it"),
        ("LOG_FORMAT", "xml"),
        ("PUBLIC_URL", "login.example.com"),
        ("CALLBACK_URL", "ftp://login.example.com"),
        ("STANDALONE", "perhaps"),
    ];
    let doctor = malformed.iter().fold(complete(), |doctor, (name, value)| doctor.given(name, value));
    let report = doctor.looks().await;
    report.is_readable();
    let failed = failed_settings(&report);
    assert_eq!(failed.len(), malformed.len(), "{}", report.printed);
    for (name, _) in malformed {
        assert!(failed.iter().any(|line| line.contains(&format!(" {name} "))), "{name}: {}", report.printed);
    }
    assert!(
        report.printed.lines().last().unwrap().starts_with("25 failed, 0 warnings, 0 ok"),
        "{}",
        report.printed
    );
    // What is malformed is not replaced by its default: nobody asks the real platform then.
    report.says("skip", "clock", &["needs WECHAT_API_BASE"]).says("skip", "redis", &["needs REDIS_URL"]);
    complete().given("WECHAT_MESSAGE_MODE", "secret").looks().await.says("skip", "aes/mode", &[]);
}

#[tokio::test]
async fn without_redis_only_standalone_is_complete() {
    let account = Account::random();
    let simulator = Program::start("simulator", account.settings("safe")).await;
    let doctor = Doctor::of_account(&account, &simulator.url());
    let report = doctor.looks().await;
    report.is_readable().fails_only("settings", &["gateway, callback: REDIS_URL is missing", "--standalone"]);
    report.says("skip", "redis", &["needs REDIS_URL"]).says("ok", "token", &[]);
    assert!(!report.printed.contains("complete"), "{}", report.printed);

    let report = doctor.given("STANDALONE", "true").looks().await;
    report.is_well().says("skip", "redis", &["memory of standalone"]);
    report.says("ok", "settings", &["gateway: complete"]).says("ok", "settings", &["callback: complete"]);
    doctor.given("STANDALONE", "false").looks().await.fails_only("settings", &["REDIS_URL is missing"]);
    // Where it has one, standalone's Redis is looked at like any other.
    let report = doctor.given("STANDALONE", "true").given("REDIS_URL", "redis://127.0.0.1:1").looks().await;
    report.fails_only("redis", &["refused"]);
    // Standalone is both programs: neither's settings may be elsewhere.
    let half = doctor.given("STANDALONE", "true").not_given("WECHAT_APP_SECRET").not_given("REDEEM_SECRET");
    half.not_given("WECHAT_API_BASE").looks().await.fails_only("settings", &["gateway: WECHAT_APP_SECRET"]);

    let settings: Vec<_> =
        account.settings("safe").into_iter().chain([setting("WECHAT_API_BASE", simulator.url())]).collect();
    let ended = Program::run_with("doctor", &settings, &["--standalone"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.printed);
}

#[tokio::test]
async fn a_url_with_a_password_is_refused_and_not_shown() {
    for user in ["me", "me:correct-horse", ":correct-horse"] {
        let public = format!("https://{user}@login.example.com");
        let callback = format!("{public}/wechat/callback");
        for (flag, variable, url) in
            [("--public-url", "PUBLIC_URL", public), ("--callback-url", "CALLBACK_URL", callback)]
        {
            let report = complete().given(variable, &url).looks().await;
            report.fails("settings", &[variable, "a user or a password", "before the @"]);
            assert!(!report.printed.contains("correct-horse"), "{}", report.printed);

            let ended = Program::run_with("doctor", &[], &[flag, &url]).await;
            assert_eq!(ended.code, Some(2), "{}", ended.printed);
            assert!(ended.printed.contains("a user or a password"), "{}", ended.printed);
            assert!(!ended.printed.contains("correct-horse"), "{}", ended.printed);
        }
    }
}

#[tokio::test]
async fn what_does_not_go_together_is_found() {
    let report = complete().given("SESSION_TTL", "1s").looks().await;
    report.fails("settings", &["gateway: SESSION_TTL", "not below SCENE_TTL"]);
    let report = complete().given("GRACE_TIME", "1s").looks().await;
    report.fails("settings", &["gateway, callback: GRACE_TIME", "DRAIN_TIME together"]);
    let report = complete().given("WECHAT_MESSAGE_MODE", "plain").looks().await;
    report.fails("settings", &["callback: WECHAT_ENCODING_AES_KEY must not be set"]);
    let long = "长".repeat(700);
    let doctor =
        complete().given("REPLY_USED", &long).given("REPLY_RETRY", &long).given("REDIS_URL", "redis://h");
    let report = doctor.not_given("REDIS_URL").looks().await;
    report.fails("settings", &["REPLY_USED"]).fails("settings", &["REPLY_RETRY"]);
    let report = complete().given("WECHAT_TOKEN_FILE", "/nowhere").looks().await;
    report.fails("settings", &["WECHAT_TOKEN_FILE must not be set"]).says("skip", "aes/mode", &[]);
}

#[tokio::test]
async fn a_secret_for_redeeming_that_is_missing_or_short_is_a_warning() {
    let report = complete().not_given("REDEEM_SECRET").looks().await;
    report.says("warn", "settings", &["REDEEM_SECRET is not set", "openssl rand"]);
    let report = complete().given("REDEEM_SECRET", "twenty-one-characters").looks().await;
    report.says("warn", "settings", &["shorter than 22"]);
    let report = complete().given("REDEEM_SECRET", "twenty-two-characters!").looks().await;
    assert!(report.findings("warn", "settings").is_empty(), "{}", report.printed);
}

#[tokio::test]
async fn one_programs_settings_alone_are_of_use() {
    let account = Account::random();
    let simulator = Program::start("simulator", account.settings("safe")).await;
    let redis = RedisServer::start().await;
    let both = Doctor::of_account(&account, &simulator.url()).given("REDIS_URL", redis.url().expose());
    let gateway = ["WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "WECHAT_MESSAGE_MODE", "WECHAT_ORIGINAL_ID"]
        .iter()
        .fold(both.clone(), |doctor, name| doctor.not_given(name));
    let report = gateway.looks().await;
    report.is_well().says("skip", "settings", &["callback's own settings", "WECHAT_TOKEN"]);
    report.says("ok", "settings", &["gateway: complete"]).says("ok", "qr right", &[]);

    let callback = ["WECHAT_APP_SECRET", "REDEEM_SECRET", "WECHAT_API_BASE"]
        .iter()
        .fold(both, |doctor, name| doctor.not_given(name));
    let report = callback.looks().await;
    report.is_well().says("skip", "settings", &["gateway's own settings", "WECHAT_APP_SECRET"]);
    report.says("ok", "settings", &["callback: complete"]).says("skip", "token", &["gateway's settings"]);
    assert!(report.findings("warn", "settings").is_empty(), "{}", report.printed);
}

#[tokio::test]
async fn secrets_can_come_from_files() {
    let account = Account::random();
    let simulator = Program::start("simulator", account.settings("safe")).await;
    let directory = tempfile::tempdir().unwrap();
    let mut doctor = Doctor::of_account(&account, &simulator.url()).given("STANDALONE", "true");
    for (name, secret) in [
        ("WECHAT_APP_SECRET", &account.app_secret),
        ("WECHAT_TOKEN", &account.token),
        ("WECHAT_ENCODING_AES_KEY", &account.aes_key),
        ("REDEEM_SECRET", &account.redeem_secret),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        doctor = doctor.not_given(name).given(&format!("{name}_FILE"), &path.display().to_string());
    }
    let report = doctor.looks().await;
    report.is_well().says("ok", "settings", &["gateway: complete"]).says(
        "ok",
        "settings",
        &["callback: complete"],
    );
}

#[tokio::test]
async fn a_wrong_flag_is_exit_code_2_and_one_line() {
    for (arguments, says) in [
        (["--public-url", "login.example.com"].as_slice(), "--public-url"),
        (&["--callback-url=nowhere"], "--callback-url"),
        (&["--nonsense"], "--nonsense"),
        (&["my-secret-password"], "a value without a flag"),
        (&["--public-url"], "--public-url"),
    ] {
        // A variable that is malformed as well does not change whose fault it is.
        let settings = [setting("PUBLIC_URL", "nonsense"), setting("SCENE_TTL", "1")];
        let ended = Program::run_with("doctor", &settings, arguments).await;
        assert_eq!(ended.code, Some(2), "{}", ended.printed);
        assert_eq!(ended.printed.lines().count(), 1, "{}", ended.printed);
        assert!(ended.printed.contains(says) && !ended.printed.contains("my-secret"), "{}", ended.printed);
    }
    let settings = [setting("WECHAT_API_BASE", NOWHERE), setting("PUBLIC_URL", "nonsense")];
    let ended = Program::run_with("doctor", &settings, &["--public-url", "http://127.0.0.1:1"]).await;
    assert!(ended.printed.contains("nobody answers on port 1"), "the flag wins: {}", ended.printed);
}

#[tokio::test]
async fn it_explains_itself() {
    let help = Program::help("doctor").await;
    assert_eq!(help.code, Some(0));
    for says in ["--public-url", "[env: PUBLIC_URL]", "--callback-url", "gateway --help", "Exit code"] {
        assert!(help.printed.contains(says), "{says}: {}", help.printed);
    }
    // What it does that others can see.
    for says in [
        "one QR code",
        "forged on purpose",
        "remembers their signatures",
        "line of its log",
        "as 30 connections",
    ] {
        assert!(help.printed.contains(says), "{says}: {}", help.printed);
    }
}

#[tokio::test]
async fn its_documentation_has_every_flag_and_variable() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
    let page = std::fs::read_to_string(page).unwrap();
    let help = Program::help("doctor").await.printed;
    let flags =
        help.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split([' ', '=']).next());
    let variables = help.split("[env: ").skip(1).filter_map(|behind| behind.split([']', '=']).next());
    let named: Vec<String> =
        flags.map(|flag| format!("`--{flag}`")).chain(variables.map(|name| format!("`{name}`"))).collect();
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        assert!(page.contains(&format!("| {name} |")), "{name} has no cell in docs/doctor.md");
    }
}
