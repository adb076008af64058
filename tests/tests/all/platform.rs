//! The client of the platform's API, against the simulator with every kind of trouble.

pub(crate) mod codes;
mod people;
mod rests;
mod tokens;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use futures_util::future::{Either, join_all, select};
use gateway::wechat::{Account, Error, Person, Platform};
use serde_json::{Value, json};
use shared::login::{OpenId, Scene, SessionId};
use shared::settings::Secret;
use simulator::{Config, Simulator};
use tests::patience::{until, within, within_time};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const CREATE: &str = "/cgi-bin/qrcode/create";
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const USER_INFO: &str = "/cgi-bin/user/info";
const LIFETIME: Duration = Duration::from_secs(120);
/// What redeeming gives a look-up (gateway/src/redeem.rs).
const PERSON_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that a call for a code takes (gateway/src/wechat.rs).
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls for codes that are made at once (gateway/src/wechat.rs).
const CODES_AT_ONCE: usize = 64;
/// Failures in a row that a call of one login may meet before it rests (docs/wechat.md, "Trouble").
const BORNE: usize = 5;

/// A platform, and one replica's client of it.
struct World {
    base: String,
    account: Account,
    client: Arc<Platform>,
    controls: reqwest::Client,
    /// Calls that have come in, whether they are answered yet or not.
    arrived: Arc<Mutex<HashMap<String, usize>>>,
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
        let arrived = Arc::<Mutex<HashMap<String, usize>>>::default();
        let count = {
            let arrived = arrived.clone();
            move |request: Request, next: Next| {
                *arrived.lock().unwrap().entry(request.uri().path().to_owned()).or_default() += 1;
                next.run(request)
            }
        };
        let router: Router = Simulator::new(config).unwrap().router().layer(middleware::from_fn(count));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let controls = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let client = Arc::new(Platform::new(account.clone()).unwrap());
        Self { base, account, client, controls, arrived }
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

    /// Waits until so many calls have come in since the platform began.
    async fn hears(&self, path: &str, calls: usize) {
        until("the calls", async || self.arrived.lock().unwrap().get(path).is_some_and(|n| *n >= calls))
            .await;
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
        Error::Resting { cause, left, .. } => (Arc::unwrap_or_clone(cause), left),
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
