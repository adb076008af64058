//! Redis behind TLS and a password, as people have it who share a network with others.

use std::path::Path;

use tests::http;
use tests::program::{Program, Setting, setting};
use tests::redis::{RedisCluster, SecuredRedis};
use tests::replica::ACL;
use tests::stack::{Account, Plan, somebodys_openid};
use tests::tls::Certificate;

const PASSWORD: &str = "correct-horse-battery-staple";

/// A user who may do what docs/redis.md says that suffices, and nobody else may do anything.
async fn locked() -> SecuredRedis {
    let redis = SecuredRedis::start().await;
    let password = format!(">{PASSWORD}");
    let user = ["acl", "setuser", "scan-login", "on", &password];
    let question: Vec<&str> = user.into_iter().chain(ACL.split_whitespace()).collect();
    assert_eq!(redis.ask(&question).await, "OK");
    assert_eq!(redis.ask(&["acl", "setuser", "default", "off"]).await, "OK");
    redis
}

fn trusting(file: &Path) -> Setting {
    setting("SSL_CERT_FILE", file.display().to_string())
}

/// A whole login, by the programs themselves.
async fn somebody_logs_in(settings: Vec<Setting>) {
    let stack = Plan { settings, ..Plan::default() }.start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    stack.scan(&browser.qr_code().await.content, &person).await;
    let identity = stack.application().redeem(&browser.success().await.code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 1));
    assert!(!stack.printed().contains(PASSWORD));
    assert_eq!(stack.redis.ask(&["DBSIZE"]).await, "0", "all of it was on the other one");
}

/// A gateway that cannot use its Redis says why, is not ready, and keeps the password to itself.
async fn a_gateway_complains(settings: Vec<Setting>, why: &str) {
    let mut all = Account::random().settings("safe");
    all.extend(settings);
    let gateway = Program::start("gateway", all).await;
    gateway.prints("Redis does not answer").await;
    let printed = gateway.printed();
    let line = printed.lines().find(|line| line.contains("Redis does not answer")).unwrap();
    assert!(line.contains(why), "{line}");
    let ready = http::client().get(format!("{}/readyz", gateway.admin_url())).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let said = ready.text().await.unwrap();
    for text in [&gateway.printed(), &said] {
        assert!(!text.contains(PASSWORD) && !text.contains("another-password"), "{text}");
    }
}

#[tokio::test]
async fn a_person_logs_in_over_tls_with_a_user_who_may_do_no_more_than_that() {
    let redis = locked().await;
    let url = redis.url("scan-login", PASSWORD);
    let trusted = trusting(&redis.certificate().certificate());
    somebody_logs_in(vec![setting("REDIS_URL", url.expose()), trusted]).await;
}

#[tokio::test]
async fn a_person_logs_in_over_a_cluster_with_tls_and_a_user() {
    let cluster = RedisCluster::start_secured().await;
    let password = format!(">{PASSWORD}");
    let user = ["acl", "setuser", "scan-login", "on", &password];
    let user = user.into_iter().chain(ACL.split_whitespace());
    cluster.ask_each(&user.chain(["+cluster|slots", "+cluster|info"]).collect::<Vec<_>>()).await;
    let url = cluster.url().expose().replacen("://", &format!("://scan-login:{PASSWORD}@"), 1);
    let trusted = trusting(&cluster.certificate().unwrap().certificate());
    somebody_logs_in(vec![setting("REDIS_URL", url), trusted]).await;
    let stats = cluster.ask_each(&["info", "commandstats"]).await;
    assert!(stats.contains("cmdstat_spublish:"), "{stats}");
    assert!(!stats.contains("cmdstat_publish:") && !stats.contains("rejected_calls=1"), "{stats}");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_stranger_is_refused() {
    let redis = locked().await;
    let stranger = Certificate::until_the_end_of(2099, "DNS:redis.example.com");
    let url = setting("REDIS_URL", redis.url("scan-login", PASSWORD).expose());
    a_gateway_complains(vec![url, trusting(&stranger.certificate())], "UnknownIssuer").await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_printed() {
    let redis = locked().await;
    let url = setting("REDIS_URL", redis.url("scan-login", "another-password").expose());
    a_gateway_complains(vec![url, trusting(&redis.certificate().certificate())], "WRONGPASS").await;
}
