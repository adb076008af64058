//! Redis Cluster as it is in a bad hour: primaries die and hang, and slots move while people log in.

use std::time::Duration;

use futures_util::future::join_all;
use shared::backplane::{Change, Error, Role};
use shared::login::{Claim, OpenId};
use shared::settings::Secret;
use tests::patience::{until, within_time};
use tests::redis::RedisCluster;
use tests::replica::{Page, Replica, SESSION_TTL, somebody};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// For clients to find the new primary.
const FOUND: Duration = Duration::from_secs(30);
/// Logins at a time, over all slots.
const LOGINS: usize = 24;
/// Between a move and being told of it, well below the 15 s that the earliest reading for no reason takes.
const SOON: Duration = Duration::from_secs(10);

fn record(page: &Page) -> String {
    format!("scanlogin:{{{}}}:login", page.watch.login())
}

fn mapping(page: &Page) -> String {
    format!("scanlogin:{{{}}}:scene", page.watch.login())
}

/// Scans until it is answered, as people do whom the phone asks to scan again.
async fn claims_after_all(replica: &Replica, page: &Page, person: &OpenId) -> Claim {
    within_time(FOUND, "a scan to be answered", async {
        loop {
            match replica.backplane().claim(&page.code.scene, &page.code.ticket, person).await {
                // Its owner has not written it again yet.
                Ok(Claim::Over) | Err(Error::Unavailable(_) | Error::TooFewReplicas(_) | Error::Crowded) => {
                    tokio::task::yield_now().await;
                }
                Ok(claim) => return claim,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// The login goes through, and nobody else's does in its place.
async fn logs_in(gateway: &Replica, callback: &Replica, page: &mut Page) {
    let person = somebody();
    let claim = claims_after_all(callback, page, &person).await;
    assert!(matches!(claim, Claim::Claimed { life: SESSION_TTL } | Claim::Repeated { .. }), "{claim:?}");
    assert_eq!(within_time(SOON, "a page to be told", page.watch.changed()).await, Change::Scanned);
    let scan = gateway.redeems(&page.session.code()).await.unwrap();
    assert_eq!(scan.by, person);
    assert_eq!(scan.scene, page.code.scene);
}

async fn replicas(cluster: &RedisCluster) -> (Replica, Replica) {
    let url = cluster.url();
    (Replica::connect(&url, Role::Watches).await, Replica::connect(&url, Role::Moves).await)
}

async fn pages(gateway: &Replica) -> Vec<Page> {
    let mut pages = Vec::new();
    for _ in 0..LOGINS {
        pages.push(gateway.opens().await);
    }
    pages
}

#[tokio::test]
async fn logins_outlive_the_death_of_a_primary() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let (gateway, callback) = replicas(&cluster).await;
    let mut pages = pages(&gateway).await;
    cluster.fail_over(&record(&pages[0])).await;
    for page in &mut pages {
        logs_in(&gateway, &callback, page).await;
    }
}

#[tokio::test]
async fn logins_outlive_a_primary_that_hangs() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let (gateway, callback) = replicas(&cluster).await;
    let mut pages = pages(&gateway).await;
    cluster.fail_over_by_hanging(&record(&pages[0])).await;
    for page in &mut pages {
        logs_in(&gateway, &callback, page).await;
    }
}

#[tokio::test]
async fn a_login_outlives_the_migration_of_its_slot() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let mut page = gateway.opens().await;
    cluster.migrate(&record(&page)).await;
    logs_in(&gateway, &callback, &mut page).await;
}

#[tokio::test]
async fn a_login_whose_keys_are_apart_for_a_moment_is_claimed_when_they_are_together() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let mut page = gateway.opens().await;
    let migration = cluster.begin_to_migrate(&record(&page)).await;
    migration.move_key(&mapping(&page)).await;
    let together = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        migration.end().await;
    };
    let person = somebody();
    let (claim, ()) = tokio::join!(callback.claims(&page.code, &person), together);
    assert_eq!(claim, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn a_login_whose_keys_have_gone_ahead_is_claimed() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let mut page = gateway.opens().await;
    let migration = cluster.begin_to_migrate(&record(&page)).await;
    migration.move_key(&mapping(&page)).await;
    migration.move_key(&record(&page)).await;
    let person = somebody();
    let claims = tokio::join!(callback.claims(&page.code, &person), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        migration.end().await;
    });
    assert_eq!(claims.0, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn answers_are_not_mixed_up_where_a_node_sends_moves_ahead() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let (mut scanned, mut waiting) = (Vec::new(), gateway.opens().await);
    for page in pages(&gateway).await {
        let person = somebody();
        callback.claims(&page.code, &person).await;
        scanned.push((page, person));
    }
    let migration = cluster.begin_to_migrate(&record(&waiting)).await;
    migration.move_key(&mapping(&waiting)).await;
    migration.move_key(&record(&waiting)).await;
    let person = somebody();
    let looks_up = async |(page, person): &(Page, OpenId)| {
        for _ in 0..20 {
            let (scan, _) = callback.looks_up(&page.session.code()).await.unwrap();
            assert_eq!((&scan.by, &scan.scene), (person, &page.code.scene));
        }
    };
    let moves = async {
        callback.backplane().claim(&waiting.code.scene, &waiting.code.ticket, &person).await.is_ok()
    };
    let (claimed, _) = tokio::join!(moves, join_all(scanned.iter().map(looks_up)));
    assert!(!claimed, "it waits for the end of the migration");
    migration.end().await;
    assert_eq!(callback.claims(&waiting.code, &person).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(waiting.is_told().await, Change::Scanned);
}

/// The inbox of the only process that watches.
async fn inbox(cluster: &RedisCluster) -> String {
    let channels = cluster.ask_each(&["pubsub", "channels"]).await;
    let mut names = channels.lines().filter(|name| !name.is_empty());
    names.next().unwrap().to_owned()
}

async fn calls(cluster: &RedisCluster, command: &str) -> u64 {
    let told = cluster.ask_each(&["info", "commandstats"]).await;
    let name = format!("cmdstat_{command}:calls=");
    told.lines().filter_map(|line| line.strip_prefix(&name)?.split(',').next()?.parse::<u64>().ok()).sum()
}

async fn rejected_calls(cluster: &RedisCluster, command: &str) -> u64 {
    let told = cluster.ask_each(&["info", "commandstats"]).await;
    let name = format!("cmdstat_{command}:");
    told.lines()
        .filter_map(|line| line.strip_prefix(&name)?.split("rejected_calls=").nth(1)?.split(',').next())
        .map(|number| number.parse::<u64>().unwrap())
        .sum()
}

async fn is_heard_sharded(cluster: &RedisCluster, inbox: &str) {
    until("the inbox to be subscribed where its slot is", async || {
        cluster.ask_primary_of(inbox, &["pubsub", "shardnumsub", inbox]).await.ends_with('1')
    })
    .await;
}

#[tokio::test]
async fn notices_are_not_broadcast_where_they_can_be_sharded() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    for page in &mut pages(&gateway).await {
        logs_in(&gateway, &callback, page).await;
    }
    let mut page = gateway.opens().await;
    let (_second, _) = gateway.resumes(&page.session).await.unwrap();
    assert_eq!(page.is_told().await, Change::Replaced);
    assert_eq!(calls(&cluster, "publish").await, 0);
    assert!(calls(&cluster, "spublish").await >= 25);
}

#[tokio::test]
async fn notices_are_broadcast_where_the_server_cannot_shard_them() {
    let cluster = RedisCluster::start_without_sharded_notices().await;
    let (gateway, callback) = replicas(&cluster).await;
    for page in &mut pages(&gateway).await {
        logs_in(&gateway, &callback, page).await;
    }
    assert_eq!(calls(&cluster, "publish").await, 24);
}

/// A user who may do what the replicas of a version without sharded pub/sub did.
async fn user_of_before(cluster: &RedisCluster) -> Secret {
    let rules = "acl setuser before on nopass ~scanlogin:* resetchannels &scanlogin:inbox:* +@all -spublish -ssubscribe";
    cluster.ask_each(&rules.split(' ').collect::<Vec<_>>()).await;
    Secret::new(cluster.url().expose().replacen("://", "://before:any@", 1))
}

#[tokio::test]
async fn gateways_that_hear_only_broadcasts_are_told() {
    let cluster = RedisCluster::start().await;
    let before = user_of_before(&cluster).await;
    let gateway = Replica::connect(&before, Role::Watches).await;
    let callback = Replica::connect(&cluster.url(), Role::Moves).await;
    for page in &mut pages(&gateway).await {
        logs_in(&gateway, &callback, page).await;
    }
}

#[tokio::test]
async fn callbacks_that_only_broadcast_are_heard() {
    let cluster = RedisCluster::start().await;
    let before = user_of_before(&cluster).await;
    let gateway = Replica::connect(&cluster.url(), Role::Watches).await;
    let callback = Replica::connect(&before, Role::Moves).await;
    for page in &mut pages(&gateway).await {
        logs_in(&gateway, &callback, page).await;
    }
    assert_eq!(rejected_calls(&cluster, "spublish").await, 1, "it is not tried again at once");
}

#[tokio::test]
async fn the_inbox_follows_its_slot() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let inbox = inbox(&cluster).await;
    for _ in 0..3 {
        let mut page = gateway.opens().await;
        is_heard_sharded(&cluster, &inbox).await;
        cluster.migrate(&inbox).await;
        // Before it can have noticed.
        logs_in(&gateway, &callback, &mut page).await;
    }
    is_heard_sharded(&cluster, &inbox).await;
    gateway.becomes_reachable().await;
}

