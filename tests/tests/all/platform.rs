//! The client of the platform's API, against the simulator with every kind of trouble.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use futures_util::future::join_all;
use gateway::wechat::{Account, Error, Person, Platform};
use serde_json::{Value, json};
use shared::login::{OpenId, Scene, SessionId};
use shared::settings::Secret;
use simulator::{Config, Simulator};
use tests::patience::{within, within_time};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const CREATE: &str = "/cgi-bin/qrcode/create";
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const USER_INFO: &str = "/cgi-bin/user/info";
const LIFETIME: Duration = Duration::from_secs(120);
/// What redeeming gives a look-up (gateway/src/redeem.rs).
const PERSON_TIMEOUT: Duration = Duration::from_secs(2);
/// Failures in a row that a call of one login may meet before it rests (docs/wechat.md, "Trouble").
const BORNE: usize = 5;

/// A platform, and one replica's client of it.
struct World {
    base: String,
    account: Account,
    client: Arc<Platform>,
    controls: reqwest::Client,
}

impl World {
    async fn new() -> Self {
        // Fails only if another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let config = Config::random(format!("{base}/nowhere"), &base).unwrap();
        let account = Account {
            app_id: config.app_id.clone(),
            app_secret: Secret::new(&config.app_secret),
            api_base: base.clone(),
        };
        let router: Router = Simulator::new(config).unwrap().router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let controls = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let client = Arc::new(Platform::new(account.clone()).unwrap());
        Self { base, account, client, controls }
    }

    /// One whose client has its token.
    async fn warm() -> Self {
        let world = Self::new().await;
        makes_a_code(&world.client).await.unwrap();
        world
    }

    /// Another replica of the same account, which knows of no trouble.
    fn replica(&self) -> Platform {
        Platform::new(self.account.clone()).unwrap()
    }

    async fn suffers(&self, faults: Value) {
        self.control("faults", &faults).await;
    }

    async fn control(&self, name: &str, body: &Value) {
        let answer = self.controls.post(format!("{}/simulator/{name}", self.base)).json(body);
        let answer = within(name, answer.send()).await.unwrap();
        assert!(answer.status().is_success(), "{body}");
    }

    async fn counters(&self) -> Value {
        let log = self.controls.get(format!("{}/simulator/log", self.base)).send();
        let log: Value = within("the log", within("the log", log).await.unwrap().json()).await.unwrap();
        log["counters"].clone()
    }

    async fn calls(&self, path: &str) -> u64 {
        self.counters().await["calls"][path].as_u64().unwrap_or_default()
    }

    /// Fetches of a token, and calls for a code.
    async fn traffic(&self) -> (u64, u64) {
        (self.calls(STABLE_TOKEN).await, self.calls(CREATE).await)
    }
}

async fn makes_a_code(client: &Platform) -> Result<(), Error> {
    let scene = Scene::random(&SessionId::random());
    let code = within("a QR code", client.create_qr_code(&scene, LIFETIME)).await?;
    assert!(code.scene == scene && code.content.contains("/q/"));
    Ok(())
}

async fn looks_up(client: &Platform) -> Result<Person, Error> {
    let openid = OpenId::parse("oSim0_nobody000000000000000").unwrap();
    within_time(PERSON_TIMEOUT, "a look-up", client.person(&openid)).await
}

/// The failure that made the client rest, and what is left of the rest.
fn rests(error: Error) -> (Error, Duration) {
    match error {
        Error::Resting { cause, left } => (Arc::unwrap_or_clone(cause), left),
        other => panic!("the call was made: {other}"),
    }
}

fn code_of(error: &Error) -> i64 {
    let Error::Refused { code, .. } = error else { panic!("no refusal: {error}") };
    *code
}

/// The code that a call got, or that it was not made for.
fn first_code_of(error: &Error) -> i64 {
    match error {
        Error::Resting { cause, .. } => code_of(cause),
        error => code_of(error),
    }
}

#[tokio::test]
async fn a_hundred_calls_at_once_fetch_one_token() {
    let world = World::new().await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
    assert_eq!(world.traffic().await, (1, 100));
}

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
async fn a_hundred_calls_at_once_share_one_refusal() {
    let world = World::new().await;
    world.suffers(json!({"ip_not_allowed": true, "latency_ms": 100})).await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        assert_eq!(first_code_of(&made.unwrap_err()), 40164);
    }
    assert_eq!(world.traffic().await, (1, 0), "nobody hammers");
}

