//! What is refused with 403, and changes nothing.

use axum::http::StatusCode;
use callback::cipher::{AesKey, AesKeys};
use callback::{Config, Mode};

use crate::logs::Lines;
use crate::platform::{
    ALICE, APP_ID, BOB, KEY, Login, MAX_SKEW, OLD_KEY, OURS, Platform, Push, compatible, config, event,
    message, now, safe, success, token,
};

/// Each push is refused, none has moved the login, and the real scan still works.
async fn refused(platform: &Platform, login: &Login, pushes: impl IntoIterator<Item = Push>) {
    for (index, push) in pushes.into_iter().enumerate() {
        let answer = platform.answer(push).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::FORBIDDEN, ""), "push {index}");
        assert!(platform.claimed_by(login).await.is_none(), "push {index}");
    }
    assert_eq!(platform.shown(&login.scan(ALICE)).await, Some(success(1)));
}

#[tokio::test]
async fn c1_signature_missing_or_wrong_is_refused() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let push = platform.push(&login.scan(ALICE));
    let other = platform.push(&login.scan(BOB));
    let value = |push: &Push, name| push.query.iter().find(|pair| pair.0 == name).unwrap().1.clone();
    let timestamp = value(&push, "timestamp");
    let without_nonce =
        push.clone().replacing("nonce", "").replacing("signature", &token().sign(&timestamp, ""));
    let doubled = push.clone().with("nonce", &value(&push, "nonce"));
    let encrypted = encrypted_part(&push);
    let endless = Push::encrypted_with(&timestamp, &"1".repeat(129), &encrypted, "");
    let wrong = [
        push.clone().without("signature"),
        push.clone().without("timestamp"),
        push.clone().without("nonce"),
        push.clone().replacing("signature", ""),
        push.clone().replacing("signature", &"0".repeat(40)),
        push.clone().replacing("signature", &value(&push, "signature")[1..]),
        push.clone().replacing("signature", &value(&push, "msg_signature")),
        push.clone().replacing("msg_signature", &"0".repeat(40)),
        push.clone().replacing("msg_signature", &value(&push, "signature")),
        push.clone().replacing("msg_signature", &value(&other, "msg_signature")),
        push.clone().with_body(other.body.clone()),
        push.clone().replacing("nonce", &value(&other, "nonce")),
        doubled,
        endless,
        without_nonce.replacing("msg_signature", &token().sign_encrypted(&timestamp, "", &encrypted)),
    ];
    refused(&platform, &login, wrong).await;
}

fn encrypted_part(push: &Push) -> String {
    let body = String::from_utf8(push.body.clone()).unwrap();
    body.split("<Encrypt><![CDATA[").nth(1).unwrap().split("]]>").next().unwrap().to_owned()
}

#[tokio::test]
async fn c1_signature_alone_is_refused_too_when_it_is_wrong_in_plain_mode() {
    let platform = Platform::new(Mode::Plain);
    let login = platform.login().await;
    let push = platform.push(&login.scan(ALICE));
    let wrong = [push.clone().without("signature"), push.clone().replacing("signature", &"0".repeat(40))];
    refused(&platform, &login, wrong).await;
}

#[tokio::test]
async fn c2_safe_mode_refuses_whatever_is_not_encrypted() {
    for mode in [safe(), compatible()] {
        let platform = Platform::new(mode);
        let login = platform.login().await;
        let push = platform.push(&login.scan(ALICE));
        let plain = Push::plain(&now().to_string(), &login.scan(ALICE));
        let msg_signature = push.query.iter().find(|pair| pair.0 == "msg_signature").unwrap().1.clone();
        let wrong = [
            plain.clone(),
            plain.clone().with("encrypt_type", "raw"),
            plain.clone().with("encrypt_type", "aes"),
            plain.clone().with("encrypt_type", "aes").with("msg_signature", &msg_signature),
            push.clone().with_body(login.scan(ALICE)),
            push.clone().without("encrypt_type"),
            push.clone().replacing("encrypt_type", "raw"),
            push.clone().replacing("encrypt_type", "AES"),
            push.clone().without("msg_signature"),
        ];
        refused(&platform, &login, wrong).await;
    }
}

#[tokio::test]
async fn plain_nodes_beside_the_encrypted_part_are_never_read() {
    for mode in [safe(), compatible()] {
        let platform = Platform::new(mode);
        let login = platform.login().await;
        let key = AesKey::parse(KEY).unwrap();
        let encrypted = key.encrypt([7; 16], login.scan(ALICE).as_bytes(), APP_ID);
        let beside = login.scan(BOB).replace(&format!("<ToUserName><![CDATA[{OURS}]]></ToUserName>"), "");
        let beside = beside.trim_start_matches("<xml>").trim_end_matches("</xml>").to_owned();
        let answer = platform.answer(Push::encrypted(&now().to_string(), &encrypted, &beside)).await;
        assert_eq!(answer.shown(&platform), Some(success(1)), "and the answer is encrypted");
        assert_eq!(platform.claimed_by(&login).await.unwrap().expose(), ALICE);
    }
}

