//! Redeeming: refusals, and answers that were lost on the way.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;
use tests::http;
use tests::patience::until;
use tests::program::setting;
use tests::redis::RedisFollower;
use tests::relay::Direction;
use tests::stack::{Plan, Stack, is_well, somebodys_openid};

use crate::bounds::{faults, sent, small};

/// Longer than one command of Redis may take.
const SILENCE: Duration = Duration::from_millis(2200);
/// For a redeem that is refused after the code was spent: the gateway tries on for 8 s, and then gives the code back.
const REFUSAL_TIME: Duration = Duration::from_secs(25);
/// The largest request to redeem.
const REDEEM_MAX: usize = 4096;

/// A person logs in; the code, not redeemed.
async fn code_of(stack: &Stack, person: &str) -> String {
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, person).await;
    browser.success().await.code
}

/// The application's request, whose answer the test reads itself.
fn redeem(stack: &Stack, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = http::client().post(format!("{}/api/redeem", stack.url()));
    request.bearer_auth(&stack.account.redeem_secret).body(body)
}

#[tokio::test]
async fn a_redeem_while_redis_is_away_is_told_to_come_back_and_the_code_stays_good() {
    let stack = small(&[]).await;
    let person = somebodys_openid();
    let code = code_of(&stack, &person).await;
    let body = json!({ "code": code }).to_string();
    stack.redis.relay().cut();
    // The first finds out that Redis is away; the others know it.
    for _ in 0..3 {
        let refusal = sent(redeem(&stack, body.clone())).await;
        assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
        let retry_after = refusal.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
        assert!((1..=60).contains(&retry_after), "{retry_after}");
    }
    stack.redis.relay().heal();
    is_well(&stack.gateways[0]).await;
    let identity = stack.application().redeem(&code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 1));
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

/// The scripts that Redis was asked for.
async fn scripts_run(stack: &Stack) -> u64 {
    let stats = stack.redis.ask(&["INFO", "commandstats"]).await;
    // EVALSHA, and EVAL where replicas are waited for.
    let evaluations = stats.lines().filter(|line| line.starts_with("cmdstat_eval"));
    let calls = |line: &str| line.split_once("calls=").unwrap().1.split(',').next().unwrap().parse::<u64>();
    evaluations.map(|line| calls(line).unwrap()).sum()
}

/// What has become of every login there is.
async fn states(stack: &Stack) -> Vec<String> {
    let records = stack.redis.ask(&["KEYS", "*:login"]).await;
    let states = records.lines().map(async |record| stack.redis.ask(&["HGET", record, "state"]).await);
    join_all(states).await
}

async fn are_spent(stack: &Stack) -> bool {
    states(stack).await.iter().all(|state| state == "redeemed")
}

/// How the answer of the move that spends the code gets lost.
enum Loss {
    /// Its connection breaks.
    Broken,
    /// Nothing comes, and the connection breaks only later.
    Silent,
}

