//! People log in while everything breaks that can; nothing happens that must not. docs/testing.md, "Chaos", has the long runs.

use tests::chaos::schedule::Kind;
use tests::chaos::{self, Plan};

async fn no_login_is_lost_doubled_or_misdelivered(kind: Kind, seed: u64) {
    let verdict = chaos::run(&Plan::short(kind, seed)).await;
    assert!(verdict.is_good() && verdict.is_a_test(), "{verdict}");
    // Of what cannot be judged honest runs have one accepted scan in a hundred.
    assert!(verdict.unjudged * 20 <= verdict.counts.accepted, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_redis_loses_no_login() {
    no_login_is_lost_doubled_or_misdelivered(Kind::Single, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_loses_no_login() {
    no_login_is_lost_doubled_or_misdelivered(Kind::Sentinel, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_no_login() {
    no_login_is_lost_doubled_or_misdelivered(Kind::Cluster, 1).await;
}
