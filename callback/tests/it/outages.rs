//! C9: the backplane is down or hangs.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use callback::Mode;
use futures_util::future::join_all;
use shared::admin::Report;
use shared::backplane::{Backplane, BackplaneSettings, RedisBackplane, Role};
use shared::login::{Scene, SessionId};
use shared::settings::Secret;
use tokio::net::TcpListener;

use crate::platform::{ALICE, GREETING, OURS, Platform, RETRY, compatible, event, message, safe};

/// What the contract gives an answer, whatever Redis does.
const ANSWER_TIME: Duration = Duration::from_millis(4500);

/// Whatever happens to Redis, each of these has this answer in time, in every mode.
async fn answers_in_time(url: &str) {
    // Beside one another, for each waits for Redis.
    tokio::join!(
        answers_in_time_in(safe(), url),
        answers_in_time_in(compatible(), url),
        answers_in_time_in(Mode::Plain, url),
    );
}

async fn answers_in_time_in(mode: Mode, url: &str) {
    let redis =
        RedisBackplane::connect(&Secret::new(url), Role::Moves, &BackplaneSettings::default()).unwrap();
    let platform = Platform::on(mode, Backplane::Redis(redis));
    let scene = Scene::random(&SessionId::random()).expose();
    let cases = [
        (event(ALICE, "SCAN", &scene, Some("gQ")), Some(RETRY)),
        (event(ALICE, "subscribe", &format!("qrscene_{scene}"), Some("gQ")), Some(RETRY)),
        (event(ALICE, "subscribe", "", None), Some(GREETING)),
        (message(ALICE, "text", ""), Some(GREETING)),
        (event(ALICE, "unsubscribe", "", None), None),
        (event(ALICE, "CLICK", "", None), None),
    ];
    // At first it is not known that Redis is away.
    for _ in 0..2 {
        let (platform, start) = (&platform, Instant::now());
        let answers = join_all(cases.iter().map(|(message, _)| platform.shown(message))).await;
        assert!(start.elapsed() < ANSWER_TIME, "{:?}", start.elapsed());
        for (answer, (message, expected)) in answers.iter().zip(&cases) {
            assert_eq!(answer.as_deref(), *expected, "{message}");
        }
    }
    let start = Instant::now();
    let verification = platform.push("").with("echostr", "0012");
    let (verified, malformed, another) = tokio::join!(
        platform.verified(&verification),
        platform.answer(platform.push("<xml>")),
        platform.answer(platform.push(&message(ALICE, "text", "").replace(OURS, "gh_another"))),
    );
    assert_eq!((verified.status, verified.body.as_str()), (StatusCode::OK, "0012"), "it moves nothing");
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(another.status, StatusCode::FORBIDDEN);
    assert!(start.elapsed() < ANSWER_TIME, "{:?}", start.elapsed());
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
