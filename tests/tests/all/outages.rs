//! What Redis may do to a replica: be away, come back, hang; and in the modules, forget and swallow answers.

mod forgetting;
mod lost_answers;

use std::time::Duration;

use futures_util::future::join_all;
use shared::backplane::{Change, Error, MessageHash, Role};
use shared::login::{Claim, Deadlines, QrCode, SessionId};
use tests::patience::within_time;
use tests::redis::{Durability, RedisServer, url_through};
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
async fn a_server_that_is_gone_without_a_word_while_much_is_written_to_it_is_left() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    redis.relay().forsake();
    // More than the kernel takes for a connection that nobody reads from.
    let text = "x".repeat(256 * 1024);
    let much = (0..100).map(|_| async {
        let session = SessionId::random();
        let code = QrCode { content: text.clone(), ..qr_code(&session) };
        let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
        gateway.backplane().open(&session, code, deadlines, SESSION_TTL).await.err()
    });
    let errors = within_time(ANSWER_TIME, "errors", join_all(much)).await;
    assert!(errors.iter().all(Option::is_some), "nothing came through");
    gateway.becomes_unreachable().await;
    gateway.becomes_reachable().await;
    assert_eq!(gateway.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn what_was_refused_while_redis_was_away_is_not_done_when_it_is_back() {
    let redis = RedisServer::start().await;
    // There are no replicas, so no claim is answered; but it would be made.
    let gateway = Replica::connect_waiting(&redis.url(), Role::Watches, 1).await;
    let page = gateway.opens().await;
    redis.relay().cut();
    gateway.becomes_unreachable().await;
    let (code, person) = (&page.code, somebody());
    let claim =
        within_time(ANSWER_TIME, "an error", gateway.backplane().claim(&code.scene, &code.ticket, &person));
    claim.await.unwrap_err();
    redis.relay().heal();
    // Its look goes the same way as its moves, and came after them.
    gateway.becomes_reachable().await;
    assert_eq!(redis.ask(&["HGET", &key("login", &page), "state"]).await, "waiting");
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

/// Every method answers within the promised time, with an error.
async fn fails_in_time(gateway: &Replica) {
    let session = SessionId::random();
    let (code, person, backplane) = (qr_code(&session), somebody(), gateway.backplane());
    let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
    let proof = session.code();
    let calls = async {
        tokio::join!(
            async { backplane.open(&session, code.clone(), deadlines, SESSION_TTL).await.err() },
            async { gateway.tries_to_resume(&session).await.err() },
            async { backplane.claim(&code.scene, &code.ticket, &person).await.err() },
            async { backplane.login_count(&person, session.record_id(), SESSION_TTL).await.err() },
            async { backplane.forget(&person, MessageHash::of(b"unsubscribe"), SESSION_TTL).await.err() },
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