#[tokio::test]
async fn plain_mode_takes_plain_pushes_and_refuses_encrypted_ones() {
    let platform = Platform::new(Mode::Plain);
    let login = platform.login().await;
    let encrypted = AesKey::parse(KEY).unwrap().encrypt([7; 16], login.scan(ALICE).as_bytes(), APP_ID);
    let push = platform.push(&login.scan(ALICE));
    let beside = login.scan(ALICE).replace("</xml>", &format!("<Encrypt>{encrypted}</Encrypt></xml>"));
    let wrong = [
        Push::encrypted(&now().to_string(), &encrypted, ""),
        Push::encrypted(&now().to_string(), &encrypted, "").without("encrypt_type"),
        push.clone().with("encrypt_type", "aes"),
        push.clone().with_body(beside),
        push.clone().with_body("<xml><Encrypt/></xml>"),
    ];
    refused(&platform, &login, wrong).await;
    let again = platform.push(&login.scan(ALICE)).with("encrypt_type", "raw");
    assert_eq!(platform.answer(again).await.shown(&platform), Some(success(1)));
}

#[tokio::test]
async fn c3_a_timestamp_outside_the_window_is_refused() {
    let (lines, _guard) = Lines::capture();
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let encrypted = platform.key.as_ref().unwrap().encrypt([7; 16], login.scan(ALICE).as_bytes(), APP_ID);
    let now = now();
    let signed = |timestamp: String| Push::encrypted(&timestamp, &encrypted, "");
    let wrong = [
        signed((now - MAX_SKEW.as_secs() - 5).to_string()),
        signed((now + MAX_SKEW.as_secs() + 5).to_string()),
        signed(String::new()),
        signed("0".to_owned()),
        signed(format!("0{now}")),
        signed(format!("+{now}")),
        signed(format!("{now}.0")),
        signed(format!("{now}000")),
        signed("99999999999999999999999999".to_owned()),
    ];
    for push in wrong {
        lines.take();
        // Each on a replica of its own, for the lines of one are bounded.
        let answer = platform.another(safe()).answer(push).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::FORBIDDEN, ""));
        let line = lines.take();
        assert!(line.contains("the timestamp is malformed or too far from the clock"), "{line}");
    }
    assert!(platform.claimed_by(&login).await.is_none());
    for timestamp in [now - MAX_SKEW.as_secs() + 5, now + MAX_SKEW.as_secs() - 5] {
        let answer = platform.answer(platform.push_at(timestamp, &login.scan(ALICE))).await;
        assert_eq!(answer.shown(&platform), Some(success(1)));
    }
}

#[tokio::test]
async fn c3_a_repeat_gets_the_same_reply_and_has_no_second_effect() {
    for mode in [safe(), Mode::Plain] {
        let platform = Platform::new(mode);
        let login = platform.login().await;
        let push = platform.push(&login.scan(ALICE));
        for _ in 0..4 {
            assert_eq!(platform.answer(push.clone()).await.shown(&platform), Some(success(1)));
        }
        let next = platform.login().await;
        assert_eq!(platform.shown(&next.scan(ALICE)).await, Some(success(2)));
    }
}

#[tokio::test]
async fn c3_a_repeated_unfollow_does_not_forget_who_has_come_back() {
    for mode in [safe(), Mode::Plain] {
        let platform = Platform::new(mode.clone());
        let another = platform.another(mode);
        let [first, back, next] = [platform.login().await, platform.login().await, platform.login().await];
        assert_eq!(platform.shown(&first.scan(ALICE)).await, Some(success(1)));
        let leaves = platform.push(&event(ALICE, "unsubscribe", "", None));
        assert_eq!(platform.answer(leaves.clone()).await.shown(&platform), None);
        assert_eq!(platform.shown(&back.follow(ALICE)).await, Some(success(1)));
        // Its answer was lost, and the platform sends it again.
        for replica in [&platform, &another] {
            assert_eq!(replica.answer(leaves.clone()).await.shown(replica), None);
        }
        assert_eq!(platform.shown(&next.scan(ALICE)).await, Some(success(2)));
    }
}

