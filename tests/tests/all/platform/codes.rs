//! Making QR codes, and what is said of it when there is none.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::routing::post;

use super::*;

#[tokio::test]
async fn a1_a_crowd_takes_turns_at_the_platform() {
    let world = World::new().await;
    makes_a_code(&world.client).await.unwrap();
    world.suffers(json!({ "latency_ms": 300 })).await;
    let began = Instant::now();
    let crowd = join_all((0..200).map(|_| makes_a_code(&world.client))).await;
    assert!(crowd.iter().all(Result::is_ok));
    // Sixty-four at once, so the last of them had to wait three times.
    assert!(began.elapsed() >= Duration::from_millis(4 * 300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn refusals_tell_the_operator_what_to_do() {
    let world = World::warm().await;
    let advice = [
        (48001, "测试号"),
        (45009, "quota"),
        (40013, "WECHAT_APP_ID"),
        (50007, "frozen"),
        (99999, "return codes"),
    ];
    for (errcode, says) in advice {
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1, "path": CREATE}})).await;
        let said = makes_a_code(&world.replica()).await.unwrap_err().to_string();
        assert!(said.contains(says) && said.contains(&errcode.to_string()), "{said}");
    }
    world.suffers(json!({"ip_not_allowed": true})).await;
    let said = makes_a_code(&world.replica()).await.unwrap_err().to_string();
    assert!(said.contains("IP白名单") && said.contains("invalid ip"), "{said}");
    world.suffers(json!({"reset": true, "secret_reset": true})).await;
    let said = makes_a_code(&world.replica()).await.unwrap_err().to_string();
    assert!(said.contains("WECHAT_APP_SECRET"), "{said}");
    assert!(!said.contains(world.account.app_secret.expose()), "{said}");
}

#[tokio::test]
async fn garbage_and_broken_connections_are_errors_and_the_next_call_works() {
    let world = World::warm().await;
    world.suffers(json!({"not_json": {"calls": 1}})).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable(_) | Error::Status(_)), "{error:?}");
    world.suffers(json!({"connection_reset": {"calls": 1}})).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(!error.to_string().contains("access_token"), "{error}");
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.calls(CREATE).await, 4, "none was repeated");
}

#[tokio::test]
async fn a_platform_that_does_not_answer_is_given_up_and_the_call_not_repeated() {
    let world = World::warm().await;
    world.suffers(json!({"latency_ms": 60_000})).await;
    let error =
        within_time(Duration::from_secs(8), "the time-out", makes_a_code(&world.client)).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable(why) if why == "no answer in time"), "{error:?}");
}

#[tokio::test]
async fn a_crowd_that_gets_no_turn_is_told_so_and_has_made_nothing() {
    let world = World::warm().await;
    world.suffers(json!({"latency_ms": 60_000})).await;
    let hanging = join_all((0..CODES_AT_ONCE).map(|_| makes_a_code(&world.client)));
    let late = async {
        world.hears(CREATE, 1 + CODES_AT_ONCE).await;
        within_time(CALL_TIMEOUT, "the refusal", makes_a_code(&world.client)).await.unwrap_err()
    };
    let Either::Right((error, _)) = select(Box::pin(hanging), Box::pin(late)).await else {
        panic!("who came first was told first")
    };
    assert!(matches!(error, Error::Crowded) && error.made_nothing(), "{error:?}");
    assert_eq!(world.arrived.lock().unwrap()[CREATE], 1 + CODES_AT_ONCE);
}

/// The base URL of an API that takes every token, answers whoever asks for one with `granted` and each call for a code
/// with `created`; and the number of those calls.
pub(crate) async fn api_that_answers(granted: Value, created: Value) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::<AtomicUsize>::default();
    let create = {
        let calls = calls.clone();
        move || async move {
            calls.fetch_add(1, Ordering::Relaxed);
            Json(created)
        }
    };
    let router = Router::new().route(STABLE_TOKEN, post(async || Json(granted))).route(CREATE, post(create));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api_base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (api_base, calls)
}

/// A token as the platform grants it.
pub(crate) fn granted() -> Value {
    json!({ "access_token": "token", "expires_in": 7200 })
}

#[tokio::test]
async fn answers_of_which_no_code_can_be_made_are_failures_and_make_it_rest() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for created in [
        json!({ "ticket": "", "url": "http://weixin.qq.com/q/1" }),
        json!({ "ticket": "ticket", "url": "" }),
        json!({ "ticket": "ticket", "url": "q".repeat(1000) }),
    ] {
        let (api_base, calls) = api_that_answers(granted(), created).await;
        let account = Account { app_id: "wx0".to_owned(), app_secret: Secret::new("secret"), api_base };
        let client = Platform::new(account).unwrap();
        for _ in 0..BORNE {
            let error = makes_a_code(&client).await.unwrap_err();
            assert!(matches!(error, Error::Unreadable(_)), "{error:?}");
        }
        let (cause, _) = rests(makes_a_code(&client).await.unwrap_err());
        assert!(matches!(cause, Error::Unreadable(_)), "{cause:?}");
        assert_eq!(calls.load(Ordering::Relaxed), BORNE);
    }
}