#[tokio::test]
async fn a_fetch_goes_on_without_those_who_left() {
    let world = World::new().await;
    world.suffers(json!({"latency_ms": 300})).await;
    assert!(timeout(Duration::from_millis(50), makes_a_code(&world.client)).await.is_err());
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.traffic().await, (1, 1));
}

#[tokio::test]
async fn replicas_agree_on_the_token_by_themselves() {
    let world = World::new().await;
    let other = world.replica();
    makes_a_code(&world.client).await.unwrap();
    makes_a_code(&other).await.unwrap();
    makes_a_code(&world.client).await.unwrap();
    let counters = world.counters().await;
    assert_eq!((&counters["stable_tokens"], &counters["tokens_made"]), (&json!(2), &json!(1)));
    assert_eq!(world.calls(CREATE).await, 3, "no call failed");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_and_the_call_made_again() {
    let world = World::warm().await;
    world.suffers(json!({"token_revoked": true})).await;
    for made in join_all((0..20).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
    assert_eq!(world.calls(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn each_code_that_means_a_bad_token_makes_a_new_one_and_none_is_forced() {
    let world = World::warm().await;
    for (n, errcode) in [40001, 40014, 42001].into_iter().enumerate() {
        let fault = json!({"errcode": errcode, "calls": 1, "path": CREATE});
        world.suffers(json!({"token_revoked": true, "error": fault})).await;
        makes_a_code(&world.client).await.unwrap();
        let n = n as u64 + 1;
        assert_eq!(world.traffic().await, (1 + n, 1 + 2 * n), "{errcode}");
    }
    // Two hours later, by the platform's clock alone.
    world.control("clock", &json!({"advance_seconds": 7300})).await;
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.traffic().await, (5, 9));
    assert_eq!(world.counters().await["forced_tokens"], 0);
}

#[tokio::test]
async fn a_token_that_was_replaced_meanwhile_is_not_replaced_again() {
    let world = World::warm().await;
    world.suffers(json!({"latency_ms": 700})).await;
    let client = world.client.clone();
    let late = tokio::spawn(async move { makes_a_code(&client).await });
    tokio::task::yield_now().await;
    world.suffers(json!({"latency_ms": 0, "token_revoked": true})).await;
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.calls(STABLE_TOKEN).await, 2);
    within("the late call", late).await.unwrap().unwrap();
    assert_eq!(world.traffic().await, (2, 5), "it found the new token there");
}

#[tokio::test]
async fn a_token_that_is_given_again_after_it_failed_ends_in_an_error_that_says_so() {
    let world = World::new().await;
    for code in [40001, 40014, 42001] {
        let client = world.replica();
        makes_a_code(&client).await.unwrap();
        world.suffers(json!({"error": {"errcode": code, "calls": 1000, "path": CREATE}})).await;
        let (tokens, calls) = world.traffic().await;
        let error = makes_a_code(&client).await.unwrap_err();
        assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
        assert!(error.to_string().contains("does not take the access token that it gives"), "{error}");
        assert_eq!(world.traffic().await, (tokens + 1, calls + 1), "no loop");
        for _ in 0..10 {
            let (cause, left) = rests(makes_a_code(&client).await.unwrap_err());
            assert!(
                matches!(cause, Error::TokenNotTaken) && left > Duration::from_secs(20),
                "{cause} {left:?}"
            );
        }
        assert_eq!(world.traffic().await, (tokens + 1, calls + 1), "no hammering");
        world.suffers(json!({"error": null})).await;
    }
}

#[tokio::test]
async fn a_new_token_that_is_not_taken_either_gets_no_third_try() {
    let world = World::warm().await;
    let fault = json!({"errcode": 40001, "calls": 1000, "path": CREATE});
    world.suffers(json!({"token_revoked": true, "error": fault})).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
    assert_eq!(world.traffic().await, (2, 3));
}

#[tokio::test]
async fn at_the_token_endpoint_40001_is_a_wrong_secret_and_nothing_is_tried_again() {
    for errcode in [40001, 40014, 42001] {
        let world = World::new().await;
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1000, "path": STABLE_TOKEN}})).await;
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert_eq!(code_of(&error), errcode);
        assert_eq!(error.to_string().contains("WECHAT_APP_SECRET"), errcode == 40001, "{error}");
        assert_eq!(world.traffic().await, (1, 0), "{errcode}");
    }
}

