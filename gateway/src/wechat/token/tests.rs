//! Tokens that end, fail, and come again.

use std::collections::VecDeque;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time;

use super::*;
use crate::wechat::Platform;

const LIFE: Duration = Duration::from_secs(7200);

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn held(text: &str, life: Duration, asked: Instant) -> Held {
    Held { token: Some(Token::new(secret(text), life, asked)), ..Held::default() }
}

#[test]
fn a_token_is_renewed_two_minutes_before_its_end_and_used_until_then() {
    let asked = Instant::now();
    let mut held = held("t", LIFE, asked);
    let mut at = |seconds| held.good(None, asked + Duration::from_secs(seconds)).map(|(_, is_due)| is_due);
    assert_eq!(
        [0, 7079, 7080, 7199, 7200].map(&mut at),
        [Some(false), Some(false), Some(true), Some(true), None]
    );
}

#[test]
fn a_token_whose_life_is_short_is_not_renewed_at_once() {
    let asked = Instant::now();
    let mut held = held("t", Duration::from_secs(60), asked);
    assert_eq!(held.good(None, asked + Duration::from_secs(29)), Some((secret("t"), false)));
}

#[test]
fn only_the_token_that_failed_is_forgotten() {
    let asked = Instant::now();
    let mut held = held("second", LIFE, asked);
    assert!(held.good(Some(&secret("first")), asked).is_some());
    assert!(held.good(Some(&secret("second")), asked).is_none());
    assert!(held.good(None, asked).is_none(), "nobody else gets it either");
}

/// A platform whose API is there.
fn platform(api_base: String) -> Platform {
    // Fails only if another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Platform::new(Account { app_id: "wx0".into(), app_secret: secret("s"), api_base }).unwrap()
}

#[tokio::test]
async fn a_renewal_that_fails_costs_nobody_the_token_that_is_good_yet() {
    // Nobody listens there.
    let tokens = platform("http://127.0.0.1:1".to_owned()).tokens;
    let (text, renew_at) = (secret("old"), Instant::now());
    tokens.0.held().token =
        Some(Token { text, asked: renew_at, renew_at, ends: renew_at + Duration::from_secs(60) });
    assert_eq!(tokens.get().await.unwrap(), secret("old"));
    let mut renewal = tokens.0.held().fetch.clone().expect("a fetch is under way");
    assert_eq!(tokens.get().await.unwrap(), secret("old"));
    assert!(tokens.0.held().fetch.as_ref().unwrap().same_channel(&renewal), "and only one");
    let outcome = renewal.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(matches!(outcome, Err(Error::Unreachable(_))), "{outcome:?}");
    assert_eq!(tokens.get().await.unwrap(), secret("old"), "while the endpoint rests");
    let error = tokens.replace(&secret("old")).await.unwrap_err();
    assert!(matches!(error, Error::Resting { .. }), "{error:?}");
    assert!(tokens.get().await.is_err(), "a token that failed is no token");
}

/// A token endpoint that gives these tokens, one after the other. Each waits until it may go.
async fn giving(texts: &[&'static str], gate: Arc<Semaphore>) -> Tokens {
    let texts = Arc::new(Mutex::new(texts.iter().copied().collect::<VecDeque<_>>()));
    let give = move || {
        let text = texts.lock().unwrap().pop_front().expect("nobody asks more often");
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Json(json!({ "access_token": text, "expires_in": 7200 }))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/cgi-bin/stable_token", post(give));
    tokio::spawn(async move { axum::serve(listener, router).await });
    platform(format!("http://{address}")).tokens
}

#[tokio::test]
async fn a_renewal_that_began_before_the_token_failed_proves_nothing() {
    let gate = Arc::new(Semaphore::new(0));
    let tokens = giving(&["old", "new"], gate.clone()).await;
    let (text, renew_at) = (secret("old"), Instant::now());
    tokens.0.held().token = Some(Token { text, asked: renew_at, renew_at, ends: renew_at + LIFE });
    assert_eq!(tokens.get().await.unwrap(), secret("old"), "and its renewal begins");
    let failed = secret("old");
    let replaced = async {
        tokio::join!(tokens.replace(&failed), async {
            // The other one has joined the renewal by now.
            assert!(tokens.0.held().token.is_none() && tokens.0.held().fetch.is_some());
            gate.add_permits(2);
        })
    };
    let (replaced, ()) = time::timeout(Duration::from_secs(10), replaced).await.unwrap();
    assert_eq!(replaced.unwrap(), secret("new"));
}

#[tokio::test]
async fn a_token_that_is_given_again_costs_one_fetch_however_late_its_victims_are() {
    let tokens = giving(&["old", "old", "new"], Arc::new(Semaphore::new(3))).await;
    let old = tokens.get().await.unwrap();
    for _ in 0..10 {
        let error = tokens.replace(&old).await.unwrap_err();
        assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
        assert_eq!(tokens.get().await.unwrap(), old, "there is no other");
    }
    tokens.0.held().given_again = None;
    assert_eq!(tokens.replace(&old).await.unwrap(), secret("new"));
}

#[test]
fn that_a_token_was_given_again_is_forgotten_before_the_rest_of_its_victims_ends() {
    let at = Instant::now();
    let held = Held { given_again: Some((secret("old"), at)), ..Held::default() };
    let remembers = |text, millis| held.was_given_again(&secret(text), at + Duration::from_millis(millis));
    assert_eq!([0, 9_999, 10_000].map(|millis| remembers("old", millis)), [true, true, false]);
    assert!(!remembers("new", 0));
    assert!(GIVEN_AGAIN_FOR > CALL_TIMEOUT);
}
