//! What comes more than once, or without its answer: the platform's repeats, a crowd that redeems, scans while Redis
//! is away.

use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::login::OpenId;
use tests::application::Application;
use tests::browser::Browser;
use tests::http;
use tests::patience::{until, within};
use tests::stack::{Plan, Stack, somebodys_openid};

const FIRST_LOGIN: &str = "微信用户,登录成功!\n这是你第1次登录,玩的开心!";
const GREETING: &str = "您好!欢迎使用 SwooleWechat 扫描登录";
const SUCCEEDED: &str = "登录成功";
/// What the contract gives the callback, whatever Redis does.
const ANSWER_TIME_MS: u64 = 4500;
/// Redeemers of one code, and how many of them ask at the same time.
const REDEEMERS: usize = 1000;
const AT_ONCE: usize = 100;

/// A stack whose browsers all are on one gateway, and as many callbacks as the platform makes attempts.
async fn stack() -> Stack {
    Plan { gateways: 1, callbacks: 3, ..Plan::default() }.start().await
}

/// What the simulator's controls answer.
async fn control(stack: &Stack, path: &str, body: Value) -> Value {
    let request = http::client().post(format!("{}/simulator/{path}", stack.simulator.url())).json(&body);
    let response = within("the simulator", request.send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{body}");
    response.json().await.unwrap()
}

/// A follower scans, and everything about it is told.
async fn scan(stack: &Stack, content: &str, person: &str) -> Value {
    control(stack, "scan", json!({ "content": content, "openid": person })).await
}

fn attempts(outcome: &Value) -> &[Value] {
    outcome["attempts"].as_array().unwrap()
}

fn shown(outcome: &Value) -> &str {
    outcome["shown"].as_str().unwrap()
}

/// Where Redis keeps how often somebody logged in.
fn count_key(person: &str) -> String {
    format!("scanlogin:{{{}}}:logins", OpenId::parse(person).unwrap().hash())
}

/// One login in the store, one count, and one success at the browser.
async fn is_one_login(stack: &Stack, mut browser: Browser, person: &str) {
    let record = stack.redis.ask(&["KEYS", "*:login"]).await;
    assert_eq!(stack.redis.ask(&["HGET", &record, "version"]).await, "2", "opened, and claimed once");
    assert_eq!(stack.redis.ask(&["GET", &count_key(person)]).await, "1");
    let success = browser.success().await;
    // Whatever was told to the gateway before comes before another login's success.
    let mut another = stack.browser().await;
    let content = another.qr_code().await.content;
    stack.scan(&content, &somebodys_openid()).await;
    another.success().await;
    browser.say("nonsense").await;
    assert_eq!(browser.error().await, "bad_message", "nothing was pushed twice");
    let identity = stack.application().redeem(&success.code).await;
    assert_eq!((identity.openid.as_str(), identity.login_count), (person, 1));
}

#[tokio::test]
async fn c7_three_attempts_of_one_event_on_three_replicas_are_one_login() {
    let stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    control(&stack, "faults", json!({ "lost_answers": 2 })).await;
    let outcome = scan(&stack, &content, &person).await;
    let statuses: Vec<&Value> = attempts(&outcome).iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(statuses, [200, 200, 200]);
    assert_eq!(shown(&outcome), FIRST_LOGIN);
    for callback in &stack.callbacks {
        callback.prints("answered a push").await;
    }
    is_one_login(&stack, browser, &person).await;
}

#[tokio::test]
async fn c7_repeats_of_one_event_at_the_same_moment_are_one_login() {
    let stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    control(&stack, "faults", json!({ "doubled_pushes": true, "lost_answers": 4 })).await;
    let outcome = scan(&stack, &content, &person).await;
    // Two copies, and four answers that were lost between them.
    assert!(attempts(&outcome).len() >= 5, "{outcome}");
    assert!(attempts(&outcome).iter().all(|attempt| attempt["status"] == 200), "{outcome}");
    assert_eq!(shown(&outcome), FIRST_LOGIN);
    is_one_login(&stack, browser, &person).await;
}

#[tokio::test]
async fn c7_a_person_who_scans_many_times_at_once_reads_one_text() {
    let stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    let scans = futures_util::future::join_all((0..12).map(|_| stack.scan(&content, &person))).await;
    for scan in scans {
        assert_eq!(scan.shown.as_deref(), Some(FIRST_LOGIN));
    }
    is_one_login(&stack, browser, &person).await;
}

#[tokio::test]
async fn c9_a_scan_while_redis_hangs_is_answered_in_time_and_the_next_one_works() {
    let mut stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    stack.redis.pause();
    // The first finds out that Redis hangs; the others know it.
    for _ in 0..3 {
        is_answered_truthfully(&scan(&stack, &content, &person).await);
    }
    let left = control(&stack, "push", json!({ "event": "unsubscribe", "openid": somebodys_openid() })).await;
    assert_eq!(attempts(&left)[0]["verdict"], "success", "{left}");
    assert!(attempts(&left)[0]["elapsed_ms"].as_u64().unwrap() < ANSWER_TIME_MS, "{left}");
    let wrote = control(&stack, "push", json!({ "text": "你好" })).await;
    assert_eq!(shown(&wrote), GREETING);
    stack.redis.unpause();
    logs_in_after_all(&stack, browser, &content, &person).await;
}

#[tokio::test]
async fn c9_a_scan_while_redis_is_away_is_answered_in_time_and_the_next_one_works() {
    let stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    stack.redis.relay().cut();
    for _ in 0..3 {
        is_answered_truthfully(&scan(&stack, &content, &person).await);
    }
    stack.redis.relay().heal();
    logs_in_after_all(&stack, browser, &content, &person).await;
}

/// The phone got an answer at the first attempt, in time, and not that the login succeeded.
fn is_answered_truthfully(outcome: &Value) {
    let [attempt] = attempts(outcome) else { panic!("more than one attempt: {outcome}") };
    assert_eq!(attempt["verdict"], "reply", "{outcome}");
    assert!(attempt["elapsed_ms"].as_u64().unwrap() < ANSWER_TIME_MS, "{outcome}");
    assert!(!shown(outcome).contains(SUCCEEDED), "{outcome}");
}

async fn logs_in_after_all(stack: &Stack, mut browser: Browser, content: &str, person: &str) {
    until("a scan to succeed", async || scan(stack, content, person).await["shown"] == FIRST_LOGIN).await;
    // The code need not have been redeemable while the gateway was still finding Redis again.
    let success = browser.success().await;
    let application = stack.application();
    until("the code to redeem", async || match application.try_redeem(&success.code).await {
        Ok(identity) => {
            assert_eq!((identity.openid.as_str(), identity.login_count), (person, 1));
            true
        }
        Err(refusal) => {
            assert_eq!(refusal, StatusCode::SERVICE_UNAVAILABLE);
            false
        }
    })
    .await;
}

#[tokio::test]
async fn c9_a_claim_whose_count_fails_is_told_by_the_next_scan() {
    let stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    // Nothing can be added to a word.
    assert_eq!(stack.redis.ask(&["SET", &count_key(&person), "word"]).await, "OK");
    is_answered_truthfully(&scan(&stack, &content, &person).await);
    let success = browser.success().await;
    let refused = stack.application().try_redeem(&success.code).await;
    assert_eq!(refused, Err(StatusCode::SERVICE_UNAVAILABLE), "without its count the code is not spent");
    stack.redis.ask(&["DEL", &count_key(&person)]).await;
    assert_eq!(shown(&scan(&stack, &content, &person).await), FIRST_LOGIN);
    let identity = stack.application().redeem(&success.code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 1));
}

