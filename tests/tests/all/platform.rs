//! The client of the platform's API, against the simulator with every kind of trouble.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use gateway::wechat::{Account, Error, Platform};
use serde_json::{Value, json};
use shared::login::{OpenId, Scene, SessionId};
use shared::settings::Secret;
use simulator::{Config, Simulator};
use tests::patience::{within, within_time};
use tokio::net::TcpListener;

const CREATE: &str = "/cgi-bin/qrcode/create";
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const LIFETIME: Duration = Duration::from_secs(120);

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

    /// Another replica of the same account.
    fn replica(&self) -> Platform {
        Platform::new(self.account.clone()).unwrap()
    }

    async fn suffers(&self, faults: Value) {
        let answer = self.controls.post(format!("{}/simulator/faults", self.base)).json(&faults);
        let answer = within("faults", answer.send()).await.unwrap();
        assert!(answer.status().is_success(), "{faults}");
    }

    async fn counters(&self) -> Value {
        let log = self.controls.get(format!("{}/simulator/log", self.base)).send();
        let log: Value = within("the log", within("the log", log).await.unwrap().json()).await.unwrap();
        log["counters"].clone()
    }

    async fn calls(&self, path: &str) -> u64 {
        self.counters().await["calls"][path].as_u64().unwrap_or_default()
    }
}

async fn makes_a_code(client: &Platform) -> Result<(), Error> {
    let scene = Scene::random(&SessionId::random());
    let code = within("a QR code", client.create_qr_code(&scene, LIFETIME)).await?;
    assert!(code.scene == scene && code.content.contains("/q/"));
    Ok(())
}

#[tokio::test]
async fn a_hundred_calls_at_once_fetch_one_token() {
    let world = World::new().await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
    assert_eq!(world.calls(STABLE_TOKEN).await, 1);
    assert_eq!(world.calls(CREATE).await, 100);
}

#[tokio::test]
async fn a_hundred_calls_at_once_share_one_refusal() {
    let world = World::new().await;
    world.suffers(json!({"ip_not_allowed": true, "latency_ms": 100})).await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        assert!(matches!(made, Err(Error::Refused { code: 40164, .. })), "{made:?}");
    }
    assert_eq!(world.calls(STABLE_TOKEN).await, 1, "nobody hammers");
}

#[tokio::test]
async fn replicas_agree_on_the_token_by_themselves() {
    let world = World::new().await;
    let other = world.replica();
    makes_a_code(&world.client).await.unwrap();
    makes_a_code(&other).await.unwrap();
    makes_a_code(&world.client).await.unwrap();
    let counters = world.counters().await;
    assert_eq!((&counters["stable_tokens"], &counters["forced_tokens"]), (&json!(2), &json!(0)));
    assert_eq!(world.calls(CREATE).await, 3, "no call failed");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_and_the_call_made_again() {
    let world = World::new().await;
    makes_a_code(&world.client).await.unwrap();
    world.suffers(json!({"token_revoked": true})).await;
    for made in join_all((0..20).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
    assert_eq!(world.calls(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn a_token_that_is_given_but_never_taken_ends_in_an_error_that_says_so() {
    let world = World::new().await;
    for code in [40001, 40014, 42001] {
        world.suffers(json!({"error": {"errcode": code, "calls": 1000, "path": CREATE}})).await;
        let (tokens, calls) = (world.calls(STABLE_TOKEN).await, world.calls(CREATE).await);
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
        assert!(
            world.calls(STABLE_TOKEN).await - tokens <= 2 && world.calls(CREATE).await - calls <= 2,
            "no loop"
        );
    }
}

#[tokio::test]
async fn refusals_tell_the_operator_what_to_do() {
    let world = World::new().await;
    let advice = [
        (48001, "测试号"),
        (45009, "quota"),
        (40013, "WECHAT_APP_ID"),
        (50007, "frozen"),
        (99999, "return codes"),
    ];
    for (errcode, says) in advice {
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1, "path": CREATE}})).await;
        let said = makes_a_code(&world.client).await.unwrap_err().to_string();
        assert!(said.contains(says) && said.contains(&errcode.to_string()), "{said}");
    }
    let fresh = world.replica();
    world.suffers(json!({"ip_not_allowed": true})).await;
    let said = makes_a_code(&fresh).await.unwrap_err().to_string();
    assert!(said.contains("IP白名单") && said.contains("invalid ip"), "{said}");
    world.suffers(json!({"reset": true, "secret_reset": true})).await;
    let said = makes_a_code(&fresh).await.unwrap_err().to_string();
    assert!(said.contains("WECHAT_APP_SECRET"), "{said}");
    assert!(!said.contains(world.account.app_secret.expose()), "{said}");
}

#[tokio::test]
async fn garbage_and_broken_connections_are_errors_and_the_next_call_works() {
    let world = World::new().await;
    makes_a_code(&world.client).await.unwrap();
    world.suffers(json!({"not_json": {"calls": 1}})).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable(_) | Error::Status(_)), "{error:?}");
    world.suffers(json!({"connection_reset": {"calls": 1}})).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(!error.to_string().contains("access_token"), "{error}");
    makes_a_code(&world.client).await.unwrap();
}

#[tokio::test]
async fn a_platform_that_does_not_answer_is_given_up() {
    let world = World::new().await;
    world.suffers(json!({"latency_ms": 60_000})).await;
    let error =
        within_time(Duration::from_secs(8), "the time-out", makes_a_code(&world.client)).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable(why) if why == "no answer in time"), "{error:?}");
}

#[tokio::test]
async fn a_stranger_has_nothing_to_tell() {
    let world = World::new().await;
    let openid = OpenId::parse("oSim0_nobody000000000000000").unwrap();
    match within("a look-up", world.client.person(&openid)).await {
        Ok(person) => assert!(person.unionid.is_none() && person.nickname.is_none()),
        Err(error) => assert!(matches!(error, Error::Refused { code: 40003, .. }), "{error:?}"),
    }
}
