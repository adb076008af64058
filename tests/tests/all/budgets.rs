//! Budgets that all replicas share, held against every backplane.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use shared::backplane::{Budget, Exhausted, Role};
use shared::login::Timestamp;
use tests::patience::until;
use tests::redis::RedisServer;
use tests::replica::{Replica, Store};
use tokio::time::Instant;

/// What a busy machine and two clocks may be off by.
const SLACK: Duration = Duration::from_secs(5);

tests::on_every_backplane! {
    a_crowd_on_two_replicas_gets_exactly_the_size_of_the_budget,
    who_waits_as_long_as_told_gets_the_next_one,
    a_days_budget_is_refused_until_midnight_in_beijing,
    an_empty_budget_keeps_the_others_full,
    all_rates_of_a_budget_hold,
    what_is_given_back_can_be_taken_again,
    names_have_budgets_of_their_own,
}

fn budget(name: &str, rates: &str) -> Budget {
    Budget::new(name, rates.parse().unwrap())
}

async fn two(store: &Store) -> [Replica; 2] {
    [store.gateway().await, store.gateway().await]
}

async fn a_crowd_on_two_replicas_gets_exactly_the_size_of_the_budget(store: Store) {
    let replicas = two(&store).await;
    for rates in ["7/h", "7/day", "50/h,7/day"] {
        let seven = [budget(rates, rates)];
        let asked = replicas.iter().cycle().take(100).map(|replica| replica.takes(&seven));
        let granted = join_all(asked).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(granted, 7, "{rates}");
    }
}

async fn who_waits_as_long_as_told_gets_the_next_one(store: Store) {
    let replica = store.gateway().await;
    // A token each 333.3 ms.
    let three = [budget("somebody", "3/s")];
    let (asked, retry_after) = loop {
        let asked = Instant::now();
        if let Err(Exhausted { retry_after, .. }) = replica.takes(&three).await {
            break (asked, retry_after);
        }
    };
    assert!(!retry_after.is_zero() && retry_after <= Duration::from_millis(334), "{retry_after:?}");
    until("the next token", async || replica.takes(&three).await.is_ok()).await;
    // A clock of whole milliseconds stands behind it.
    assert!(asked.elapsed() + Duration::from_millis(2) >= retry_after, "{:?}", asked.elapsed());
}

async fn a_days_budget_is_refused_until_midnight_in_beijing(store: Store) {
    let (replica, one) = (store.gateway().await, [budget("all", "1/day")]);
    replica.takes(&one).await.unwrap();
    let refused = replica.takes(&one).await.unwrap_err();
    let beijing = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 8 * 3600;
    let midnight = Duration::from_secs(86_400 - beijing % 86_400);
    assert!(refused.retry_after.abs_diff(midnight) < SLACK, "{refused:?}, {midnight:?}");
}

async fn an_empty_budget_keeps_the_others_full(store: Store) {
    let replica = store.gateway().await;
    let (one, all) = (budget("one", "2/h"), budget("all", "1/h"));
    let both = [one.clone(), all];
    replica.takes(&both).await.unwrap();
    for _ in 0..5 {
        let refused = replica.takes(&both).await.unwrap_err();
        assert_eq!(refused.budget, 1, "{refused:?}");
        assert!(Duration::from_secs(3600).abs_diff(refused.retry_after) < SLACK, "{refused:?}");
    }
    replica.takes(std::slice::from_ref(&one)).await.unwrap();
    replica.takes(&[one]).await.unwrap_err();
    // Both are empty now, the first of them for half as long.
    assert_eq!(replica.takes(&both).await.unwrap_err().budget, 1);
}

async fn all_rates_of_a_budget_hold(store: Store) {
    let (replica, somebody) = (store.gateway().await, [budget("somebody", "60/h,3/day")]);
    for _ in 0..3 {
        replica.takes(&somebody).await.unwrap();
    }
    replica.takes(&somebody).await.unwrap_err();
}

async fn what_is_given_back_can_be_taken_again(store: Store) {
    let [replica, another] = two(&store).await;
    for rates in ["1/h", "1/day"] {
        let one = [budget(rates, rates)];
        for _ in 0..3 {
            let taken = replica.takes(&one).await.unwrap();
            another.takes(&one).await.unwrap_err();
            another.gives_back(taken).await;
        }
        replica.takes(&one).await.unwrap();
        replica.takes(&one).await.unwrap_err();
    }
}

