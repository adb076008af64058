//! Redis that is away, refuses, forgets, or is another than the settings say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::doctor::{Doctor, Report};
use tests::redis::{Durability, RedisCluster, RedisSentinel, RedisServer};
use tests::replica::ACL;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the doctor says of a Redis at this URL; nothing else is there.
async fn looks_at(url: &str) -> Report {
    looks_waiting_at(url, 0).await
}

/// The same, where logins wait for replicas.
async fn looks_waiting_at(url: &str, replication_wait: u8) -> Report {
    let doctor = Doctor::without_settings()
        .given("REPLICATION_WAIT", &replication_wait.to_string())
        .given("WECHAT_APP_ID", "wx0123456789abcdef")
        .given("WECHAT_TOKEN", "sometoken")
        .given("WECHAT_ENCODING_AES_KEY", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG");
    let report = doctor.given("REDIS_URL", url).looks().await;
    report.is_readable();
    report
}

#[tokio::test]
async fn a_redis_that_keeps_what_it_is_told_is_all_well() {
    let redis = RedisServer::start_durable().await;
    for url in [redis.url(), redis.socket_url()] {
        let report = looks_at(url.expose()).await;
        report.is_well();
        assert!(report.findings("warn", "redis").is_empty(), "{}", report.printed);
        assert_eq!(report.findings("ok", "redis").len(), 3, "{}", report.printed);
        report.says("ok", "clock", &["Redis' clock", "agree"]);
    }
    assert_eq!(redis.ask(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn a_redis_that_is_slow_is_a_warning_unless_it_was_so_once() {
    let redis = RedisServer::start().await;
    // Each way.
    redis.relay().delay(Duration::from_millis(60));
    let report = looks_at(redis.url().expose()).await;
    report.is_well().says("warn", "redis", &["answers within", "move it nearer"]);
    redis.relay().heal();
    let (late, port) = late_once(&redis, b"PING", Duration::from_millis(500)).await;
    let report = looks_at(&format!("redis://127.0.0.1:{port}")).await;
    report.is_well().says("ok", "redis", &["one server, answers within"]);
    assert!(late.load(Ordering::Relaxed), "one of the questions waited");
}

/// A port that leads to Redis, and whether it has kept back the first request with this word in it for so long.
async fn late_once(redis: &RedisServer, word: &'static [u8], by: Duration) -> (Arc<AtomicBool>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, server) = (listener.local_addr().unwrap().port(), redis.relay().address());
    let late = Arc::new(AtomicBool::new(false));
    let told = late.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut into_client) = client.into_split();
            let (mut from_server, mut into_server) = TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut into_client).await });
            let late = late.clone();
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
                    let chunk = &chunk[..read];
                    if chunk.windows(word.len()).any(|part| part == word)
                        && !late.swap(true, Ordering::Relaxed)
                    {
                        tokio::time::sleep(by).await;
                    }
                    if into_server.write_all(chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (told, port)
}

#[tokio::test]
async fn a_redis_that_is_away_or_hangs_is_given_up() {
    let mut redis = RedisServer::absent(Durability::Memory).await;
    looks_at("redis://127.0.0.1:1").await.fails_only("redis", &["refused", "REDIS_URL"]);
    looks_at("redis://nowhere.invalid").await.fails_only("redis", &["no such name", "REDIS_URL"]);
    looks_at(redis.url().expose()).await.fails_only("redis", &["cannot be reached"]);
    redis.restart().await;
    redis.pause();
    let report = looks_at(redis.url().expose()).await;
    report.fails_only("redis", &["no answer in time"]).says("skip", "clock", &["Redis' clock"]);
    redis.unpause();
    looks_at(redis.url().expose()).await.is_well();
    // It waits for a TLS handshake that it never understands.
    let tls = redis.url().expose().replacen("redis", "rediss", 1);
    looks_at(&tls).await.fails_only("redis", &["no answer in time", "TLS"]);
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_server_that_is_away() {
    let redis = RedisServer::start().await;
    redis.ask(&["CONFIG", "SET", "requirepass", "correct-horse"]).await;
    let with = |password: &str| redis.url().expose().replacen("://", &format!("://:{password}@"), 1);
    looks_at(&with("battery-staple")).await.fails_only("redis", &["WRONGPASS", "password in REDIS_URL"]);
    looks_at(redis.url().expose()).await.fails_only("redis", &["NOAUTH", "password in REDIS_URL"]);
    looks_at(&with("correct-horse")).await.is_well();
}

#[tokio::test]
async fn a_server_that_takes_no_writes_says_why() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    looks_at(url.expose())
        .await
        .fails_only("redis", &["READONLY", "leads to a replica", "redis-sentinel://"]);
    redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    redis.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    looks_at(url.expose()).await.fails_only("redis", &["NOREPLICAS", "min-replicas-to-write"]);
    redis.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    looks_at(url.expose()).await.fails_only("redis", &["OOM", "memory is full"]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(redis.ask(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn a_server_that_may_forget_is_a_warning() {
    let redis = RedisServer::start().await;
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let report = looks_at(redis.url().expose()).await;
    report.is_well().says("warn", "redis", &["allkeys-lru", "noeviction"]);
    report.says("warn", "redis", &["nothing on disk", "appendonly yes"]);
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    redis.ask(&["CONFIG", "SET", "save", "3600 1"]).await;
    let report = looks_at(redis.url().expose()).await;
    assert!(report.is_well().findings("warn", "redis").is_empty(), "{}", report.printed);
}

#[tokio::test]
async fn the_documented_acl_suffices_and_anything_less_is_named() {
    let redis = RedisServer::start().await;
    let url = redis.url().expose().replacen("://", "://scan-login:correct-horse@", 1);
    let allow = async |rules: &str| {
        let user = ["ACL", "SETUSER", "scan-login", "reset", "on", ">correct-horse"];
        let rules: Vec<&str> =
            user.into_iter().chain(ACL.split_whitespace()).chain(rules.split_whitespace()).collect();
        redis.ask(&rules).await;
    };
    allow("").await;
    let report = looks_at(&url).await;
    report.is_well().says("warn", "redis", &["cannot be asked"]).says("ok", "redis", &["Redis 7"]);
    for (less, says) in [
        ("-hset", "HSET"),
        ("-pexpire", "PEXPIRE"),
        ("-time", "TIME"),
        ("-hmget", "HMGET"),
        ("-pttl", "PTTL"),
        ("-eval", "(EVAL)"),
        ("-evalsha", "(EVALSHA)"),
        ("resetkeys ~other:*", "NOPERM"),
    ] {
        allow(less).await;
        looks_at(&url).await.fails_only("redis", &[says, "ACL"]);
    }
    for less in ["resetchannels &other:*", "-subscribe", "-publish"] {
        allow(less).await;
        looks_at(&url).await.fails_only("redis", &["notices", "scanlogin:inbox:*"]);
    }
    allow("-wait").await;
    looks_at(&url).await.is_well();
    looks_waiting_at(&url, 1).await.fails_only("redis", &["REPLICATION_WAIT", "WAIT", "ACL"]);
    allow("-info").await;
    looks_at(&url).await.is_well().says("ok", "redis", &["version unknown"]);
    assert_eq!(redis.ask(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn a_cluster_is_known_by_its_url_and_by_itself() {
    let cluster = RedisCluster::start().await;
    let url = cluster.url();
    let report = looks_at(url.expose()).await;
    report.is_well().says("ok", "redis", &["Cluster"]).says("ok", "redis", &["sharded pub/sub"]);
    let single = url.expose().replacen("redis-cluster", "redis", 1);
    let single = single.split('?').next().unwrap();
    looks_at(single).await.fails_only("redis", &["node of a Cluster", "redis-cluster://"]);
}

#[tokio::test]
async fn a_cluster_that_broadcasts_notices_is_well_and_one_that_need_not_is_told_so() {
    let old = RedisCluster::start_without_sharded_notices().await;
    let report = looks_at(old.url().expose()).await;
    report.is_well().says("ok", "redis", &["no sharded pub/sub", "every node"]);
    let cluster = RedisCluster::start().await;
    let user = ["acl", "setuser", "scan-login", "on", "nopass"];
    let less = ["+cluster|slots", "+cluster|info", "-ssubscribe"];
    cluster.ask_each(&user.into_iter().chain(ACL.split_whitespace()).chain(less).collect::<Vec<_>>()).await;
    let url = cluster.url().expose().replacen("://", "://scan-login:any@", 1);
    let report = looks_at(&url).await;
    report.is_well().says("warn", "redis", &["NOPERM", "every node", "+ssubscribe +spublish"]);
}

#[tokio::test]
async fn replicas_that_a_login_waits_for_must_be_there() {
    let mut sentinel = RedisSentinel::start().await;
    let url = sentinel.url();
    let report = looks_at(url.expose()).await;
    report.is_well().says("ok", "redis", &["by way of Sentinel"]);
    assert_eq!(report.findings("ok", "redis").len(), 3, "{}", report.printed);
    looks_waiting_at(url.expose(), 1).await.is_well().says("ok", "redis", &["REPLICATION_WAIT=1"]);
    let says = ["REPLICATION_WAIT is 2", "are 1", "nobody can log in", "more replicas"];
    looks_waiting_at(url.expose(), 2).await.fails_only("redis", &says);
    sentinel.stop_replicating().await;
    looks_waiting_at(url.expose(), 1).await.fails_only("redis", &["REPLICATION_WAIT is 1", "are 0"]);
}