#[tokio::test]
async fn a_dead_token_that_cannot_be_replaced_is_not_used_again() {
    let world = World::warm().await;
    world.suffers(json!({"token_revoked": true, "ip_not_allowed": true})).await;
    assert_eq!(code_of(&makes_a_code(&world.client).await.unwrap_err()), 40164);
    for _ in 0..10 {
        assert_eq!(code_of(&rests(makes_a_code(&world.client).await.unwrap_err()).0), 40164);
    }
    assert_eq!(world.traffic().await, (2, 2));
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
async fn a_busy_platform_is_asked_three_times() {
    let world = World::new().await;
    for path in [STABLE_TOKEN, CREATE] {
        world.suffers(json!({"error": {"errcode": -1, "calls": 2, "path": path}})).await;
        let began = Instant::now();
        makes_a_code(&world.client).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(450), "not at once: {:?}", began.elapsed());
    }
    assert_eq!(world.traffic().await, (3, 1 + 3));
    let world = World::warm().await;
    world.suffers(json!({"error": {"errcode": -1, "calls": 1000, "path": CREATE}})).await;
    assert_eq!(code_of(&makes_a_code(&world.client).await.unwrap_err()), -1);
    assert_eq!(world.traffic().await, (1, 1 + 3));
}

#[tokio::test]
async fn a_crowd_does_not_make_a_busy_platform_busier() {
    let world = World::warm().await;
    world
        .suffers(json!({"error": {"errcode": -1, "calls": 100_000, "path": CREATE}, "latency_ms": 50}))
        .await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        assert_eq!(first_code_of(&made.unwrap_err()), -1);
    }
    let calls = world.calls(CREATE).await;
    assert!(calls <= 1 + 100 + BORNE as u64, "{calls} calls of a hundred logins");
    assert_eq!(code_of(&rests(makes_a_code(&world.client).await.unwrap_err()).0), -1);
}

#[tokio::test]
async fn broken_connections_in_a_row_make_it_rest_and_one_call_finds_out_that_it_is_over() {
    let world = World::warm().await;
    world.suffers(json!({"connection_reset": {"calls": BORNE + 1, "path": CREATE}})).await;
    for _ in 0..BORNE {
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    }
    let calls = world.calls(CREATE).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert_eq!(error.retry_after(), Duration::from_secs(1));
    let (cause, left) = rests(error);
    assert!(matches!(cause, Error::Unreachable(_)) && left <= Duration::from_secs(1), "{cause} {left:?}");
    assert_eq!(world.calls(CREATE).await, calls, "a platform that rests is not asked");
    sleep(left).await;
    // The probe, with whom nobody else calls, meets the last reset.
    let mut failures = join_all((0..20).map(|_| makes_a_code(&world.client))).await;
    assert_eq!(world.calls(CREATE).await, calls + 1);
    let (_, left) = rests(failures.swap_remove(0).unwrap_err());
    assert!(left > Duration::from_secs(1), "the second rest is longer: {left:?}");
    sleep(left).await;
    makes_a_code(&world.client).await.unwrap();
    for made in join_all((0..20).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
}

#[tokio::test]
async fn a_probe_that_is_given_up_is_not_the_last() {
    let world = World::warm().await;
    world.suffers(json!({"connection_reset": {"calls": BORNE, "path": CREATE}})).await;
    for _ in 0..BORNE {
        makes_a_code(&world.client).await.unwrap_err();
    }
    sleep(rests(makes_a_code(&world.client).await.unwrap_err()).1).await;
    world.suffers(json!({"latency_ms": 60_000})).await;
    assert!(
        timeout(Duration::from_millis(200), makes_a_code(&world.client)).await.is_err(),
        "the probe hangs"
    );
    world.suffers(json!({"latency_ms": 0})).await;
    makes_a_code(&world.client).await.unwrap();
}

#[tokio::test]
async fn a_used_up_quota_stops_the_calls_that_it_is_for_as_long_as_it_names() {
    let day = 86_400 + 120;
    for (errcode, longest) in [(45011, 70), (45009, day)] {
        let world = World::warm().await;
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1, "path": CREATE}})).await;
        let told = makes_a_code(&world.client).await.unwrap_err().retry_after().as_secs();
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert!(error.retry_after().as_secs() <= told, "who waits as long as was told first finds it over");
        let (cause, left) = rests(error);
        assert_eq!(code_of(&cause), errcode);
        // Something of it has passed.
        assert!((50..=longest).contains(&left.as_secs()), "{errcode}: {left:?}");
        looks_up(&world.client).await.expect("another call has a quota of its own");
        assert_eq!(world.traffic().await, (1, 2), "{errcode}");
    }
}

