//! A command took effect, and its answer never came: whoever repeats it makes the same move.

use shared::backplane::{Change, MessageHash, Role};
use shared::login::{Claim, Deadlines, SessionId};
use tests::patience::until;
use tests::redis::RedisServer;
use tests::relay::Direction;
use tests::replica::{Replica, SCENE_TTL, SESSION_TTL, qr_code, somebody, stamp, told};
use uuid::Uuid;

#[tokio::test]
async fn an_opening_whose_answer_was_lost_is_open() {
    let (redis, gateway) = a_gateway_with_its_scripts_loaded().await;
    let (session, deadlines) = (SessionId::random(), Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL });
    let code = qr_code(&session);
    let opening = gateway.backplane().open(&session, code.clone(), deadlines, SESSION_TTL);
    let record = format!("scanlogin:{{{}}}:login", session.record_id());
    let loses = loses_the_answer(&redis, async || redis.ask(&["EXISTS", &record]).await == "1");
    let (opened, ()) = tokio::join!(opening, loses);
    let mut watch = opened.unwrap();
    gateway.claims(&code, &somebody()).await;
    assert_eq!(told(&mut watch).await, Change::Scanned);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_the_same_persons() {
    let (redis, gateway) = a_gateway_with_its_scripts_loaded().await;
    let (mut page, person) = (gateway.opens().await, somebody());
    let record = format!("scanlogin:{{{}}}:login", page.watch.login());
    let loses = loses_the_answer(&redis, async || redis.ask(&["HGET", &record, "state"]).await == "scanned");
    let claims = gateway.backplane().claim(&page.code.scene, &page.code.ticket, &person);
    let (claimed, ()) = tokio::join!(claims, loses);
    assert!(matches!(claimed.unwrap(), Claim::Claimed { .. } | Claim::Repeated { .. }));
    assert_eq!(page.is_told().await, Change::Scanned);
    assert_eq!(redis.ask(&["HGET", &record, "version"]).await, "2");
}

#[tokio::test]
async fn a_redeeming_whose_answer_was_lost_gets_the_scan() {
    let (redis, gateway) = a_gateway_with_its_scripts_loaded().await;
    let (page, person) = (gateway.opens().await, somebody());
    gateway.claims(&page.code, &person).await;
    let record = format!("scanlogin:{{{}}}:login", page.watch.login());
    let loses = loses_the_answer(&redis, async || redis.ask(&["HGET", &record, "state"]).await == "redeemed");
    let code = page.session.code();
    let (redeemed, ()) = tokio::join!(gateway.backplane().redeem(&code, Uuid::new_v4()), loses);
    assert_eq!(redeemed.unwrap().unwrap().by, person);
}

#[tokio::test]
async fn a_count_whose_answer_was_lost_is_counted_once() {
    let (redis, gateway) = a_gateway_with_its_scripts_loaded().await;
    let (page, person) = (gateway.opens().await, somebody());
    let counted = format!("scanlogin:{{{}}}:logins", person.hash());
    let loses = loses_the_answer(&redis, async || redis.ask(&["EXISTS", &counted]).await == "1");
    let counts = gateway.backplane().login_count(&person, page.watch.login(), SESSION_TTL);
    let (count, ()) = tokio::join!(counts, loses);
    assert_eq!(count.unwrap(), 1);
    assert_eq!(redis.ask(&["GET", &counted]).await, "1");
}

#[tokio::test]
async fn c3_a_signature_whose_binding_got_no_answer_is_the_same_messages() {
    let (redis, callback) = a_gateway_with_its_scripts_loaded().await;
    // So is this script.
    callback.binds(stamp(), "message").await;
    let stamp = stamp();
    let key = format!("scanlogin:{{{stamp}}}:message");
    let loses = loses_the_answer(&redis, async || redis.ask(&["EXISTS", &key]).await == "1");
    let binds = callback.backplane().bind(stamp, MessageHash::of(b"first"), SESSION_TTL);
    let (bound, ()) = tokio::join!(binds, loses);
    assert!(bound.unwrap(), "the library's own repeat");
    assert!(!callback.binds(stamp, "second").await);
}

#[tokio::test]
async fn a_resume_whose_answer_was_lost_has_the_session() {
    let (redis, gateway) = a_gateway_with_its_scripts_loaded().await;
    let elsewhere = Replica::connect(&redis.socket_url(), Role::Watches).await;
    let mut page = elsewhere.opens().await;
    let record = format!("scanlogin:{{{}}}:login", page.watch.login());
    let loses = loses_the_answer(&redis, async || redis.ask(&["HGET", &record, "version"]).await == "2");
    let before = gateway.backplane().owner(&page.session).await.unwrap().unwrap();
    let (resumed, ()) = tokio::join!(gateway.backplane().resume(&page.session, before), loses);
    let (mut watch, _) = resumed.unwrap().unwrap();
    assert_eq!(page.is_told().await, Change::Replaced);
    elsewhere.claims(&page.code, &somebody()).await;
    assert_eq!(told(&mut watch).await, Change::Scanned);
    assert_eq!(redis.ask(&["HGET", &record, "version"]).await, "3", "it was one move");
}

/// A script that Redis does not know takes two commands, and the first has no effect.
async fn a_gateway_with_its_scripts_loaded() -> (RedisServer, Replica) {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    gateway.logs_somebody_in().await;
    (redis, gateway)
}

/// Lets a command reach Redis, loses its answer together with the connection, and heals the network.
async fn loses_the_answer(redis: &RedisServer, took_effect: impl AsyncFnMut() -> bool) {
    redis.relay().hold(Direction::Replies);
    until("the command to take effect", took_effect).await;
    redis.relay().cut();
    redis.relay().heal();
}