#[tokio::test]
async fn the_inbox_is_subscribed_again_where_its_slot_has_been_away_for_a_moment() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let inbox = inbox(&cluster).await;
    let mut page = gateway.opens().await;
    is_heard_sharded(&cluster, &inbox).await;
    cluster.give_away_for_a_moment(&inbox).await;
    assert!(cluster.ask_primary_of(&inbox, &["pubsub", "shardnumsub", &inbox]).await.ends_with('0'));
    logs_in(&gateway, &callback, &mut page).await;
    is_heard_sharded(&cluster, &inbox).await;
}

#[tokio::test]
async fn the_inbox_follows_a_primary_that_makes_room_for_its_replica() {
    let cluster = RedisCluster::start_with_replicas().await;
    let (gateway, callback) = replicas(&cluster).await;
    let inbox = inbox(&cluster).await;
    let mut page = gateway.opens().await;
    cluster.change_places(&inbox).await;
    logs_in(&gateway, &callback, &mut page).await;
    is_heard_sharded(&cluster, &inbox).await;
}

#[tokio::test]
async fn a_claim_is_repeated_to_its_owner_should_the_first_who_claimed_have_died_over_it() {
    let cluster = RedisCluster::start().await;
    let (gateway, callback) = replicas(&cluster).await;
    let (mut page, person) = (gateway.opens().await, somebody());
    // What a callback leaves behind that is killed between the two: a claim that nobody was told of.
    let claim = include_str!("../../../shared/src/backplane/claim.lua");
    let (id, ticket) = (page.watch.login().to_string(), page.code.ticket.hash());
    let question = [
        "eval",
        claim,
        "2",
        &record(&page),
        &mapping(&page),
        &id,
        &page.code.scene.nonce(),
        &ticket,
        person.expose(),
        "caller",
    ];
    assert!(cluster.ask(&question).await.starts_with("claimed"));
    assert!(matches!(callback.claims(&page.code, &person).await, Claim::Repeated { .. }));
    assert_eq!(page.is_told().await, Change::Scanned);
}

