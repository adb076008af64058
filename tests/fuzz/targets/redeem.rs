//! Redeeming, from the request to the answer: who has the secret and a good code gets the identity once, everybody else
//! gets the status that the reference names. Line: `Authorization`, where `$SECRET` is the secret. The rest is the body:
//! `$CODE` is the code of a login that was scanned, `$WAITING` of one that was not.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request};
use fuzz::account::{CONTENT, Login};
use fuzz::gateway::{BACKPLANE, GATEWAY, RUNTIME, SECRET};
use fuzz::lines;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tower::ServiceExt;

static ROUTER: LazyLock<Router> = LazyLock::new(|| GATEWAY.router());
const OPENID: &str = "oSim0_1a2B3c4D5e6F7g8H9i0JkL";

fuzz_target!(|input: &[u8]| -> Corpus {
    let input = String::from_utf8_lossy(input);
    RUNTIME.block_on(async { tokio::time::timeout(Duration::from_secs(8), run(&input)).await.unwrap() })
});

async fn run(input: &str) -> Corpus {
    let [authorization, body] = lines(input);
    let login = Login::open(&BACKPLANE, CONTENT).await;
    login.scan(&BACKPLANE, OPENID).await;
    let waiting = Login::open(&BACKPLANE, CONTENT).await;
    let code = login.session.code().expose();
    let body = body.replace("$CODE", &code).replace("$WAITING", &waiting.session.code().expose());
    let Ok(header) = HeaderValue::from_str(&authorization.replace("$SECRET", SECRET)) else {
        return Corpus::Reject;
    };

    let is_ours = header.to_str().is_ok_and(|text| {
        text.split_once(' ')
            .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token.trim() == SECRET)
    });
    let object: Option<Value> = serde_json::from_str(&body).ok().filter(Value::is_object);
    let given = object.as_ref().and_then(|object| object["code"].as_str());
    let expected = match given {
        _ if !is_ours => [401; 2],
        _ if body.len() > 4096 => [413; 2],
        None => [400; 2],
        Some(given) if given == code => [200, 410],
        Some(_) => [410; 2],
    };
    for expected in expected {
        let (status, answer) = redeem(&header, &body).await;
        assert_eq!(status, expected, "{answer}");
        let has = |name: &str| answer.get(name).is_some();
        assert_eq!((has("error"), has("openid"), has("unionid")), (status != 200, status == 200, false));
        assert!(status != 200 || answer["openid"] == OPENID && answer["login_count"].is_u64());
    }
    Corpus::Keep
}

async fn redeem(authorization: &HeaderValue, body: &str) -> (u16, Value) {
    let mut request = Request::post("/api/redeem").body(Body::from(body.to_owned())).unwrap();
    request.headers_mut().insert("authorization", authorization.clone());
    let response = ROUTER.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let answer = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, serde_json::from_slice(&answer).unwrap())
}
