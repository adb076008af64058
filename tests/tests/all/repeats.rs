//! What comes more than once, or without its answer: the platform's repeats, a crowd that redeems, scans while Redis
//! is away.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::login::OpenId;
use tests::application::Application;
use tests::browser::Browser;
use tests::http;
use tests::patience::{until, within_time};
use tests::relay::Direction;
use tests::stack::{Plan, Stack, somebodys_openid};

const FIRST_LOGIN: &str = "微信用户,登录成功!\n这是你第1次登录,玩的开心!";
const GREETING: &str = "您好!欢迎使用 SwooleWechat 扫描登录";
const SUCCEEDED: &str = "登录成功";
/// What the contract gives the callback, whatever Redis does.
const ANSWER_TIME_MS: u64 = 4500;
/// Three attempts of five seconds each, and something for a busy machine.
const DELIVERY_TIME: Duration = Duration::from_secs(25);
/// Redeemers of one code, and how many of them ask at the same time.
const REDEEMERS: usize = 1000;
const AT_ONCE: usize = 100;

/// A stack whose browsers all are on one gateway, and as many callbacks as the platform makes attempts.
async fn stack() -> Stack {
    Plan { gateways: 1, callbacks: 3, ..Plan::default() }.start().await
}

/// What the simulator's controls answer.
async fn control(stack: &Stack, path: &str, body: Value) -> Value {
    let request = http::client().post(format!("{}/simulator/{path}", stack.simulator.url()));
    let response = request.timeout(DELIVERY_TIME).json(&body).send();
    let response = within_time(DELIVERY_TIME, "the simulator", response).await.unwrap();
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
    // In plain mode the repeats are known by their signature, which all replicas remember.
    for mode in ["safe", "plain"] {
        three_attempts_are_one_login(mode).await;
    }
}

