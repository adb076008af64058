//! `GET`: the platform verifies the address.

use axum::http::{Method, StatusCode, header};

use crate::platform::{MAX_SKEW, Platform, Push, now, safe};

fn call(timestamp: u64) -> Push {
    Push::plain(&timestamp.to_string(), "").without("openid")
}

#[tokio::test]
async fn c6_a_right_signature_gets_the_echostr_and_nothing_else() {
    let platform = Platform::new(safe());
    for echostr in ["4375120948345356249", "0012", "<b>&amp;</b>", "你好", ""] {
        let encoded: String = echostr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = platform.verified(&call(now()).with("echostr", &encoded)).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, echostr));
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
    }
}

#[tokio::test]
async fn c6_a_wrong_signature_gets_403_and_no_echo() {
    let platform = Platform::new(safe());
    let good = call(now()).with("echostr", "4375120948345356249");
    let wrong = [
        good.clone().replacing("signature", &"0".repeat(40)),
        good.clone().replacing("signature", ""),
        good.clone().replacing("nonce", "1"),
        good.clone().without("signature"),
        good.clone().without("timestamp"),
        good.clone().without("nonce"),
        good.clone().with("signature", &"0".repeat(40)),
        good.clone().with("echostr", "1"),
    ];
    for (index, call) in wrong.into_iter().enumerate() {
        let answer = platform.verified(&call).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::FORBIDDEN, ""), "{index}");
    }
    assert_eq!(platform.verified(&good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn c3_a_stale_verification_gets_403() {
    let platform = Platform::new(safe());
    for (timestamp, status) in [
        (now() - MAX_SKEW.as_secs() - 5, StatusCode::FORBIDDEN),
        (now() + MAX_SKEW.as_secs() + 5, StatusCode::FORBIDDEN),
        (now() - MAX_SKEW.as_secs() + 5, StatusCode::OK),
        (now() + MAX_SKEW.as_secs() - 5, StatusCode::OK),
    ] {
        assert_eq!(platform.verified(&call(timestamp).with("echostr", "1")).await.status, status);
    }
}

#[tokio::test]
async fn an_echostr_that_is_missing_or_endless_gets_400() {
    let platform = Platform::new(safe());
    assert_eq!(platform.verified(&call(now())).await.status, StatusCode::BAD_REQUEST);
    let endless = call(now()).with("echostr", &"1".repeat(2000));
    assert_eq!(platform.verified(&endless).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn other_methods_get_405_with_allow() {
    let platform = Platform::new(safe());
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = platform.asked(method, &call(now())).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        let allow = answer.headers[header::ALLOW].to_str().unwrap();
        assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    }
}
