//! Redis with more than one server: what a failover costs, and what it doesn't.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::backplane::{Change, Error, Role};
use shared::login::{Claim, Scene, SessionId};
use tests::http;
use tests::patience::{eventually_within, within_time};
use tests::program::setting;
use tests::redis::{RedisCluster, RedisSentinel};
use tests::replica::{Page, Replica, SESSION_TTL, somebody};
use tests::stack::{Plan, somebodys_openid};

/// For clients to find the new primary.
const FOUND: Duration = Duration::from_secs(30);

/// For an old primary to be left. The Sentinels let 8 s pass before they touch it.
const LEFT: Duration = Duration::from_secs(6);

/// People who scan at the same time, and for how long they do: long enough for the watchdog to judge a connection.
const SCANNERS: usize = 12;
const SCANNED_FOR: Duration = Duration::from_secs(6);
/// What the phone shows whose scan could not be answered.
const RETRY: &str = "服务暂时繁忙，请稍后再扫描一次二维码。";
/// What the contract gives the callback.
const ANSWER_TIME_MS: u64 = 4500;

/// Scans until it is answered, as people do whom the phone asks to scan again.
async fn claims_after_all(replica: &Replica, page: &Page) -> Claim {
    let person = somebody();
    within_time(FOUND, "a scan to be answered", async {
        loop {
            match replica.backplane().claim(&page.code.scene, &page.code.ticket, &person).await {
                // Its owner has not written it again yet.
                Ok(Claim::Over) | Err(Error::Unavailable(_)) => tokio::task::yield_now().await,
                Ok(claim) => return claim,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

async fn is_told(page: &mut Page) -> Change {
    within_time(FOUND, "a page to be told", page.watch.changed()).await
}

async fn a_login_outlives(sentinel: &RedisSentinel, gateway: &Replica, page: &mut Page) {
    let callback = Replica::connect(&sentinel.url(), Role::Moves).await;
    let claim = claims_after_all(&callback, page).await;
    assert!(matches!(claim, Claim::Claimed { life: SESSION_TTL } | Claim::Repeated { .. }), "{claim:?}");
    assert_eq!(is_told(page).await, Change::Scanned);
    assert!(gateway.redeems(&page.session.code()).await.is_some());
    let mut after = gateway.opens().await;
    callback.claims(&after.code, &somebody()).await;
    assert_eq!(is_told(&mut after).await, Change::Scanned);
}

#[tokio::test]
async fn a_login_outlives_the_death_of_the_primary() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect(&sentinel.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    sentinel.fail_over().await;
    a_login_outlives(&sentinel, &gateway, &mut page).await;
}

#[tokio::test]
async fn a_login_outlives_a_primary_that_hangs() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect(&sentinel.url(), Role::Watches).await;
    let mut page = gateway.opens().await;
    sentinel.fail_over_by_hanging().await;
    a_login_outlives(&sentinel, &gateway, &mut page).await;
}

#[tokio::test]
async fn a_waiting_login_that_the_failover_lost_is_written_again() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect(&sentinel.url(), Role::Watches).await;
    let mut kept = gateway.opens().await;
    sentinel.stop_replicating().await;
    gateway.refreshes(&mut kept).await;
    let mut lost = gateway.opens().await;
    sentinel.fail_over_to_the_past().await;
    for page in [&mut kept, &mut lost] {
        a_login_outlives(&sentinel, &gateway, page).await;
    }
}

/// What a person who scans until the phone says that the login succeeded is told, and whether it was.
async fn scan_and_fail_over_to_the_past(replication_wait: u8) -> (bool, RedisSentinel, Replica, Page) {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect(&sentinel.url(), Role::Watches).await;
    let callback = Replica::connect_waiting(&sentinel.url(), Role::Moves, replication_wait).await;
    let page = gateway.opens().await;
    sentinel.stop_replicating().await;
    let scanned = callback.backplane().claim(&page.code.scene, &page.code.ticket, &somebody()).await;
    sentinel.fail_over_to_the_past().await;
    (scanned.is_ok(), sentinel, gateway, page)
}

#[tokio::test]
async fn a_claim_that_a_failover_would_lose_is_not_answered_where_replicas_are_waited_for() {
    let (answered, sentinel, gateway, mut page) = scan_and_fail_over_to_the_past(1).await;
    assert!(!answered, "the replica does not have it");
    // The page may have been told by a notice of the primary that died; then it has a code that redeems nothing yet.
    let callback = Replica::connect(&sentinel.url(), Role::Moves).await;
    claims_after_all(&callback, &page).await;
    assert_eq!(is_told(&mut page).await, Change::Scanned);
    assert!(gateway.redeems(&page.session.code()).await.is_some());
}

#[tokio::test]
async fn without_waiting_a_failover_can_lose_an_answered_claim() {
    let (answered, _sentinel, gateway, page) = scan_and_fail_over_to_the_past(0).await;
    assert!(answered);
    assert!(
        gateway.backplane().redeem(&page.session.code(), uuid::Uuid::new_v4()).await.ok().flatten().is_none()
    );
}

#[tokio::test]
async fn moves_that_replicas_have_are_answered_and_repeated_ones_too() {
    let sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect_waiting(&sentinel.url(), Role::Watches, 1).await;
    let (mut page, person) = (gateway.opens().await, somebody());
    assert_eq!(gateway.claims(&page.code, &person).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(is_told(&mut page).await, Change::Scanned);
    assert_eq!(gateway.claims(&page.code, &person).await, Claim::Repeated { life: SESSION_TTL });
    assert_eq!(gateway.claims(&page.code, &somebody()).await, Claim::Taken);
    for _ in 0..2 {
        assert_eq!(gateway.counts(&person, page.watch.login()).await, 1);
    }
    let request = uuid::Uuid::new_v4();
    for _ in 0..2 {
        assert!(gateway.redeems_as(&page.session.code(), request).await.is_some());
    }
    assert!(gateway.redeems(&page.session.code()).await.is_none());
    assert!(gateway.backplane().redeemable(&page.session.code()).await.is_ok_and(|found| found.is_none()));
}

#[tokio::test]
async fn a_repeat_is_not_answered_before_the_replicas_have_the_first() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect_waiting(&sentinel.url(), Role::Watches, 1).await;
    let another = Replica::connect_waiting(&sentinel.url(), Role::Moves, 1).await;
    let (page, person) = (gateway.opens().await, somebody());
    sentinel.stop_replicating().await;
    // The second has written nothing yet on its connection: what it repeats must count.
    for replica in [&gateway, &another, &gateway] {
        let scanned = replica.backplane().claim(&page.code.scene, &page.code.ticket, &person).await;
        assert!(matches!(scanned, Err(Error::TooFewReplicas(0))), "{scanned:?}");
    }
}

#[tokio::test]
async fn a_crowd_that_waits_for_replicas_in_vain_is_told_so_in_time_and_breaks_no_connection() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect_waiting(&sentinel.url(), Role::Watches, 1).await;
    let pages = join_all((0..SCANNERS).map(|_| gateway.opens())).await;
    sentinel.stop_replicating().await;
    let until = Instant::now() + SCANNED_FOR;
    let backplane = gateway.backplane();
    let scans = pages.iter().map(|page| async move {
        let person = somebody();
        while Instant::now() < until {
            let began = Instant::now();
            let scanned = backplane.claim(&page.code.scene, &page.code.ticket, &person).await;
            // A connection that broke would be Unavailable.
            assert!(matches!(scanned, Err(Error::TooFewReplicas(0) | Error::Crowded)), "{scanned:?}");
            assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
            assert!(backplane.is_reachable());
        }
    });
    within_time(SCANNED_FOR + FOUND, "everybody", join_all(scans)).await;
}

#[tokio::test]
async fn a_primary_without_replicas_refuses_nothing_for_good_where_they_are_waited_for() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect_waiting(&sentinel.url(), Role::Watches, 1).await;
    let (taken, other) = (gateway.opens().await, gateway.opens().await);
    gateway.claims(&taken.code, &somebody()).await;
    assert!(gateway.redeems(&taken.session.code()).await.is_some());
    sentinel.stop_replicating().await;
    // It may have been cut off, and the next primary have been told otherwise.
    let (backplane, unknown) = (gateway.backplane(), SessionId::random());
    let scans = [
        (&taken.code.scene, &taken.code.ticket),
        (&Scene::random(&unknown), &other.code.ticket),
        (&other.code.scene, &taken.code.ticket),
    ];
    for (scene, ticket) in scans {
        let scanned = backplane.claim(scene, ticket, &somebody()).await;
        assert!(matches!(scanned, Err(Error::TooFewReplicas(0))), "{scanned:?}");
    }
    for session in [&taken.session, &other.session, &unknown] {
        let found = backplane.redeemable(&session.code()).await;
        assert!(matches!(found, Err(Error::TooFewReplicas(0))), "{found:?}");
        let spent = backplane.redeem(&session.code(), uuid::Uuid::new_v4()).await;
        assert!(matches!(spent, Err(Error::TooFewReplicas(0))), "{spent:?}");
    }
}

#[tokio::test]
async fn a_primary_without_replicas_calls_no_session_unknown_where_they_are_waited_for() {
    let mut sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect_waiting(&sentinel.url(), Role::Watches, 1).await;
    assert!(gateway.resumes(&SessionId::random()).await.is_none());
    sentinel.stop_replicating().await;
    // It may have been cut off before the session began.
    let resumed = gateway.tries_to_resume(&SessionId::random()).await;
    assert!(matches!(resumed, Err(Error::TooFewReplicas(0))), "{resumed:?}");
}

/// A process that waits for replicas, and a login that one which doesn't has had claimed and redeemed at the primary alone.
async fn used_without_replicas() -> (RedisSentinel, Replica, Page) {
    let mut sentinel = RedisSentinel::start().await;
    let patient = Replica::connect_waiting(&sentinel.url(), Role::Watches, 1).await;
    let hasty = Replica::connect(&sentinel.url(), Role::Moves).await;
    let page = patient.opens().await;
    sentinel.hold_replication().await;
    hasty.claims(&page.code, &somebody()).await;
    assert!(hasty.redeems(&page.session.code()).await.is_some());
    (sentinel, patient, page)
}

#[tokio::test]
async fn a_claim_that_no_replica_has_refuses_nobody_for_good() {
    let (_sentinel, patient, page) = used_without_replicas().await;
    let scanned = patient.backplane().claim(&page.code.scene, &page.code.ticket, &somebody()).await;
    assert!(matches!(scanned, Err(Error::TooFewReplicas(0))), "{scanned:?}");
}

#[tokio::test]
async fn a_spending_that_no_replica_has_refuses_no_code_for_good() {
    let (_sentinel, patient, page) = used_without_replicas().await;
    let spent = patient.backplane().redeem(&page.session.code(), uuid::Uuid::new_v4()).await;
    assert!(matches!(spent, Err(Error::TooFewReplicas(0))), "{spent:?}");
}

#[tokio::test]
async fn a_code_is_not_called_used_before_replicas_know_that_it_is() {
    let (_sentinel, patient, page) = used_without_replicas().await;
    let found = patient.backplane().redeemable(&page.session.code()).await;
    assert!(matches!(found, Err(Error::TooFewReplicas(0))), "{found:?}");
}

#[tokio::test]
async fn an_old_primary_that_lives_on_is_left_long_before_it_is_made_a_replica() {
    let sentinel = RedisSentinel::start().await;
    let gateway = Replica::connect(&sentinel.url(), Role::Watches).await;
    let before = gateway.opens().await;
    sentinel.change_places().await;
    let too_late = gateway.opens().await;
    let is_there = async |page: &Page| {
        let key = format!("scanlogin:{{{}}}:login", page.watch.login());
        sentinel.ask(&["EXISTS", &key]).await == "1"
    };
    eventually_within(LEFT, "a login to be opened at the new primary", async || {
        is_there(&gateway.opens().await).await.then_some(())
    })
    .await;
    // What the old one was told after its time is written again.
    eventually_within(LEFT, "the logins of the old primary", async || {
        (is_there(&before).await && is_there(&too_late).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_next_primary_is_not_left_for_the_one_that_died() {
    let mut sentinel = RedisSentinel::start().await;
    let settings = vec![setting("REDIS_URL", sentinel.url().expose())];
    let stack = Plan { gateways: 2, callbacks: 1, settings, ..Plan::default() }.start().await;
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    sentinel.fail_over().await;
    let person = somebodys_openid();
    eventually_within(FOUND, "a scan to succeed", async || {
        stack.scan(&content, &person).await.shown?.contains("登录成功").then_some(())
    })
    .await;
    browser.success().await;
    // Five connections look at it four times a second, and the Sentinels once: long enough to be misled more than once.
    let looks = async || {
        let told = sentinel.ask(&["INFO", "commandstats"]).await;
        told.split("cmdstat_ping:calls=").nth(1)?.split(',').next()?.parse::<u32>().ok()
    };
    let before = looks().await.unwrap_or(0);
    eventually_within(FOUND, "the new primary to be looked at", async || {
        looks().await.filter(|now| *now > before + 100)
    })
    .await;
    let printed = stack.printed();
    assert!(!printed.contains("another Redis is the primary now"), "{printed}");
}

#[tokio::test]
async fn c9_while_replicas_lack_the_phone_asks_to_scan_again_in_time() {
    let mut sentinel = RedisSentinel::start().await;
    let settings = vec![setting("REDIS_URL", sentinel.url().expose()), setting("REPLICATION_WAIT", "1")];
    let stack = Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() }.start().await;
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    sentinel.stop_replicating().await;
    let scan = json!({ "content": content, "openid": somebodys_openid() });
    for _ in 0..2 {
        let request = http::client().post(format!("{}/simulator/scan", stack.simulator.url()));
        let response = within_time(FOUND, "the phone", request.json(&scan).send()).await.unwrap();
        let outcome: Value = response.json().await.unwrap();
        let [attempt] = outcome["attempts"].as_array().unwrap().as_slice() else { panic!("{outcome}") };
        assert_eq!(attempt["verdict"], "reply", "{outcome}");
        assert!(attempt["elapsed_ms"].as_u64().unwrap() < ANSWER_TIME_MS, "{outcome}");
        assert_eq!(outcome["shown"], RETRY, "{outcome}");
    }
    let printed = stack.printed();
    assert!(printed.contains("too few replicas of Redis"), "{printed}");
    assert!(!printed.contains("Redis does not answer"), "{printed}");
}

/// In a Cluster the count lies with another primary than the login, and one may have its replica while the other has not.
#[tokio::test]
async fn c9_while_a_count_has_no_replica_the_phone_asks_to_scan_again_and_the_page_is_logged_in() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let settings = vec![setting("REDIS_URL", cluster.url().expose()), setting("REPLICATION_WAIT", "1")];
    let stack = Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() }.start().await;
    let person = somebodys_openid();
    let mut first = stack.browser().await;
    stack.scan(&first.qr_code().await.content, &person).await;
    first.success().await;
    let keys = async |cluster: &RedisCluster, what: &str| -> BTreeSet<String> {
        let told = cluster.ask_each(&["keys", &format!("scanlogin:*:{what}")]).await;
        told.lines().filter(|line| line.ends_with(what)).map(str::to_owned).collect()
    };
    let counts = keys(&cluster, "logins").await;
    let count = counts.first().unwrap();
    let alone = cluster.ask_primary_of(count, &["cluster", "myid"]).await;
    let (mut browser, content) = loop {
        let before = keys(&cluster, "login").await;
        let mut browser = stack.browser().await;
        let content = browser.qr_code().await.content;
        let after = keys(&cluster, "login").await;
        let record = after.difference(&before).next().unwrap();
        if cluster.ask_primary_of(record, &["cluster", "myid"]).await != alone {
            break (browser, content);
        }
    };
    let replica = cluster.stop_replicating(count).await;
    assert_eq!(stack.scan(&content, &person).await.shown.unwrap(), RETRY);
    stack.callbacks[0].prints("\"push.outcome\":\"uncounted\"").await;
    browser.success().await;
    cluster.unpause(replica);
    let shown = eventually_within(FOUND, "the count", async || {
        stack.scan(&content, &person).await.shown.filter(|shown| shown != RETRY)
    })
    .await;
    assert!(shown.contains("这是你第2次登录"), "{shown}");
}