async fn names_have_budgets_of_their_own(store: Store) {
    let replica = store.gateway().await;
    for name in
        ["client:203.0.113.7", "client:203.0.113.8", "client:2001:db8:1:2::", "network:203.0.113.0/24"]
    {
        replica.takes(&[budget(name, "1/h")]).await.unwrap();
        replica.takes(&[budget(name, "1/h")]).await.unwrap_err();
    }
}

#[tokio::test]
async fn without_the_server_each_replica_counts_alone() {
    let (redis, two) = (RedisServer::start().await, [budget("somebody", "2/h")]);
    let replicas = [
        Replica::connect(&redis.url(), Role::Watches).await,
        Replica::connect(&redis.url(), Role::Watches).await,
    ];
    redis.relay().cut();
    for replica in &replicas {
        replica.becomes_unreachable().await;
        replica.takes(&two).await.unwrap();
        replica.takes(&two).await.unwrap();
        replica.takes(&two).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_is_given_back_makes_no_more_than_the_whole() {
    let redis = RedisServer::start().await;
    let replica = Replica::connect(&redis.url(), Role::Watches).await;
    for rates in ["1/h", "1/day"] {
        let one = [budget("somebody", rates)];
        let taken = replica.takes(&one).await.unwrap();
        // It is whole again before it gets that one back.
        redis.ask(&["DEL", "scanlogin:{budget}:somebody"]).await;
        replica.gives_back(taken).await;
        replica.takes(&one).await.unwrap();
        replica.takes(&one).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_was_taken_alone_is_given_back_to_nobody_else() {
    let (redis, two) = (RedisServer::start().await, [budget("somebody", "2/h")]);
    let replica = Replica::connect(&redis.url(), Role::Watches).await;
    replica.takes(&two).await.unwrap();
    redis.relay().cut();
    replica.becomes_unreachable().await;
    let alone = replica.takes(&two).await.unwrap();
    replica.takes(&two).await.unwrap();
    redis.relay().heal();
    replica.becomes_reachable().await;
    replica.gives_back(alone).await;
    replica.takes(&two).await.unwrap();
    replica.takes(&two).await.expect_err("the server has given two");
    redis.relay().cut();
    replica.becomes_unreachable().await;
    replica.takes(&two).await.expect("it was given back here");
    replica.takes(&two).await.unwrap_err();
}

#[tokio::test]
async fn a_server_whose_clock_went_back_keeps_nobody_waiting_for_longer_than_an_empty_budget() {
    let redis = RedisServer::start().await;
    let replica = Replica::connect(&redis.url(), Role::Watches).await;
    // What a clock that is a year ahead has left behind.
    let year = (Timestamp::of_this_machine().0 + 31_536_000_000).to_string();
    redis.ask(&["HSET", "scanlogin:{budget}:somebody", "1/3600000", &year]).await;
    let refused = replica.takes(&[budget("somebody", "1/h")]).await.unwrap_err();
    assert!(refused.retry_after <= Duration::from_secs(3600), "{refused:?}");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_in_redis_and_the_rest_ends_by_itself() {
    let redis = RedisServer::start().await;
    let replica = Replica::connect(&redis.url(), Role::Watches).await;
    let all = budget("total", "1/h");
    replica.takes(&[budget("client:203.0.113.7", "20/min"), all.clone()]).await.unwrap();
    for last in 0..20 {
        let flood = budget(&format!("client:192.0.2.{last}"), "20/min");
        replica.takes(&[flood, all.clone()]).await.unwrap_err();
    }
    assert_eq!(redis.ask(&["DBSIZE"]).await, "2");
    // A token of 20 a minute is back in 3 s, the one of an hour in an hour.
    for (key, at_most) in [("client:203.0.113.7", 3_000), ("total", 3_600_000)] {
        let left: i64 = redis.ask(&["PTTL", &format!("scanlogin:{{budget}}:{key}")]).await.parse().unwrap();
        assert!(left <= at_most && left != -1, "{key}: {left}");
    }
    let days = budget("day", "5/day");
    replica.takes(&[days]).await.unwrap();
    let left: i64 = redis.ask(&["PTTL", "scanlogin:{budget}:day"]).await.parse().unwrap();
    assert!((1..=86_400_000).contains(&left), "{left}");
}
