//! A failover that lost the last moves of a login: who came last has the session, and a scan counts.

use shared::backplane::{Change, Role};
use shared::login::{Claim, Refresh};
use tests::patience::until;
use tests::redis::{RedisServer, url_through};
use tests::relay::Relay;
use tests::replica::{Page, Replica, SESSION_TTL, somebody, told};

/// Two gateways; the second can be cut off, which makes it read its logins again.
struct Failover {
    redis: RedisServer,
    network: Relay,
    first: Replica,
    second: Replica,
}

impl Failover {
    async fn prepare() -> Self {
        let redis = RedisServer::start().await;
        let network = redis.another_relay().await;
        let first = Replica::connect(&redis.url(), Role::Watches).await;
        let second = Replica::connect(&url_through(&network), Role::Watches).await;
        Self { redis, network, first, second }
    }

    /// The replica of Redis has this of a login, and nothing after it.
    async fn last_replicated(&self, page: &Page) {
        for key in keys(page) {
            assert_eq!(self.redis.ask(&["COPY", &key, &format!("{key}:past"), "REPLACE"]).await, "1");
        }
    }

    /// The replica of Redis becomes the primary.
    async fn happens(&self, page: &Page) {
        for key in keys(page) {
            assert_eq!(self.redis.ask(&["COPY", &format!("{key}:past"), &key, "REPLACE"]).await, "1");
        }
    }

    /// The second gateway finds its connections broken.
    async fn is_noticed(&self) {
        self.network.cut();
        self.second.becomes_unreachable().await;
        self.network.heal();
        self.second.becomes_reachable().await;
    }
}

fn keys(page: &Page) -> [String; 2] {
    ["login", "scene"].map(|what| format!("scanlogin:{{{}}}:{what}", page.watch.login()))
}

/// The same browser on another gateway.
async fn resumes(replica: &Replica, page: &Page) -> Page {
    let (watch, _) = replica.resumes(&page.session).await.unwrap();
    Page { session: page.session.clone(), code: page.code.clone(), watch }
}

#[tokio::test]
async fn a_scan_of_a_login_that_lost_its_resume_is_told_to_the_browser_there_is() {
    let failover = Failover::prepare().await;
    let page = failover.first.opens().await;
    failover.last_replicated(&page).await;
    let mut moved = resumes(&failover.second, &page).await;
    failover.happens(&page).await;
    let claim = failover.first.claims(&page.code, &somebody()).await;
    assert_eq!(claim, Claim::Claimed { life: SESSION_TTL });
    failover.is_noticed().await;
    assert_eq!(moved.is_told().await, Change::Scanned);
    assert!(failover.first.redeems(&page.session.code()).await.is_some());
}

#[tokio::test]
async fn a_scan_of_a_login_that_lost_several_moves_is_told_to_the_browser_there_is() {
    let failover = Failover::prepare().await;
    let page = failover.first.opens().await;
    failover.last_replicated(&page).await;
    let mut moved = resumes(&failover.second, &page).await;
    assert_eq!(failover.second.refreshes(&mut moved).await, Refresh::Replaced);
    let mut moved = resumes(&failover.second, &moved).await;
    failover.happens(&page).await;
    failover.first.claims(&page.code, &somebody()).await;
    failover.is_noticed().await;
    assert_eq!(moved.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn a_login_that_lost_its_resume_is_its_last_owners_again() {
    let failover = Failover::prepare().await;
    let page = failover.first.opens().await;
    failover.last_replicated(&page).await;
    let mut moved = resumes(&failover.second, &page).await;
    failover.happens(&page).await;
    failover.is_noticed().await;
    let owner = async || failover.redis.ask(&["HGET", &keys(&page)[0], "connection"]).await;
    assert_eq!(owner().await, moved.watch.connection().to_string());
    failover.first.claims(&page.code, &somebody()).await;
    assert_eq!(moved.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn a_refresh_takes_a_login_again_that_lost_its_resume() {
    let failover = Failover::prepare().await;
    let page = failover.first.opens().await;
    failover.last_replicated(&page).await;
    let mut moved = resumes(&failover.second, &page).await;
    failover.happens(&page).await;
    assert_eq!(failover.second.refreshes(&mut moved).await, Refresh::Replaced);
    failover.first.claims(&moved.code, &somebody()).await;
    assert_eq!(moved.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn a_dead_connection_that_made_more_moves_does_not_take_the_login_from_a_later_one() {
    let failover = Failover::prepare().await;
    let page = failover.first.opens().await;
    failover.last_replicated(&page).await;
    let mut dead = resumes(&failover.second, &page).await;
    for _ in 0..3 {
        assert_eq!(failover.second.refreshes(&mut dead).await, Refresh::Replaced);
    }
    failover.happens(&page).await;
    let mut later = resumes(&failover.first, &page).await;
    failover.is_noticed().await;
    assert_eq!(dead.is_told().await, Change::Replaced);
    assert_eq!(failover.second.refreshes(&mut dead).await, Refresh::NotOwner);
    failover.second.claims(&page.code, &somebody()).await;
    assert_eq!(later.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn an_earlier_owner_that_moved_a_login_since_loses_it_to_the_last() {
    let failover = Failover::prepare().await;
    let mut page = failover.first.opens().await;
    failover.last_replicated(&page).await;
    let mut moved = resumes(&failover.second, &page).await;
    failover.happens(&page).await;
    for _ in 0..3 {
        assert_eq!(failover.first.refreshes(&mut page).await, Refresh::Replaced);
    }
    failover.is_noticed().await;
    assert_eq!(page.is_told().await, Change::Replaced);
    let claim = failover.first.claims(&moved.code, &somebody()).await;
    assert_eq!(claim, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(moved.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn a_login_whose_claim_was_lost_can_be_claimed_again() {
    let failover = Failover::prepare().await;
    let page = failover.second.opens().await;
    failover.last_replicated(&page).await;
    failover.first.claims(&page.code, &somebody()).await;
    let told_once = told_of_a_scan(page).await;
    failover.happens(&told_once).await;
    failover.is_noticed().await;
    let person = somebody();
    assert_eq!(failover.first.claims(&told_once.code, &person).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(failover.first.redeems(&told_once.session.code()).await.unwrap().by, person);
}

async fn told_of_a_scan(mut page: Page) -> Page {
    assert_eq!(told(&mut page.watch).await, Change::Scanned);
    page
}

#[tokio::test]
async fn everything_that_redis_forgot_is_written_again_soon() {
    const CROWD: usize = 1000;
    let failover = Failover::prepare().await;
    let pages = futures_util::future::join_all((0..CROWD).map(|_| failover.second.opens())).await;
    assert_eq!(failover.redis.ask(&["FLUSHALL"]).await, "OK");
    failover.is_noticed().await;
    let records = async || failover.redis.ask(&["DBSIZE"]).await == (2 * pages.len()).to_string();
    until("all to be written again", records).await;
}

#[tokio::test]
async fn what_the_commands_find_lost_is_written_again_though_the_inbox_missed_nothing() {
    let redis = RedisServer::start().await;
    let gateway = Replica::connect(&redis.url(), Role::Watches).await;
    let page = gateway.opens().await;
    for key in keys(&page) {
        assert_eq!(redis.ask(&["DEL", &key]).await, "1");
    }
    // As when they are led to another primary, and the inbox was there before them.
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    until("the login to be there again", async || {
        let key = &keys(&page)[0];
        redis.ask(&["EXISTS", key]).await == "1"
    })
    .await;
}