#[tokio::test]
async fn a_claim_that_was_sent_elsewhere_waits_for_the_replicas_there() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let gateway = Replica::connect(&cluster.url(), Role::Watches).await;
    let callback = Replica::connect_waiting(&cluster.url(), Role::Moves, 1).await;
    let page = gateway.opens().await;
    cluster.migrate(&record(&page)).await;
    cluster.stop_replicating(&record(&page)).await;
    // The callback still believes that the slot is where it was, and its replica is well.
    let scanned = callback.backplane().claim(&page.code.scene, &page.code.ticket, &somebody()).await;
    assert!(matches!(scanned, Err(Error::TooFewReplicas(0))), "{scanned:?}");
}

#[tokio::test]
async fn a_primary_without_its_replica_keeps_nobody_waiting_whom_the_others_serve() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let gateway = Replica::connect(&cluster.url(), Role::Watches).await;
    let callback = Replica::connect_waiting(&cluster.url(), Role::Moves, 1).await;
    let pages = pages(&gateway).await;
    let mut primaries = Vec::new();
    for page in &pages {
        primaries.push(cluster.ask_primary_of(&record(page), &["cluster", "myid"]).await);
    }
    cluster.stop_replicating(&record(&pages[0])).await;
    let (person, alone) = (somebody(), &primaries[0]);
    let claim = |page: &Page| {
        let (callback, code, person) = (&callback, page.code.clone(), &person);
        async move { callback.backplane().claim(&code.scene, &code.ticket, person).await }
    };
    let unlucky = join_all((0..10).map(|_| claim(&pages[0])));
    let others = pages.iter().zip(&primaries).filter(|(_, primary)| *primary != alone);
    let lucky = join_all(others.map(|(page, _)| claim(page)));
    let (unlucky, lucky) = tokio::join!(unlucky, lucky);
    assert!(unlucky.iter().any(|claim| matches!(claim, Err(Error::Crowded))), "{unlucky:?}");
    assert!(!lucky.is_empty(), "{primaries:?}");
    for claim in lucky {
        assert!(matches!(claim, Ok(Claim::Claimed { .. })), "{claim:?}");
    }
}