async fn three_attempts_are_one_login(mode: &'static str) {
    let stack = Plan { gateways: 1, callbacks: 3, mode, ..Plan::default() }.start().await;
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

/// The platform waits for five seconds, drops the connection, and sends the same push again.
#[tokio::test]
async fn c7_an_event_that_is_pushed_again_because_its_answers_come_late_is_one_login() {
    let stack = Plan { gateways: 1, callbacks: 2, callback_networks: true, ..Plan::default() }.start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    for network in &stack.callback_networks {
        network.hold(Direction::Replies);
    }
    let answered =
        || stack.callbacks.iter().map(|callback| callback.printed().matches("answered a push").count());
    let arrives_in_time = async {
        until("the second attempt", async || answered().sum::<usize>() >= 2).await;
        until("the third attempt", async || answered().sum::<usize>() >= 3).await;
        for network in &stack.callback_networks {
            network.heal();
        }
    };
    let (outcome, ()) = tokio::join!(scan(&stack, &content, &person), arrives_in_time);
    let verdicts: Vec<&Value> = attempts(&outcome).iter().map(|attempt| &attempt["verdict"]).collect();
    assert_eq!(verdicts, ["timeout", "timeout", "reply"], "{outcome}");
    assert!(answered().all(|answers| answers > 0), "both replicas had a part in it");
    assert_eq!(shown(&outcome), FIRST_LOGIN);
    let printed = stack.printed();
    let outcomes = ["claimed", "repeated"].map(|outcome| printed.matches(&format!("\"{outcome}\"")).count());
    assert_eq!(outcomes, [1, 2], "{printed}");
    is_one_login(&stack, browser, &person).await;
}

#[tokio::test]
async fn c8_two_people_and_one_persons_three_acts_in_one_second_are_all_handled() {
    let stack = stack().await;
    let (person, another) = (somebodys_openid(), somebodys_openid());
    let mut browsers = [stack.browser().await, stack.browser().await, stack.browser().await];
    let mut contents = Vec::new();
    for browser in &mut browsers {
        contents.push(browser.qr_code().await.content);
    }
    // The platform's own advice, to drop events of one person and one second, would lose two of these.
    let second = 1_763_800_030;
    let act = |openid: &str, content: &str| {
        let act = json!({ "event": "SCAN", "content": content, "openid": openid, "create_time": second });
        control(&stack, "push", act)
    };
    let wrote = control(&stack, "push", json!({ "text": "你好", "openid": person, "create_time": second }));
    let (first, second, others, wrote) = tokio::join!(
        act(&person, &contents[0]),
        act(&person, &contents[1]),
        act(&another, &contents[2]),
        wrote,
    );
    let mut own = [shown(&first).to_owned(), shown(&second).to_owned()];
    own.sort_unstable();
    assert_eq!(own, [FIRST_LOGIN.to_owned(), FIRST_LOGIN.replace("第1次", "第2次")]);
    assert_eq!((shown(&others), shown(&wrote)), (FIRST_LOGIN, GREETING));
    let application = stack.application();
    for (browser, openid) in browsers.iter_mut().zip([&person, &person, &another]) {
        assert_eq!(&application.redeem(&browser.success().await.code).await.openid, openid);
    }
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
async fn c9_a_scan_while_the_platforms_api_hangs_succeeds_and_with_redis_too_is_answered_in_time() {
    let mut stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let (mut next, another) = (stack.browser().await, somebodys_openid());
    let (content, next_content) = (browser.qr_code().await.content, next.qr_code().await.content);
    control(&stack, "faults", json!({ "latency_ms": 60_000 })).await;
    let outcome = scan(&stack, &content, &person).await;
    assert_eq!((attempts(&outcome).len(), shown(&outcome)), (1, FIRST_LOGIN), "{outcome}");
    stack.redis.pause();
    for _ in 0..2 {
        is_answered_truthfully(&scan(&stack, &next_content, &another).await);
    }
    // The first login was durable before; it is not told as anything else now.
    is_answered_truthfully(&scan(&stack, &content, &person).await);
    stack.redis.unpause();
    control(&stack, "faults", json!({ "reset": true })).await;
    logs_in_after_all(&stack, next, &next_content, &another).await;
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
    let printed = stack.printed();
    assert!(printed.contains("the backplane refused") && printed.contains("not an integer"), "{printed}");
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

#[tokio::test]
async fn c9_a_scan_that_a_full_redis_refuses_is_answered_and_the_log_says_why() {
    let stack = stack().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    assert_eq!(stack.redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
    is_answered_truthfully(&scan(&stack, &content, &person).await);
    let printed = stack.printed();
    assert!(printed.contains("the backplane refused") && printed.contains("OOM"), "{printed}");
    assert!(!printed.contains("cannot be reached") && !printed.contains(&person), "{printed}");
    assert_eq!(stack.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await, "OK");
    logs_in_after_all(&stack, browser, &content, &person).await;
}

#[tokio::test]
async fn c9_who_leaves_while_redis_is_away_is_forgotten_after_it() {
    for mode in ["safe", "plain"] {
        let stack = Plan { gateways: 1, callbacks: 1, mode, ..Plan::default() }.start().await;
        let person = somebodys_openid();
        assert_eq!(logs_in(&stack, &person).await, 1);
        stack.redis.relay().cut();
        let left = control(&stack, "push", json!({ "event": "unsubscribe", "openid": person })).await;
        assert_eq!(attempts(&left)[0]["verdict"], "success", "{left}");
        assert_eq!(stack.redis.ask(&["EXISTS", &count_key(&person)]).await, "1");
        stack.redis.relay().heal();
        until("the person to be forgotten", async || {
            stack.redis.ask(&["EXISTS", &count_key(&person)]).await == "0"
        })
        .await;
    }
}

async fn logs_in(stack: &Stack, person: &str) -> u64 {
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, person).await;
    stack.application().redeem(&browser.success().await.code).await.login_count
}

#[tokio::test]
async fn c10_new_followers_and_messages_are_greeted_on_the_phone() {
    let stack = stack().await;
    let mut acts = vec![json!({ "text": "你好 👋" }), json!({ "event": "subscribe" })];
    let keys =
        ["", "0", "last_trade_no_4200000000202611220000000000", "scanbarcode|EAN_13,69", "scanimage|1"];
    acts.extend(keys.map(|key| json!({ "event": "subscribe", "event_key": key })));
    acts.push(json!({ "event": "Subscribe", "event_key": null }));
    let kinds = ["image", "voice", "video", "shortvideo", "location", "link", "hologram"];
    acts.extend(
        kinds.map(|kind| json!({ "msg_type": kind, "nodes": { "MediaId": "1", "Url": "http://x/" } })),
    );
    for act in acts {
        let outcome = control(&stack, "push", act).await;
        assert_eq!(shown(&outcome), GREETING, "{outcome}");
        assert_eq!(attempts(&outcome).len(), 1, "{outcome}");
    }
    assert_eq!(stack.redis.ask(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn c10_strange_events_get_success_and_strange_scenes_a_text() {
    let stack = stack().await;
    let strange = ["CLICK", "VIEW", "LOCATION", "TEMPLATESENDJOBFINISH", "scancode_push", "hologram_event"];
    for event in strange {
        let outcome = control(&stack, "push", json!({ "event": event, "event_key": "0" })).await;
        assert_eq!(attempts(&outcome)[0]["verdict"], "success", "{outcome}");
    }
    for (event, key) in [("SCAN", "0"), ("SCAN", ""), ("scan", "4294967295"), ("subscribe", "qrscene_0")] {
        let outcome = control(&stack, "push", json!({ "event": event, "event_key": key })).await;
        assert_eq!(attempts(&outcome)[0]["verdict"], "reply", "{outcome}");
        assert!(shown(&outcome).contains("已失效"), "{outcome}");
    }
    assert_eq!(stack.redis.ask(&["DBSIZE"]).await, "0");
    // Other spellings of what is no stranger.
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let content = browser.qr_code().await.content;
    let scan = json!({ "event": "scan", "content": content, "openid": person });
    assert_eq!(shown(&control(&stack, "push", scan).await), FIRST_LOGIN);
    is_one_login(&stack, browser, &person).await;
}
