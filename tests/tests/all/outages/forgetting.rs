//! Redis comes back with less than it had.

use std::time::Duration;

use shared::backplane::{Change, Resumed, Role};
use shared::login::{Claim, Deadlines, Refresh};
use tests::patience::until;
use tests::redis::{RedisServer, url_through};
use tests::replica::{Replica, SCENE_TTL, SESSION_TTL, somebody, stamp, told};

use super::key;

#[tokio::test]
async fn an_answered_claim_survives_the_death_of_a_durable_redis() {
    let mut redis = RedisServer::start_durable().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (page, person) = (gateway.opens().await, somebody());
    assert_eq!(gateway.claims(&page.code, &person).await, Claim::Claimed { life: SESSION_TTL });
    redis.restart().await;
    gateway.becomes_reachable().await;
    let (_watch, resumed) = gateway.resumes(&page.session).await.unwrap();
    assert!(matches!(resumed, Resumed::Scanned));
    assert_eq!(gateway.redeems(&page.session.code()).await.unwrap().by, person);
}

#[tokio::test]
async fn a_waiting_login_that_redis_lost_is_written_again_by_its_owner() {
    let mut redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (mut opened, mut refreshed, resumed) =
        (gateway.opens().await, gateway.opens().await, gateway.opens().await);
    let old = refreshed.code.clone();
    gateway.refreshes(&mut refreshed).await;
    let elsewhere = Replica::connect(&redis.url(), Role::Watches).await;
    let (mut moved, _) = elsewhere.resumes(&resumed.session).await.unwrap();
    redis.restart().await;
    let callback = Replica::connect(&redis.url(), Role::Moves).await;
    let person = somebody();
    for code in [&opened.code, &refreshed.code, &resumed.code] {
        until("the login to be written again", async || {
            callback.claims(code, &person).await == Claim::Claimed { life: SESSION_TTL }
        })
        .await;
    }
    assert_eq!(callback.claims(&old, &somebody()).await, Claim::Over, "the refresh is not undone");
    for watch in [&mut opened.watch, &mut refreshed.watch, &mut moved] {
        assert_eq!(told(watch).await, Change::Scanned);
    }
    for page in [&opened, &refreshed, &resumed] {
        assert!(matches!(gateway.resumes(&page.session).await, Some((_, Resumed::Scanned))));
        assert_eq!(callback.redeems(&page.session.code()).await.unwrap().by, person);
    }
}

#[tokio::test]
async fn what_is_written_again_has_no_more_time_than_before() {
    let mut redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (instant, life) = (Duration::from_millis(1), SESSION_TTL / 2);
    let over = gateway.opens_for(Deadlines { shown: instant, claimable: instant }, life).await;
    let shorter = SCENE_TTL / 2;
    let live = gateway.opens_for(Deadlines { shown: shorter / 2, claimable: shorter }, life).await;
    redis.kill();
    gateway.becomes_unreachable().await;
    redis.restart().await;
    gateway.becomes_reachable().await;
    assert_eq!(gateway.claims(&over.code, &somebody()).await, Claim::Over);
    for (what, at_most) in [("scene", shorter), ("login", life)] {
        let left: u64 = redis.ask(&["PTTL", &key(what, &live)]).await.parse().unwrap();
        assert!(Duration::from_millis(left) <= at_most, "{what}: {left}");
    }
    let (_, resumed) = gateway.resumes(&live.session).await.unwrap();
    assert!(matches!(resumed, Resumed::Waiting { shown_for, .. } if shown_for <= shorter / 2), "{resumed:?}");
    assert_eq!(gateway.claims(&live.code, &somebody()).await, Claim::Claimed { life });
}

#[tokio::test]
async fn a_login_that_a_failover_set_back_is_brought_forward_again() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    let (record, scene) = (key("login", &page), key("scene", &page));
    let before = redis.ask(&["HGET", &record, "nonce"]).await;
    gateway.refreshes(&mut page).await;
    redis.ask(&["HSET", &record, "version", "1", "nonce", &before]).await;
    redis.ask(&["SET", &scene, &before]).await;
    redis.relay().cut();
    gateway.becomes_unreachable().await;
    redis.relay().heal();
    gateway.becomes_reachable().await;
    assert_eq!(gateway.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn of_two_replicas_that_write_a_login_again_the_later_owner_wins() {
    for _ in 0..5 {
        let mut redis = RedisServer::start().await;
        let network = redis.another_relay().await;
        let first = Replica::connect(&url_through(&network), Role::Watches).await;
        let second = Replica::connect(&redis.url(), Role::Watches).await;
        let mut page = first.opens().await;
        // The first replica is not told that it lost the login.
        network.cut();
        let (mut moved, _) = second.resumes(&page.session).await.unwrap();
        redis.restart().await;
        network.heal();
        assert_eq!(page.is_told().await, Change::Replaced);
        second.becomes_reachable().await;
        second.claims(&page.code, &somebody()).await;
        assert_eq!(told(&mut moved).await, Change::Scanned);
    }
}

#[tokio::test]
async fn a_scanned_login_that_redis_lost_is_told_to_be_gone() {
    let mut redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    gateway.claims(&page.code, &somebody()).await;
    assert_eq!(page.is_told().await, Change::Scanned);
    redis.restart().await;
    assert_eq!(page.is_told().await, Change::Gone);
    gateway.becomes_reachable().await;
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::Gone);
    assert!(gateway.resumes(&page.session).await.is_none());
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let (mut page, person) = (gateway.opens().await, somebody());
    let forgets = async || assert_eq!(redis.ask(&["SCRIPT", "FLUSH"]).await, "OK");
    forgets().await;
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::Replaced);
    forgets().await;
    assert_eq!(gateway.claims(&page.code, &person).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
    forgets().await;
    assert_eq!(gateway.counts(&person, page.watch.login()).await, 1);
    forgets().await;
    let (_watch, resumed) = gateway.resumes(&page.session).await.unwrap();
    assert!(matches!(resumed, Resumed::Scanned));
    forgets().await;
    assert!(gateway.redeems(&page.session.code()).await.is_some());
    forgets().await;
    assert!(gateway.binds(stamp(), "message").await);
}