async fn a_lost_answer_is_made_up_for(loss: Loss) {
    let stack = small(&[]).await;
    let person = somebodys_openid();
    // A script that Redis does not know takes two commands, and the first has no effect.
    stack.application().redeem(&code_of(&stack, &person).await).await;
    let code = code_of(&stack, &person).await;
    // The person is looked up before the code is spent: long enough to hold the replies in between, and too short for the
    // gateway to find that its connection is silent.
    faults(&stack, json!({ "latency_ms": 500 })).await;
    let before = scripts_run(&stack).await;
    let application = stack.application();
    let redeems = application.try_redeem(&code);
    let loses = async {
        until("the login's number to be asked for", async || scripts_run(&stack).await > before).await;
        stack.redis.relay().hold(Direction::Replies);
        until("the code to be spent", async || are_spent(&stack).await).await;
        if matches!(loss, Loss::Silent) {
            tokio::time::sleep(SILENCE).await;
        }
        stack.redis.relay().cut();
        stack.redis.relay().heal();
    };
    let (redeemed, ()) = tokio::join!(redeems, loses);
    let identity = redeemed.expect("the request that spent the code gets what it paid for");
    assert_eq!((identity.openid, identity.login_count), (person, 2));
    is_well(&stack.gateways[0]).await;
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn f2_a_redeem_whose_answer_was_lost_with_its_connection_gets_the_identity_once() {
    a_lost_answer_is_made_up_for(Loss::Broken).await;
}

#[tokio::test]
async fn f2_a_redeem_whose_answer_never_came_gets_the_identity_once() {
    a_lost_answer_is_made_up_for(Loss::Silent).await;
}

/// Redeems a code, and awaits what `breaks` makes of it: a refusal after the code was spent.
async fn is_refused_after_the_spending(stack: &Stack, code: &str, breaks: impl Future<Output = ()>) {
    let request = redeem(stack, json!({ "code": code }).to_string()).timeout(REFUSAL_TIME);
    let (refusal, ()) = tokio::join!(request.send(), breaks);
    assert_eq!(refusal.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn f2_a_redeem_that_no_replica_has_is_refused_and_the_code_stays_good() {
    let settings = vec![setting("REPLICATION_WAIT", "1")];
    let stack = Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() }.start().await;
    let mut replica = RedisFollower::of(&stack.redis).await;
    let person = somebodys_openid();
    stack.application().redeem(&code_of(&stack, &person).await).await;
    let code = code_of(&stack, &person).await;
    // The replica goes between the count, which it must have, and the spending.
    faults(&stack, json!({ "latency_ms": 1500 })).await;
    let before = scripts_run(&stack).await;
    is_refused_after_the_spending(&stack, &code, async {
        until("the login to be counted", async || scripts_run(&stack).await > before).await;
        replica.has_all_of(&stack.redis).await;
        replica.pause();
        until("the code to be spent", async || are_spent(&stack).await).await;
    })
    .await;
    assert!(!are_spent(&stack).await, "it is given back before the application is told");
    replica.unpause();
    replica.has_all_of(&stack.redis).await;
    let identity = stack.application().redeem(&code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 2));
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn f2_a_code_whose_spending_could_not_be_answered_is_good_again_when_redis_is_back() {
    let stack = small(&[]).await;
    let person = somebodys_openid();
    stack.application().redeem(&code_of(&stack, &person).await).await;
    let code = code_of(&stack, &person).await;
    faults(&stack, json!({ "latency_ms": 500 })).await;
    let before = scripts_run(&stack).await;
    is_refused_after_the_spending(&stack, &code, async {
        until("the login's number to be asked for", async || scripts_run(&stack).await > before).await;
        stack.redis.relay().hold(Direction::Replies);
        until("the code to be spent", async || are_spent(&stack).await).await;
        stack.redis.relay().cut();
    })
    .await;
    assert!(are_spent(&stack).await, "nobody can give it back yet");
    stack.redis.relay().heal();
    until("the code to be given back", async || !are_spent(&stack).await).await;
    is_well(&stack.gateways[0]).await;
    let identity = stack.application().redeem(&code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 2));
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn f2_a_code_whose_application_did_not_wait_for_the_answer_is_good_again() {
    let stack = small(&[]).await;
    let person = somebodys_openid();
    stack.application().redeem(&code_of(&stack, &person).await).await;
    let code = code_of(&stack, &person).await;
    faults(&stack, json!({ "latency_ms": 500 })).await;
    let before = scripts_run(&stack).await;
    let request = redeem(&stack, json!({ "code": code }).to_string()).send();
    let spent = async {
        until("the login's number to be asked for", async || scripts_run(&stack).await > before).await;
        stack.redis.relay().hold(Direction::Replies);
        until("the code to be spent", async || are_spent(&stack).await).await;
    };
    tokio::select! {
        answered = request => panic!("{answered:?}"),
        () = spent => {}
    }
    stack.redis.relay().heal();
    until("the code to be given back", async || !are_spent(&stack).await).await;
    let identity = stack.application().redeem(&code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 2));
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn a_redeem_that_is_wrong_says_how() {
    let stack = small(&[]).await;
    let code = code_of(&stack, &somebodys_openid()).await;
    let status = async |request: RequestBuilder| sent(request).await.status();
    for malformed in
        ["", "code", "[]", "null", "{}", r#"{"code":1}"#, r#"{"code":null}"#, "\"\"", "{\"code\":\"a\""]
    {
        assert_eq!(status(redeem(&stack, malformed)).await, StatusCode::BAD_REQUEST, "{malformed}");
    }
    let unknown: String = code.chars().rev().collect();
    for gone in ["", "A", &unknown, &format!("{code} "), &code[1..], &format!("{code}A")] {
        let body = json!({ "code": gone }).to_string();
        assert_eq!(status(redeem(&stack, body)).await, StatusCode::GONE, "{gone:?}");
    }
    let good = json!({ "code": code }).to_string();
    let too_large = format!("{good}{}", " ".repeat(REDEEM_MAX));
    assert_eq!(status(redeem(&stack, too_large)).await, StatusCode::PAYLOAD_TOO_LARGE);
    let url = format!("{}/api/redeem", stack.url());
    let bare = || http::client().post(&url).body(good.clone());
    let unauthorized = sent(bare()).await;
    assert_eq!(unauthorized.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(unauthorized.headers()["www-authenticate"], "Bearer");
    let secret = &stack.account.redeem_secret;
    for authorization in
        [format!("Basic {secret}"), secret.clone(), "Bearer".to_owned(), format!("Bearer {secret}x")]
    {
        let status = status(bare().header("authorization", &authorization)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization:?}");
    }
    assert_eq!(status(http::client().get(&url)).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(status(redeem(&stack, good)).await, StatusCode::OK, "the code is as good as before");
}

#[tokio::test]
async fn without_its_secret_redeeming_is_off() {
    let stack = small(&[("REDEEM_SECRET", "")]).await;
    let code = code_of(&stack, &somebodys_openid()).await;
    for secret in ["", stack.account.redeem_secret.as_str()] {
        let request = http::client().post(format!("{}/api/redeem", stack.url())).bearer_auth(secret);
        let refusal = sent(request.json(&json!({ "code": code }))).await;
        assert_eq!(refusal.status(), StatusCode::NOT_FOUND);
        assert!(refusal.text().await.unwrap().contains("REDEEM_SECRET"), "it says what is missing");
    }
}
