//! Redis with more than one server: what a failover costs, and what it doesn't.

use std::time::Duration;

use shared::backplane::{Change, Error, Role};
use shared::login::Claim;
use tests::patience::within_time;
use tests::redis::RedisSentinel;
use tests::replica::{Page, Replica, SESSION_TTL, somebody};

/// For clients to find the new primary.
const FOUND: Duration = Duration::from_secs(30);

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
