//! What is refused: other people's scans, dead codes, and everything that an attacker would try.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::application::Application;
use tests::browser::{Browser, Heard, Request};
use tests::http;
use tests::patience::until;
use tests::program::setting;
use tests::stack::{Plan, Stack, somebodys_openid};

const SUCCEEDED: &str = "登录成功";

/// Everything that the simulator can spoil about a push. The rest of the callback's lines are in callback/tests/it.
#[tokio::test]
async fn c1_to_c5_no_tampered_push_moves_a_login() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    for (tampered, status) in [
        ("signature", 403),
        ("msg_signature", 403),
        ("unsigned", 403),
        ("downgraded", 403),
        ("plain_body", 403),
        ("stale", 403),
        ("app_id", 403),
        ("to_user", 403),
        ("padding", 403),
        ("doctype", 400),
    ] {
        let push = json!({ "event": "SCAN", "content": content, "openid": person, "tampered": tampered });
        let request = http::client().post(format!("{}/simulator/push", stack.simulator.url())).json(&push);
        let outcome: Value = request.send().await.unwrap().json().await.unwrap();
        let attempts = outcome["attempts"].as_array().unwrap();
        assert!(!attempts.is_empty() && attempts.iter().all(|each| each["status"] == status), "{outcome}");
    }
    let record = stack.redis.ask(&["KEYS", "*:login"]).await;
    assert_eq!(stack.redis.ask(&["HMGET", &record, "state", "version"]).await, "waiting\n1");
    stack.scan(&content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn s1_a_second_person_is_refused_and_the_first_login_unaffected() {
    let stack = Stack::start().await;
    let (mut browser, first) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &first).await;
    let refused = stack.scan(&shown.content, &somebodys_openid()).await;
    assert!(!refused.shown.unwrap().contains(SUCCEEDED));
    let success = browser.success().await;
    assert_eq!(stack.application().redeem(&success.code).await.openid, first);
    let refused = stack.scan(&shown.content, &somebodys_openid()).await;
    assert!(!refused.shown.unwrap().contains(SUCCEEDED));
}