#[tokio::test]
async fn what_an_operator_must_mend_stops_the_calls_at_once() {
    let codes =
        [(48001, CREATE), (48004, CREATE), (50007, CREATE), (40125, STABLE_TOKEN), (40243, STABLE_TOKEN)];
    for (errcode, path) in codes {
        let world = World::new().await;
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1000, "path": path}})).await;
        assert_eq!(code_of(&makes_a_code(&world.client).await.unwrap_err()), errcode);
        for refused in join_all((0..50).map(|_| makes_a_code(&world.client))).await {
            let (cause, left) = rests(refused.unwrap_err());
            assert_eq!(code_of(&cause), errcode);
            assert!((20..=30).contains(&left.as_secs()), "{errcode}: {left:?}");
        }
        assert_eq!(world.calls(path).await, 1, "{errcode}");
        assert_eq!(world.calls(STABLE_TOKEN).await, 1, "{errcode} is not about the token");
    }
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_harms_nobody_while_the_token_is_good() {
    let world = World::warm().await;
    world.suffers(json!({"ip_not_allowed": true})).await;
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.calls(STABLE_TOKEN).await, 1);
}

#[tokio::test]
async fn a_stranger_has_nothing_to_tell() {
    let world = World::new().await;
    match looks_up(&world.client).await {
        Ok(person) => assert!(person.unionid.is_none() && person.nickname.is_none()),
        Err(error) => assert_eq!(code_of(&error), 40003),
    }
}

#[tokio::test]
async fn a_persons_own_error_is_nobodys_trouble() {
    let world = World::warm().await;
    let strangers = 4 * BORNE;
    world.suffers(json!({"error": {"errcode": 40003, "calls": strangers, "path": USER_INFO}})).await;
    for _ in 0..strangers {
        assert_eq!(code_of(&looks_up(&world.client).await.unwrap_err()), 40003);
    }
    looks_up(&world.client).await.unwrap();
}

#[tokio::test]
async fn a_look_up_ends_before_redeeming_goes_on_without_it_whatever_the_platform_does() {
    let world = World::warm().await;
    looks_up(&world.client).await.unwrap();
    world.suffers(json!({"error": {"errcode": -1, "calls": 1000, "path": USER_INFO}})).await;
    assert_eq!(code_of(&looks_up(&world.client).await.unwrap_err()), -1);
    let slow = json!({"error": {"errcode": -1, "calls": 1000, "path": USER_INFO}, "latency_ms": 1000});
    world.suffers(slow).await;
    let error = looks_up(&world.client).await.unwrap_err();
    assert_eq!(code_of(&error), -1, "an answer that could not be waited for was not asked for");
    assert!(world.calls(USER_INFO).await <= 1 + 3 + 1);
    world.suffers(json!({"reset": true, "latency_ms": 60_000})).await;
    let silent = join_all((0..BORNE).map(|_| looks_up(&world.client))).await;
    for error in silent.into_iter().map(Result::unwrap_err) {
        assert!(matches!(&error, Error::Unreachable(why) if why == "no answer in time"), "{error:?}");
    }
    rests(looks_up(&world.client).await.unwrap_err());
    world.suffers(json!({"latency_ms": 0})).await;
    makes_a_code(&world.client).await.expect("QR codes are another matter");
}
