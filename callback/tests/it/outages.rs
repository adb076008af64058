//! C9: the backplane is down or hangs.

use std::time::{Duration, Instant};

use shared::admin::Report;
use shared::backplane::{Backplane, RedisBackplane, Role};
use shared::login::{Scene, SessionId};
use shared::settings::Secret;
use tokio::net::TcpListener;

use crate::platform::{ALICE, GREETING, Platform, RETRY, event, message, safe};

/// Whatever happens to Redis, each of these has this answer in time.
async fn answers_in_time(url: &str) {
    let redis = RedisBackplane::connect(&Secret::new(url), Role::Moves).unwrap();
    let platform = Platform::on(safe(), Backplane::Redis(redis));
    let scene = Scene::random(&SessionId::random()).expose();
    let cases = [
        (event(ALICE, "SCAN", &scene, Some("gQ")), Some(RETRY)),
        (event(ALICE, "subscribe", &format!("qrscene_{scene}"), Some("gQ")), Some(RETRY)),
        (event(ALICE, "subscribe", "", None), Some(GREETING)),
        (message(ALICE, "text", ""), Some(GREETING)),
        (event(ALICE, "unsubscribe", "", None), None),
        (event(ALICE, "CLICK", "", None), None),
    ];
    for (message, expected) in cases {
        let start = Instant::now();
        assert_eq!(platform.shown(&message).await.as_deref(), expected, "{message}");
        assert!(start.elapsed() < Duration::from_millis(4500), "{:?} {message}", start.elapsed());
    }
    assert_eq!(platform.callback.report(), Report { ready: true, wrong: vec!["backplane_unreachable"] });
}

#[tokio::test]
async fn c9_redis_down_gets_an_answer_in_time_that_never_says_succeeded() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    answers_in_time(&format!("redis://{address}")).await;
}

#[tokio::test]
async fn c9_redis_hanging_gets_an_answer_in_time_that_never_says_succeeded() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The kernel accepts for it; nobody ever reads.
    answers_in_time(&format!("redis://{}", silent.local_addr().unwrap())).await;
}

#[tokio::test]
async fn a_callback_is_ready_unless_it_drains() {
    let platform = Platform::new(safe());
    assert_eq!(platform.callback.report(), Report { ready: true, wrong: vec![] });
    platform.callback.clone().drain();
    assert_eq!(platform.callback.report(), Report { ready: false, wrong: vec!["draining"] });
    assert_eq!(
        platform.shown(&message(ALICE, "text", "")).await.as_deref(),
        Some(GREETING),
        "calls are answered"
    );
}
