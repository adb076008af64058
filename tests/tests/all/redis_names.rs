//! What others may look at in Redis: names, lifetimes, and what is not there.

use std::time::Duration;

use shared::backplane::Role;
use tests::redis::RedisServer;
use tests::replica::{Page, Replica, SCENE_TTL, SESSION_TTL, somebody, stamp};

/// How much of a time to live a busy machine may eat before it is looked at.
const SLACK: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_mapping_lives_for_the_scenes_time_and_after_the_claim_as_long_as_the_record() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    lives_for(&redis, &mapping(&page), SCENE_TTL).await;
    gateway.refreshes(&mut page).await;
    lives_for(&redis, &mapping(&page), SCENE_TTL).await;
    assert_eq!(redis.ask(&["GET", &mapping(&page)]).await, page.code.scene.nonce());
    gateway.claims(&page.code, &somebody()).await;
    lives_for(&redis, &mapping(&page), SESSION_TTL).await;
    lives_for(&redis, &record(&page), SESSION_TTL).await;
}

#[tokio::test]
async fn every_move_gives_the_record_its_whole_life_again() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    lives_for(&redis, &record(&page), SESSION_TTL).await;

    grows_old(&redis, &page).await;
    gateway.refreshes(&mut page).await;
    lives_for(&redis, &record(&page), SESSION_TTL).await;

    grows_old(&redis, &page).await;
    let _watch = gateway.resumes(&page.session).await;
    lives_for(&redis, &record(&page), SESSION_TTL).await;

    grows_old(&redis, &page).await;
    gateway.claims(&page.code, &somebody()).await;
    lives_for(&redis, &record(&page), SESSION_TTL).await;

    grows_old(&redis, &page).await;
    gateway.redeems(&page.session.code()).await.unwrap();
    lives_for(&redis, &record(&page), SESSION_TTL).await;
}

#[tokio::test]
async fn what_moves_nothing_gives_no_life() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (page, person) = (gateway.opens().await, somebody());
    gateway.claims(&page.code, &person).await;
    grows_old(&redis, &page).await;
    gateway.claims(&page.code, &person).await;
    gateway.claims(&page.code, &somebody()).await;
    gateway.looks_up(&page.session.code()).await;
    let left: u64 = redis.ask(&["PTTL", &record(&page)]).await.parse().unwrap();
    assert!(left <= millis(OLD), "{left}");
}

#[tokio::test]
async fn a_count_lives_for_ever_and_its_logins_number_as_long_as_asked() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (page, person) = (gateway.opens().await, somebody());
    gateway.counts(&person, page.watch.login()).await;
    let logins = format!("scanlogin:{{{}}}:logins", person.hash());
    let counted = format!("scanlogin:{{{}}}:counted:{}", person.hash(), page.watch.login());
    assert_eq!(redis.ask(&["PTTL", &logins]).await, "-1");
    lives_for(&redis, &counted, SESSION_TTL).await;
    gateway.forgets_by(&person, "what somebody wrote").await;
    assert_eq!(redis.ask(&["EXISTS", &logins]).await, "0");
    let forgotten =
        format!("scanlogin:{{{}}}:forgotten:yPwQoia2l8cZWLFs7WEkwbMjP1_y3eWq2jIwGIPvRa0", person.hash());
    lives_for(&redis, &forgotten, SESSION_TTL).await;
}

#[tokio::test]
async fn every_name_begins_with_scanlogin() {
    let redis = RedisServer::start().await;
    let (gateway, another) = (
        Replica::connect(&redis.url(), Role::Watches).await,
        Replica::connect(&redis.url(), Role::Watches).await,
    );
    let callback = Replica::connect(&redis.url(), Role::Moves).await;
    gateway.logs_somebody_in().await;
    let keys = redis.ask(&["--scan"]).await;
    assert_eq!(keys.lines().count(), 4, "{keys}");
    let channels = redis.ask(&["PUBSUB", "CHANNELS"]).await;
    assert_eq!(channels.lines().count(), 2, "one for each process that watches: {channels}");
    for name in keys.lines().chain(channels.lines()) {
        assert!(name.starts_with("scanlogin:"), "{name}");
    }
    drop((another, callback));
}

#[tokio::test]
async fn redis_holds_nothing_that_logs_anybody_in() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let page = gateway.logs_somebody_in().await;
    let waiting = gateway.opens().await;
    let everything = everything_in(&redis).await;
    assert!(everything.contains(&waiting.code.ticket.hash()), "it shows what Redis does hold");
    for page in [&page, &waiting] {
        let (session, code) = (page.session.expose(), page.session.code().expose());
        let proof = &code[page.watch.login().to_string().len()..];
        for secret in [session.as_str(), proof] {
            assert!(!everything.contains(secret), "{everything}");
        }
    }
}

#[tokio::test]
async fn the_names_of_keys_show_no_openid() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (page, person) = (gateway.opens().await, somebody());
    gateway.claims(&page.code, &person).await;
    gateway.counts(&person, page.watch.login()).await;
    assert!(!redis.ask(&["--scan"]).await.contains(person.expose()));
}

#[tokio::test]
async fn a_signatures_message_is_a_hash_that_lives_as_long_as_asked() {
    let redis = RedisServer::start().await;
    let callback = Replica::connect(&redis.url(), Role::Moves).await;
    let stamp = stamp();
    callback.binds(stamp, "what somebody wrote").await;
    let key = redis.ask(&["--scan"]).await;
    assert_eq!(key, format!("scanlogin:{{{stamp}}}:message"));
    lives_for(&redis, &key, SESSION_TTL).await;
    // SHA-256 as base64url.
    assert_eq!(redis.ask(&["GET", &key]).await, "yPwQoia2l8cZWLFs7WEkwbMjP1_y3eWq2jIwGIPvRa0");
}

/// A record's remaining life once a test has made it old.
const OLD: Duration = Duration::from_secs(60);

async fn grows_old(redis: &RedisServer, page: &Page) {
    assert_eq!(redis.ask(&["PEXPIRE", &record(page), &millis(OLD).to_string()]).await, "1");
}

async fn lives_for(redis: &RedisServer, key: &str, life: Duration) {
    let left: u64 = redis.ask(&["PTTL", key]).await.parse().unwrap_or_default();
    let left = Duration::from_millis(left);
    assert!(left <= life && left > life - SLACK, "{key} lives for {left:?}, not {life:?}");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

fn record(page: &Page) -> String {
    format!("scanlogin:{{{}}}:login", page.watch.login())
}

fn mapping(page: &Page) -> String {
    format!("scanlogin:{{{}}}:scene", page.watch.login())
}

async fn everything_in(redis: &RedisServer) -> String {
    let mut everything = redis.ask(&["--scan"]).await;
    for key in everything.clone().lines() {
        let read = if redis.ask(&["TYPE", key]).await == "hash" { "HGETALL" } else { "GET" };
        everything.push('\n');
        everything.push_str(&redis.ask(&[read, key]).await);
    }
    everything
}