#[tokio::test]
async fn c4_another_accounts_message_is_refused() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let key = AesKey::parse(KEY).unwrap();
    let timestamp = now().to_string();
    let scan = login.scan(ALICE);
    let elsewhere =
        |app_id: &str| Push::encrypted(&timestamp, &key.encrypt([7; 16], scan.as_bytes(), app_id), "");
    let to_another = scan.replace(OURS, "gh_another");
    let outside = String::from_utf8(platform.push(&scan).body).unwrap().replace(OURS, "gh_another");
    let wrong = [
        elsewhere("wxfedcba9876543210"),
        elsewhere(""),
        elsewhere("wx0123456789abcde"),
        elsewhere("wx0123456789abcdef0"),
        platform.push(&to_another),
        platform.push(&scan).with_body(outside),
    ];
    refused(&platform, &login, wrong).await;
}

#[tokio::test]
async fn c4_without_an_original_id_the_app_id_alone_names_the_account() {
    for mode in [safe(), Mode::Plain] {
        let platform = Platform::of(Config { original_id: None, ..config(mode) });
        let to_another = message(ALICE, "text", "").replace(OURS, "gh_another");
        assert_eq!(platform.answer(platform.push(&to_another)).await.status, StatusCode::OK);
    }
    let mut platform = Platform::of(Config { original_id: None, ..config(safe()) });
    platform.app_id = "wx0000000000000000";
    let elsewhere = platform.push(&message(ALICE, "text", ""));
    assert_eq!(platform.answer(elsewhere).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn c4_a_push_without_the_outer_address_is_opened() {
    let platform = Platform::new(safe());
    let push = platform.push(&message(ALICE, "text", ""));
    let body = String::from_utf8(push.body.clone()).unwrap();
    let body = body.replace(&format!("<ToUserName><![CDATA[{OURS}]]></ToUserName>"), "");
    assert!(platform.answer(push.with_body(body)).await.shown(&platform).is_some());
}

#[tokio::test]
async fn two_answers_are_never_encrypted_alike() {
    let platform = Platform::new(safe());
    let push = platform.push(&message(ALICE, "text", ""));
    let (first, second) = (platform.answer(push.clone()).await, platform.answer(push).await);
    let part =
        |answer: &str| answer.split("<![CDATA[").nth(1).unwrap().split("]]>").next().unwrap().to_owned();
    // What the first block becomes, which is random and changes all that follow.
    assert_ne!(part(&first.body)[..20], part(&second.body)[..20]);
    assert!(first.shown(&platform).is_some() && second.shown(&platform).is_some());
}

#[tokio::test]
async fn c4_another_accounts_message_is_refused_in_plain_mode() {
    let platform = Platform::new(Mode::Plain);
    let login = platform.login().await;
    refused(&platform, &login, [platform.push(&login.scan(ALICE).replace(OURS, "gh_another"))]).await;
}

#[tokio::test]
async fn c4_a_ticket_that_is_not_the_scenes_claims_nothing() {
    let platform = Platform::new(safe());
    let (login, other) = (platform.login().await, platform.login().await);
    let scene = login.code.scene.expose();
    for ticket in [Some(other.ticket().as_str()), Some(""), Some("a b"), None] {
        let shown = platform.shown(&event(ALICE, "SCAN", &scene, ticket)).await;
        assert_eq!(shown.as_deref(), Some("used"), "{ticket:?}");
        assert!(platform.claimed_by(&login).await.is_none());
    }
    assert_eq!(platform.shown(&login.scan(ALICE)).await, Some(success(1)));
}

#[tokio::test]
async fn what_another_key_encrypted_is_refused() {
    let mut platform = Platform::new(safe());
    let login = platform.login().await;
    platform.key = AesKey::parse(OLD_KEY);
    let stranger = platform.push(&login.scan(ALICE));
    let timestamp = now().to_string();
    let garbage = ["", "AAAA", "not base64!", &"A".repeat(64), &"A".repeat(43)];
    let garbage = garbage.map(|encrypted| Push::encrypted(&timestamp, encrypted, ""));
    platform.key = AesKey::parse(KEY);
    refused(&platform, &login, garbage.into_iter().chain([stranger])).await;
}

#[tokio::test]
async fn a_key_under_rotation_is_answered_with_itself() {
    let mut platform = Platform::new(Mode::Safe(AesKeys::parse(&format!("{KEY}, {OLD_KEY}")).unwrap()));
    for (key, count) in [(KEY, 1), (OLD_KEY, 2)] {
        platform.key = AesKey::parse(key);
        let login = platform.login().await;
        assert_eq!(
            platform.shown(&login.scan(ALICE)).await,
            Some(success(count)),
            "shown() opens it with the same"
        );
    }
}
