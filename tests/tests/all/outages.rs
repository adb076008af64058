//! What Redis may do to a replica: be away, come back, hang, forget, and swallow answers.

use std::time::Duration;

use futures_util::future::join_all;
use shared::backplane::{Change, Error, MessageHash, Resumed, Role};
use shared::login::{Claim, Deadlines, Refresh, SessionId};
use tests::patience::{until, within_time};
use tests::redis::{Durability, RedisServer, url_through};
use tests::relay::Direction;
use tests::replica::{Page, Replica, SCENE_TTL, SESSION_TTL, qr_code, somebody, stamp, told};
use uuid::Uuid;

/// What the backplane promises, "about two seconds", with something for a busy machine.
const ANSWER_TIME: Duration = Duration::from_millis(2500);
/// The longest time between two readings for no reason, with something for a busy machine.
const READ_AGAIN: Duration = Duration::from_secs(55);
/// More logins than are read again in one go.
const CROWD: usize = 600;

#[tokio::test]
async fn a_scan_during_the_watchers_outage_is_told_after_it() {
    let redis = RedisServer::start().await;
    let network = redis.another_relay().await;
    let gateway = Replica::connect(&url_through(&network), Role::Watches).await;
    let callback = Replica::connect(&redis.url(), Role::Moves).await;
    let mut page = gateway.opens().await;
    network.cut();
    gateway.becomes_unreachable().await;
    assert_eq!(callback.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    network.heal();
    assert_eq!(page.is_told().await, Change::Scanned);
    gateway.becomes_reachable().await;
}

#[tokio::test]
async fn a_scan_during_an_outage_that_nobody_noticed_is_told_after_it() {
    let redis = RedisServer::start().await;
    let network = redis.another_relay().await;
    let gateway = Replica::connect(&url_through(&network), Role::Watches).await;
    let callback = Replica::connect(&redis.url(), Role::Moves).await;
    for _ in 0..20 {
        let mut page = gateway.opens().await;
        network.cut();
        callback.claims(&page.code, &somebody()).await;
        network.heal();
        assert_eq!(page.is_told().await, Change::Scanned);
        gateway.becomes_reachable().await;
    }
}

#[tokio::test]
async fn a_resume_elsewhere_during_the_outage_is_told_after_it() {
    let redis = RedisServer::start().await;
    let network = redis.another_relay().await;
    let cut_off = Replica::connect(&url_through(&network), Role::Watches).await;
    let elsewhere = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = cut_off.opens().await;
    network.cut();
    let (mut watch, _) = elsewhere.resumes(&page.session).await.unwrap();
    elsewhere.claims(&page.code, &somebody()).await;
    assert_eq!(told(&mut watch).await, Change::Scanned);
    network.heal();
    assert_eq!(page.is_told().await, Change::Replaced);
}

#[tokio::test]
async fn a_whole_crowd_is_told_after_an_outage() {
    let redis = RedisServer::start().await;
    let network = redis.another_relay().await;
    let gateway = Replica::connect(&url_through(&network), Role::Watches).await;
    let callback = Replica::connect(&redis.url(), Role::Moves).await;
    let mut pages = join_all((0..CROWD).map(|_| gateway.opens())).await;
    network.cut();
    let person = somebody();
    join_all(pages.iter().map(|page| callback.claims(&page.code, &person))).await;
    network.heal();
    for page in &mut pages {
        assert_eq!(page.is_told().await, Change::Scanned);
    }
}

#[tokio::test]
async fn notices_arrive_again_after_redis_was_killed() {
    let mut redis = RedisServer::start_durable().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    redis.kill();
    gateway.becomes_unreachable().await;
    redis.restart().await;
    gateway.becomes_reachable().await;
    let callback = Replica::connect(&redis.socket_url(), Role::Moves).await;
    callback.claims(&page.code, &somebody()).await;
    assert_eq!(page.is_told().await, Change::Scanned);
}

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
async fn a_notice_that_nobody_knows_to_be_lost_is_made_up_for_by_reading_again() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    // As a claim does, but for the notice.
    let record = key("login", &page);
    redis
        .ask(&["HSET", &record, "state", "scanned", "version", "2", "openid", "o1", "scanned_at", "1"])
        .await;
    let told = within_time(READ_AGAIN, "the slow reading", page.watch.changed()).await;
    assert_eq!(told, Change::Scanned);
}

#[tokio::test]
async fn c9_a_hung_redis_is_an_error_in_time_and_the_next_scan_works() {
    let mut redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    redis.pause();
    fails_in_time(&gateway).await;
    gateway.becomes_unreachable().await;
    fails_in_time(&gateway).await;
    redis.unpause();
    gateway.becomes_reachable().await;
    assert_eq!(gateway.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn c9_a_network_that_swallows_everything_is_an_error_in_time() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    redis.relay().hold_all();
    fails_in_time(&gateway).await;
    gateway.becomes_unreachable().await;
    fails_in_time(&gateway).await;
    redis.relay().heal();
    gateway.becomes_reachable().await;
    assert_eq!(gateway.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn c9_a_redis_that_is_away_is_an_error_in_time() {
    let mut redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    redis.kill();
    fails_in_time(&gateway).await;
    gateway.becomes_unreachable().await;
    fails_in_time(&gateway).await;
}

#[tokio::test]
async fn a_process_may_start_before_redis() {
    let mut redis = RedisServer::absent(Durability::Memory).await;
    let gateway = Replica::begin_to_connect(&redis.url(), Role::Watches);
    let callback = Replica::begin_to_connect(&redis.url(), Role::Moves);
    fails_in_time(&gateway).await;
    assert!(!gateway.backplane().is_reachable());
    assert!(!callback.backplane().is_reachable());
    redis.restart().await;
    gateway.becomes_reachable().await;
    callback.becomes_reachable().await;
    let mut page = gateway.opens().await;
    callback.claims(&page.code, &somebody()).await;
    assert_eq!(page.is_told().await, Change::Scanned);
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
    let (resumed, ()) = tokio::join!(gateway.backplane().resume(&page.session), loses);
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

/// Every method answers within the promised time, with an error.
async fn fails_in_time(gateway: &Replica) {
    let session = SessionId::random();
    let (code, person, backplane) = (qr_code(&session), somebody(), gateway.backplane());
    let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
    let proof = session.code();
    let calls = async {
        tokio::join!(
            async { backplane.open(&session, code.clone(), deadlines, SESSION_TTL).await.err() },
            async { backplane.resume(&session).await.err() },
            async { backplane.claim(&code.scene, &code.ticket, &person).await.err() },
            async { backplane.login_count(&person, session.record_id(), SESSION_TTL).await.err() },
            async { backplane.forget(&person).await.err() },
            async { backplane.redeemable(&proof).await.err() },
            async { backplane.redeem(&proof, Uuid::new_v4()).await.err() },
            async { backplane.bind(stamp(), MessageHash::of(b"message"), SESSION_TTL).await.err() },
        )
    };
    let (open, resume, claim, count, forget, look_up, redeem, bind) =
        within_time(ANSWER_TIME, "errors", calls).await;
    for error in [open, resume, claim, count, forget, look_up, redeem, bind] {
        assert!(matches!(error, Some(Error::Unavailable(_))), "{error:?}");
    }
}

/// Where Redis keeps a page's login, or its scene.
fn key(what: &str, page: &Page) -> String {
    format!("scanlogin:{{{}}}:{what}", page.watch.login())
}
