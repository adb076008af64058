//! C3 in plain mode, where the signature does not cover the message: it is good for the first one that came with it.

use axum::http::StatusCode;
use callback::Mode;
use callback::cipher::AesKey;

use crate::platform::{
    ALICE, APP_ID, BOB, GREETING, KEY, OURS, Platform, Push, compatible, event, message, now, safe, success,
};

/// What somebody might want to post who has seen the query of a push: each is another message.
fn forgeries(scan: &str) -> Vec<String> {
    vec![
        scan.replace(ALICE, BOB),
        event(ALICE, "unsubscribe", "", None),
        message(BOB, "text", "<Content><![CDATA[hello]]></Content>"),
        event(BOB, "CLICK", "", None),
        format!("{scan}\n"),
        "<xml/>".to_owned(),
        String::new(),
    ]
}

/// Each message gets 403 with the signature of `seen`, on every replica.
async fn refused(replicas: [&Platform; 2], seen: &Push, messages: impl IntoIterator<Item = String>) {
    for message in messages {
        for replica in replicas {
            let answer = replica.answer(seen.clone().with_body(message.clone())).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::FORBIDDEN, ""), "{message}");
        }
    }
}

#[tokio::test]
async fn c3_in_plain_mode_a_known_signature_with_another_message_is_refused_on_every_replica() {
    let platform = Platform::new(Mode::Plain);
    let another = platform.another(Mode::Plain);
    let (login, others) = (platform.login().await, platform.login().await);
    let push = platform.push(&login.scan(ALICE));
    assert_eq!(platform.answer(push.clone()).await.shown(&platform), Some(success(1)));
    let forged = forgeries(&login.scan(ALICE)).into_iter();
    refused([&platform, &another], &push, forged.chain([others.scan(BOB), others.scan(ALICE)])).await;
    assert_eq!(platform.claimed_by(&login).await.unwrap().expose(), ALICE);
    assert!(platform.claimed_by(&others).await.is_none());
    for replica in [&another, &platform] {
        let answer = replica.answer(push.clone()).await;
        assert_eq!(answer.shown(replica), Some(success(1)), "a repeat gets the first answer");
    }
    // She was not forgotten either.
    assert_eq!(another.shown(&others.scan(ALICE)).await, Some(success(2)));
}

#[tokio::test]
async fn c3_in_plain_mode_no_kind_of_message_leaves_its_signature_to_another() {
    let platform = Platform::new(Mode::Plain);
    let another = platform.another(Mode::Plain);
    let login = platform.login().await;
    let to_another = message(ALICE, "text", "").replace(OURS, "gh_another");
    let harmless = [
        (message(ALICE, "text", "<Content><![CDATA[hello]]></Content>"), StatusCode::OK),
        (event(ALICE, "CLICK", "", None), StatusCode::OK),
        (event(ALICE, "subscribe", "", None), StatusCode::OK),
        (event(ALICE, "unsubscribe", "", None), StatusCode::OK),
        (to_another, StatusCode::FORBIDDEN),
        ("<xml>".to_owned(), StatusCode::BAD_REQUEST),
        (String::new(), StatusCode::BAD_REQUEST),
        ("<xml><Encrypt>AAAA</Encrypt></xml>".to_owned(), StatusCode::FORBIDDEN),
    ];
    for (message, status) in harmless {
        let push = platform.push(&message);
        assert_eq!(platform.answer(push.clone()).await.status, status, "{message}");
        refused([&platform, &another], &push, [login.scan(BOB)]).await;
        assert_eq!(another.answer(push).await.status, status, "{message}");
    }
    // A push of another mode, which is refused by its query.
    let encrypted = platform.push("<xml/>").with("encrypt_type", "aes").with("msg_signature", "0");
    assert_eq!(platform.answer(encrypted.clone()).await.status, StatusCode::FORBIDDEN);
    let stripped = encrypted.without("encrypt_type").without("msg_signature");
    refused([&platform, &another], &stripped, [login.scan(BOB)]).await;
    assert!(platform.claimed_by(&login).await.is_none());
    assert_eq!(platform.shown(&login.scan(ALICE)).await, Some(success(1)));
}