#[tokio::test]
async fn s3_of_a_thousand_redeemers_on_two_replicas_exactly_one_succeeds() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    stack.scan(&content, &person).await;
    let code = browser.success().await.code;
    let applications: Vec<Application> = stack
        .gateways
        .iter()
        .map(|gateway| Application::new(gateway.url(), &stack.account.redeem_secret))
        .collect();
    let redeemers = applications.iter().cycle().take(REDEEMERS);
    let answers: Vec<_> = stream::iter(redeemers.map(|application| application.try_redeem(&code)))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (good, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), refused.len()), (1, REDEEMERS - 1));
    assert_eq!(good[0].as_ref().unwrap().openid, person);
    assert!(refused.iter().all(|refusal| *refusal == Err(StatusCode::GONE)), "{refused:?}");
}

#[tokio::test]
async fn a_person_who_leaves_is_counted_from_one_again() {
    let stack = stack().await;
    let person = somebodys_openid();
    for number in [1, 2] {
        assert_eq!(logs_in(&stack, &person).await, number);
    }
    let left = control(&stack, "push", json!({ "event": "unsubscribe", "openid": person })).await;
    assert_eq!(attempts(&left)[0]["verdict"], "success", "{left}");
    assert_eq!(stack.redis.ask(&["EXISTS", &count_key(&person)]).await, "0");
    assert_eq!(logs_in(&stack, &person).await, 1);
}

async fn logs_in(stack: &Stack, person: &str) -> u64 {
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, person).await;
    stack.application().redeem(&browser.success().await.code).await.login_count
}

#[tokio::test]
async fn new_followers_and_messages_are_greeted_on_the_phone() {
    let stack = stack().await;
    for act in [
        json!({ "event": "subscribe" }),
        json!({ "text": "你好" }),
        json!({ "msg_type": "image", "nodes": { "PicUrl": "http://example.com/1.png", "MediaId": "1" } }),
    ] {
        let outcome = control(&stack, "push", act).await;
        assert_eq!(shown(&outcome), GREETING, "{outcome}");
        assert_eq!(attempts(&outcome).len(), 1, "{outcome}");
    }
    assert_eq!(stack.redis.ask(&["DBSIZE"]).await, "0");
}