/// People who log in one after the other, until they are told to stop; and everything went through that they began.
struct Crowd {
    enough: CancellationToken,
    people: JoinSet<usize>,
}

impl Crowd {
    async fn begins(cluster: &RedisCluster, replication_wait: u8) -> Self {
        let (url, enough, mut people) = (cluster.url(), CancellationToken::new(), JoinSet::new());
        let gateway = Replica::connect_waiting(&url, Role::Watches, replication_wait).await;
        let callback = Replica::connect_waiting(&url, Role::Moves, replication_wait).await;
        for _ in 0..6 {
            let (enough, gateway, callback) = (enough.clone(), gateway.clone(), callback.clone());
            people.spawn(async move {
                let mut logins = 0;
                while !enough.is_cancelled() {
                    let mut page = gateway.opens_after_all().await;
                    logs_in_after_all(&gateway, &callback, &mut page).await;
                    logins += 1;
                }
                logins
            });
        }
        Self { enough, people }
    }

    /// How many logins it has been.
    async fn ends(self) -> usize {
        self.enough.cancel();
        self.people.join_all().await.into_iter().sum()
    }
}

/// As [`logs_in`], while moves may fail that are then made again.
async fn logs_in_after_all(gateway: &Replica, callback: &Replica, page: &mut Page) {
    let person = somebody();
    let claim = claims_after_all(callback, page, &person).await;
    assert!(matches!(claim, Claim::Claimed { .. } | Claim::Repeated { .. }), "{claim:?}");
    assert_eq!(within_time(FOUND, "a page to be told", page.watch.changed()).await, Change::Scanned);
    let request = Uuid::new_v4();
    let redeemed = async {
        loop {
            match gateway.backplane().redeem(&page.session.code(), request).await {
                Ok(scan) => return scan.expect("the scan was answered"),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let scan = within_time(FOUND, "a code to be redeemed", redeemed).await;
    assert_eq!((scan.by, scan.scene), (person, page.code.scene.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_logs_in_while_slots_move() {
    let cluster = RedisCluster::start().await;
    let crowd = Crowd::begins(&cluster, 0).await;
    let inbox = inbox(&cluster).await;
    for number in 0..40 {
        cluster.migrate(&format!("scanlogin:{{{number}}}:login")).await;
        if number % 10 == 0 {
            cluster.migrate(&inbox).await;
        }
    }
    let logins = crowd.ends().await;
    assert!(logins > 50, "{logins}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_logs_in_while_a_primary_gives_all_its_slots_away() {
    let cluster = RedisCluster::start().await;
    let crowd = Crowd::begins(&cluster, 0).await;
    let inbox = inbox(&cluster).await;
    cluster.empty_the_primary_of(&inbox).await;
    is_heard_sharded(&cluster, &inbox).await;
    let logins = crowd.ends().await;
    assert!(logins > 50, "{logins}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_logs_in_while_primaries_die_and_hang() {
    let mut cluster = RedisCluster::start_with_replicas().await;
    let crowd = Crowd::begins(&cluster, 1).await;
    let inbox = inbox(&cluster).await;
    let died = cluster.fail_over("scanlogin:{a}:login").await;
    cluster.bring_back(died).await;
    let hung = cluster.fail_over_by_hanging(&inbox).await;
    cluster.bring_back(hung).await;
    is_heard_sharded(&cluster, &inbox).await;
    let logins = crowd.ends().await;
    assert!(logins > 50, "{logins}");
}