#[tokio::test]
async fn c3_in_plain_mode_another_spelling_is_the_same_signature() {
    let platform = Platform::new(Mode::Plain);
    let another = platform.another(Mode::Plain);
    let login = platform.login().await;
    // The signed text has no separators, and its parts are sorted: a nonce that looks like a fresh timestamp can change
    // places with it.
    let (timestamp, nonce) = (now().to_string(), (now() + 1).to_string());
    let hello = message(ALICE, "text", "");
    let push = Push::plain_with(&timestamp, &nonce, &hello);
    assert_eq!(platform.answer(push.clone()).await.shown(&platform).as_deref(), Some(GREETING));
    let exchanged = Push::plain_with(&nonce, &timestamp, &hello);
    let signature = push.query[0].1.clone();
    assert_eq!(exchanged.query[0].1, signature);
    refused([&platform, &another], &exchanged, [login.scan(BOB)]).await;
    let upper_case = push.clone().replacing("signature", &signature.to_uppercase());
    refused([&platform, &another], &upper_case, [login.scan(BOB)]).await;
    let other_parameters = push.clone().without("openid").with("encrypt_type", "raw").with("x", "1");
    refused([&platform, &another], &other_parameters, [login.scan(BOB)]).await;
    assert!(platform.claimed_by(&login).await.is_none());
    for same in [exchanged, upper_case, other_parameters] {
        assert_eq!(another.answer(same).await.shown(&another).as_deref(), Some(GREETING));
    }
}

#[tokio::test]
async fn c3_in_plain_mode_a_verifications_signature_is_good_for_nothing_else() {
    let platform = Platform::new(Mode::Plain);
    let another = platform.another(Mode::Plain);
    let login = platform.login().await;
    let verification = platform.push("").without("openid").with("echostr", "4375120948345356249");
    let answer = platform.verified(&verification).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "4375120948345356249"));
    refused([&platform, &another], &verification, [login.scan(BOB), String::new()]).await;
    refused([&platform, &another], &verification.clone().without("echostr"), [login.scan(BOB)]).await;
    for replica in [&another, &platform] {
        let echoed = replica.verified(&verification).await;
        assert_eq!((echoed.status, echoed.body.as_str()), (StatusCode::OK, "4375120948345356249"));
        let other = verification.clone().replacing("echostr", "<b>");
        let mirrored = replica.verified(&other).await;
        assert_eq!((mirrored.status, mirrored.body.as_str()), (StatusCode::FORBIDDEN, ""));
    }
    // Nor is one whose answer was 400, and a push's is none for a verification.
    let without = platform.push("");
    assert_eq!(platform.verified(&without).await.status, StatusCode::BAD_REQUEST);
    refused([&platform, &another], &without, [login.scan(BOB)]).await;
    let push = platform.push(&login.scan(ALICE));
    assert_eq!(platform.answer(push.clone()).await.shown(&platform), Some(success(1)));
    assert_eq!(another.verified(&push.with("echostr", "1")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn c3_where_the_signature_covers_the_message_two_may_share_a_nonce() {
    for mode in [safe(), compatible()] {
        let platform = Platform::new(mode);
        let (first, second) = (platform.login().await, platform.login().await);
        let (timestamp, key) = (now().to_string(), AesKey::parse(KEY).unwrap());
        for (count, login) in [(1, &first), (2, &second)] {
            let encrypted = key.encrypt([7; 16], login.scan(ALICE).as_bytes(), APP_ID);
            let push = Push::encrypted_with(&timestamp, "1234567890", &encrypted, "");
            assert_eq!(platform.answer(push).await.shown(&platform), Some(success(count)));
        }
    }
}
