//! The whole login in one process.

use serde_json::json;
use tests::application::Application;
use tests::browser::Browser;
use tests::program::{Program, setting};
use tests::redis::RedisServer;
use tests::stack::{scan_at, somebodys_openid};

async fn logs_in(standalone: &Program, secret: &str, person: &str) -> u64 {
    let url = standalone.url();
    let mut browser = Browser::open(&url).await;
    let content = browser.qr_code().await.content;
    scan_at(&url, &json!({ "content": content, "openid": person })).await;
    let identity = Application::new(&url, secret).redeem(&browser.success().await.code).await;
    assert_eq!(identity.openid, person);
    identity.login_count
}

#[tokio::test]
async fn it_needs_nothing_and_prints_the_secret_that_it_made() {
    let standalone = Program::start("standalone", Vec::new()).await;
    standalone.prints("ANYBODY CAN LOG IN AS ANYBODY").await;
    standalone.prints("Authorization: Bearer ").await;
    let printed = standalone.printed();
    let (_, secret) = printed.split_once("Authorization: Bearer ").unwrap();
    let secret = secret.split_whitespace().next().unwrap();
    assert_eq!(logs_in(&standalone, secret, &somebodys_openid()).await, 1);
}

#[tokio::test]
async fn counts_begin_anew_at_each_start_and_it_says_so() {
    let mut standalone =
        Program::start("standalone", vec![setting("REDEEM_SECRET", "a-secret-of-mine")]).await;
    standalone.prints("begin anew").await;
    assert!(!standalone.printed().contains("a-secret-of-mine"));
    let person = somebodys_openid();
    assert_eq!(logs_in(&standalone, "a-secret-of-mine", &person).await, 1);
    assert_eq!(logs_in(&standalone, "a-secret-of-mine", &person).await, 2);
    standalone.restart().await;
    assert_eq!(logs_in(&standalone, "a-secret-of-mine", &person).await, 1);
}

#[tokio::test]
async fn counts_last_with_redis() {
    let redis = RedisServer::start().await;
    let settings =
        vec![setting("REDEEM_SECRET", "a-secret-of-mine"), setting("REDIS_URL", redis.url().expose())];
    let mut standalone = Program::start("standalone", settings).await;
    let person = somebodys_openid();
    tests::stack::is_well(&standalone).await;
    assert_eq!(logs_in(&standalone, "a-secret-of-mine", &person).await, 1);
    standalone.restart().await;
    tests::stack::is_well(&standalone).await;
    assert_eq!(logs_in(&standalone, "a-secret-of-mine", &person).await, 2);
}

#[tokio::test]
async fn with_the_simulator_inside_it_listens_on_loopback_only() {
    let anywhere = [setting("STANDALONE_LISTEN", "0.0.0.0:0"), setting("ADMIN_LISTEN", "127.0.0.1:0")];
    let ended = Program::run("standalone", &anywhere).await;
    assert_eq!(ended.code, Some(2), "{}", ended.printed);
    assert!(ended.printed.contains("STANDALONE_LISTEN"), "{}", ended.printed);
    let mut settings = anywhere.to_vec();
    settings.push(setting("SIMULATOR", "on"));
    let mut standalone = Program::start("standalone", settings).await;
    assert!(standalone.public().ip().is_unspecified());
    assert_eq!(standalone.terminate().await, Some(0));
}

#[tokio::test]
async fn a_proxy_towards_the_internet_is_not_in_the_way() {
    let proxied = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"];
    let mut settings: Vec<_> = proxied.map(|name| setting(name, "http://127.0.0.1:1")).into();
    settings.push(setting("REDEEM_SECRET", "a-secret-of-mine"));
    let standalone = Program::start("standalone", settings).await;
    assert_eq!(logs_in(&standalone, "a-secret-of-mine", &somebodys_openid()).await, 1);
}