#[tokio::test]
async fn s2_a_code_cannot_be_scanned_after_its_time() {
    let stack = Plan { settings: vec![setting("SCENE_TTL", "2s")], ..Plan::default() }.start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    assert!(shown.expires_in <= 2);
    browser.expired().await;
    // The page's time ends a little before the code's.
    until("the code's end", async || stack.redis.ask(&["KEYS", "*:scene"]).await.is_empty()).await;
    assert!(scanned_in_vain(&stack, &shown.content).await);
    browser.refresh().await;
    let (fresh, person) = (browser.qr_code().await, somebodys_openid());
    stack.scan(&fresh.content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

/// Whether a scan gets nothing: the platform pushes none, or the phone does not say that it worked.
async fn scanned_in_vain(stack: &Stack, content: &str) -> bool {
    let scan = stack.scan(content, &somebodys_openid()).await;
    !scan.shown.is_some_and(|shown| shown.contains(SUCCEEDED))
}

#[tokio::test]
async fn s2_the_old_code_of_a_refreshed_page_is_dead() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let old = browser.qr_code().await;
    browser.refresh().await;
    let fresh = browser.qr_code().await;
    assert!(scanned_in_vain(&stack, &old.content).await);
    let person = somebodys_openid();
    stack.scan(&fresh.content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn f1_a_live_logins_public_parts_are_good_for_nothing() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    let (_, picture) = shown.content.rsplit_once('/').unwrap();
    let record = stack.redis.ask(&["KEYS", "*:login"]).await;
    let ticket = stack.redis.ask(&["HGET", &record, "ticket"]).await;
    for public in [shown.content.as_str(), picture, ticket.as_str()] {
        let token: String = public.chars().filter(char::is_ascii_alphanumeric).collect();
        let mut thief = Browser::resume(&stack.url(), &token).await;
        assert_eq!(thief.error().await, "unknown_session");
        assert_eq!(stack.application().try_redeem(public).await, Err(StatusCode::GONE));
    }
    stack.scan(&shown.content, &somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn f2_nothing_can_be_used_twice() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &person).await;
    let success = browser.success().await;
    stack.application().redeem(&success.code).await;
    for gateway in &stack.gateways {
        let application = Application::new(gateway.url(), &stack.account.redeem_secret);
        assert_eq!(application.try_redeem(&success.code).await, Err(StatusCode::GONE));
    }
    let again = stack.scan(&shown.content, &person).await.shown.unwrap();
    assert!(again.contains("第1次登录"), "{again}");
    let mut resumed = Browser::resume(&stack.url(), &shown.session).await;
    assert_eq!(resumed.success().await, success, "no second credential");
    resumed.refresh().await;
    let Heard::Message(message) = resumed.next().await else { panic!("the end") };
    assert_eq!(message["code"], success.code, "the state is final");
    assert_eq!(stack.application().try_redeem(&success.code).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn f4_an_id_that_a_client_chooses_is_ignored() {
    let stack = Stack::start().await;
    let chosen = "A".repeat(43);
    let query = "?session=AAAA&scene=BBBB&state=CCCC&openid=DDDD";
    let headers = vec![("cookie", format!("session={chosen}")), ("x-session", chosen.clone())];
    let mut browser =
        Browser::ask(&stack.url(), Request { query, headers, ..Request::default() }).await.unwrap();
    let shown = browser.qr_code().await;
    assert_ne!(shown.session, chosen);
    let before = shown.content.clone();
    browser
        .say(
            &json!({ "message_type": "refresh", "session": chosen, "scene": "BBBB", "content": "c" })
                .to_string(),
        )
        .await;
    let fresh = browser.qr_code().await;
    assert_eq!(fresh.session, shown.session);
    assert_ne!(fresh.content, before);
    let mut fixed = Browser::resume(&stack.url(), &chosen).await;
    assert_eq!(fixed.error().await, "unknown_session");
    fixed.refresh().await;
    assert_ne!(fixed.qr_code().await.session, chosen);
}

#[tokio::test]
async fn f5_an_openid_identifies_nobody() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    let request = http::client()
        .post(format!("{}/api/redeem?openid={person}", stack.url()))
        .bearer_auth(&stack.account.redeem_secret)
        .header("x-openid", &person);
    let answer =
        request.json(&json!({ "openid": person, "unionid": person, "user": person })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(stack.application().try_redeem(&person).await, Err(StatusCode::GONE));
    stack.scan(&shown.content, &person).await;
    browser.success().await;
    assert_eq!(stack.application().try_redeem(&person).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn f6_a_browser_hears_nothing_that_is_not_its_own() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    stack
        .phone(json!({ "content": shown.content, "openid": person, "unionid": "unionid-of-somebody" }))
        .await;
    browser.success().await;
    let keys = stack.redis.ask(&["KEYS", "*:login"]).await;
    let record = stack.redis.ask(&["HMGET", &keys, "nonce", "ticket", "code_hash", "connection"]).await;
    let heard = browser.heard().join("\n");
    for secret in record.lines().chain([person.as_str(), "unionid-of-somebody", &stack.account.app_secret]) {
        assert!(secret.len() > 10 && !heard.contains(secret), "{secret} in {heard}");
    }
}

#[tokio::test]
async fn b1_a_foreign_origin_is_refused_before_anything_is_made() {
    let stack = Stack::start().await;
    let own = stack.url();
    let foreign = [
        "https://evil.example",
        "null",
        &format!("{own}.evil.example"),
        &format!("{own}0"),
        &own.replace("http://", "http://evil"),
        &format!("{own}/"),
        &format!("{own}@evil.example"),
        "",
    ];
    for origin in foreign {
        let asked = Request { origin: Some(origin.to_owned()), ..Request::default() };
        assert_eq!(Browser::ask(&own, asked).await.unwrap_err(), StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert_eq!(stack.redis.ask(&["DBSIZE"]).await, "0");
    let mut no_browser = Browser::ask(&own, Request::default()).await.unwrap();
    no_browser.qr_code().await;
}

#[tokio::test]
async fn b1_only_the_listed_origins_may_open_a_session() {
    let settings = vec![setting("ALLOWED_ORIGINS", "https://app.example,https://shop.example:8443")];
    let stack = Plan { settings, ..Plan::default() }.start().await;
    let ask = async |origin: &str| {
        let asked = Request { origin: Some(origin.to_owned()), ..Request::default() };
        Browser::ask(&stack.url(), asked).await.map(drop)
    };
    assert_eq!(ask("https://app.example").await, Ok(()));
    assert_eq!(ask("https://shop.example:8443").await, Ok(()));
    for foreign in
        ["https://app.example.evil", "https://xapp.example", "http://app.example", "https://shop.example"]
    {
        assert_eq!(ask(foreign).await, Err(StatusCode::FORBIDDEN), "{foreign}");
    }
}

#[tokio::test]
async fn b2_a_session_that_cannot_be_resumed_is_a_clean_error_without_a_hint() {
    let stack =
        Plan { settings: vec![setting("SCENE_TTL", "1s"), setting("SESSION_TTL", "1s")], ..Plan::default() };
    let stack = stack.start().await;
    let mut browser = stack.browser().await;
    let ended = browser.qr_code().await.session;
    while let Heard::Message(_) = browser.next().await {}
    until("the session's end", async || stack.redis.ask(&["DBSIZE"]).await == "0").await;
    let mut answers = Vec::new();
    for session in [ended.as_str(), &"A".repeat(43), "short", "!", &"x".repeat(2000)] {
        let mut browser = Browser::resume(&stack.url(), session).await;
        answers.push(browser.message().await);
        browser.refresh().await;
        browser.qr_code().await;
    }
    assert_eq!(answers[0]["code"], "unknown_session");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn what_is_not_understood_gets_an_error_and_the_login_goes_on() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    browser.say("refresh").await;
    assert_eq!(browser.error().await, "bad_message");
    browser.say_bytes(b"\x00\xff").await;
    assert_eq!(browser.error().await, "bad_message");
    browser.say(r#"{"message_type":"dance"}"#).await;
    stack.scan(&shown.content, &somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn a_message_that_is_too_big_ends_the_connection_alone() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    browser.say(&"x".repeat(20_000)).await;
    assert_eq!(browser.close_code().await, Some(1009));
    let mut browser = Browser::resume(&stack.url(), &shown.session).await;
    browser.qr_code().await;
}

#[tokio::test]
async fn redeeming_asks_for_the_secret() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &somebodys_openid()).await;
    let code = browser.success().await.code;
    for wrong in ["", "wrong", &stack.account.redeem_secret[1..]] {
        let application = Application::new(stack.url(), wrong);
        assert_eq!(application.try_redeem(&code).await, Err(StatusCode::UNAUTHORIZED));
    }
    stack.application().redeem(&code).await;
}
