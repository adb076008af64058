//! The platform's API: only the gateway calls it (docs/wechat.md, "Tokens", "QR codes", "User data").

pub mod answer;
mod breaker;
mod endpoint;
mod error;
mod metrics;
mod rest;
mod token;

use std::time::Duration;

use prometheus::proto::MetricFamily;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::login::{OpenId, QrCode, Scene, Ticket};
use shared::settings::Secret;
use tokio::sync::Semaphore;
use tokio::time;

use self::endpoint::Endpoint;
pub use self::error::Error;
use self::metrics::Metrics;
use self::token::Tokens;

/// The platform's API (docs/wechat.md).
pub const API_BASE: &str = "https://api.weixin.qq.com";
/// Connecting to the platform, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One call, from the first byte to the last, with what is asked again while the platform is busy. A browser waits for at
/// most four of them: a token, a code, and both again.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// A look-up of a person: below the 2 s after which redeeming goes on without it, so that silence is noticed.
const PERSON_TIMEOUT: Duration = Duration::from_millis(1500);
/// QR codes that are being made at once; a crowd waits for its turn instead of opening as many connections. At the
/// platform's usual tenth of a second that is hundreds a second.
const CODES_AT_ONCE: usize = 64;
/// Waiting for one's turn. With a call that takes all its time it is below the 8 s that a browser is given, so that who
/// had no turn is known from who may have a code.
const TURN_TIMEOUT: Duration = Duration::from_millis(2500);
/// Longest text that we draw; the platform's has 45 characters (docs/wechat.md, "QR codes").
const CONTENT_MAX: usize = 512;

/// What the platform is told to find the account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The app id.
    pub app_id: String,
    /// Its secret.
    pub app_secret: Secret,
    /// Where the API is, without a slash at the end (`WECHAT_API_BASE`).
    pub api_base: String,
}

/// What the platform still tells about a person.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Person {
    /// The person's id across all apps of an Open Platform account, where the account is bound to one.
    #[serde(default)]
    pub unionid: Option<String>,
    /// Empty since 2021-12-27 for nearly everybody (docs/wechat.md, "User data").
    #[serde(default)]
    pub nickname: Option<String>,
}

/// A client of the API, with its access token and what it has found out about the platform's state. A new one knows of no
/// trouble, so its first call is made.
#[derive(Debug)]
pub struct Platform {
    http: reqwest::Client,
    account: Account,
    tokens: Tokens,
    // Quotas and rights are each call's own.
    codes: Endpoint,
    people: Endpoint,
    /// One permit a QR code that is being made.
    places: Semaphore,
    metrics: Metrics,
}

impl Platform {
    /// A client for `account`. Nothing is asked of the platform before somebody needs it.
    ///
    /// # Errors
    ///
    /// There is no TLS provider or the system has no certificates.
    pub fn new(account: Account) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("scan-login/", env!("CARGO_PKG_VERSION")));
        if account.api_base.starts_with("http://") {
            // A simulator nearby: a proxy towards the internet would not find it, and it has no certificate to check.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let http = builder.build().map_err(Error::unreachable)?;
        let metrics = Metrics::default();
        let tokens = Tokens::new(http.clone(), account.clone(), &metrics);
        let codes = Endpoint::of_each("/cgi-bin/qrcode/create", CALL_TIMEOUT, &metrics);
        let people = Endpoint::of_each("/cgi-bin/user/info", PERSON_TIMEOUT, &metrics);
        Ok(Self { http, account, tokens, codes, people, places: Semaphore::new(CODES_AT_ONCE), metrics })
    }

    /// Makes a temporary QR code whose scans carry `scene`, for `lifetime` (whole seconds, at most 30 days).
    ///
    /// # Errors
    ///
    /// The platform cannot be reached, refuses, answers nonsense, or is given a rest after it did; or too many are being
    /// made ([`Error::Crowded`]).
    pub async fn create_qr_code(&self, scene: &Scene, lifetime: Duration) -> Result<QrCode, Error> {
        #[derive(Serialize)]
        struct Request {
            expire_seconds: u64,
            action_name: &'static str,
            action_info: ActionInfo,
        }
        // Without the inner object the call succeeds, and every scan reports 0 (docs/wechat.md, "QR codes").
        #[derive(Serialize)]
        struct ActionInfo {
            scene: SceneInfo,
        }
        #[derive(Serialize)]
        struct SceneInfo {
            scene_str: String,
        }
        #[derive(Deserialize)]
        struct Created {
            ticket: String,
            url: String,
        }
        let request = Request {
            expire_seconds: lifetime.as_secs(),
            action_name: "QR_STR_SCENE",
            action_info: ActionInfo { scene: SceneInfo { scene_str: scene.expose() } },
        };
        let url = self.codes.url(&self.account.api_base);
        let turn = time::timeout(TURN_TIMEOUT, self.places.acquire()).await;
        let turn = turn.map_err(|_| Error::Crowded).inspect_err(|_| self.codes.not_made());
        let _place = turn?.expect("nobody closes it");
        let read = |Created { ticket, url }| {
            let ticket = Ticket::parse(&ticket).ok_or(Error::Unreadable("a ticket that is none"))?;
            if url.is_empty() || url.len() > CONTENT_MAX {
                return Err(Error::Unreadable("a QR code's text that is empty or too long"));
            }
            Ok(QrCode { scene: scene.clone(), ticket, content: url })
        };
        let made = self.call(&self.codes, || self.http.post(&url).json(&request), read).await;
        if made.as_ref().err().is_none_or(|error| !error.made_nothing()) {
            self.metrics.code_made();
        }
        made
    }

    /// Looks a person up. A person who does not follow the account any more has nothing to tell.
    ///
    /// # Errors
    ///
    /// The platform cannot be reached, refuses, answers nonsense, or is given a rest after it did.
    pub async fn person(&self, openid: &OpenId) -> Result<Person, Error> {
        let url = self.people.url(&self.account.api_base);
        let query = [("openid", openid.expose()), ("lang", "zh_CN")];
        let told = |text: Option<String>| text.filter(|text| !text.is_empty());
        let read =
            |Person { unionid, nickname }| Ok(Person { unionid: told(unionid), nickname: told(nickname) });
        self.call(&self.people, || self.http.get(&url).query(&query), read).await
    }

    /// Makes a call that needs the access token. A token that the platform does not take is replaced once, and the call
    /// made once more.
    async fn call<T: DeserializeOwned, U>(
        &self,
        endpoint: &Endpoint,
        request: impl Fn() -> reqwest::RequestBuilder,
        read: impl FnOnce(T) -> Result<U, Error>,
    ) -> Result<U, Error> {
        let token = self.tokens.get().await?;
        let permit = endpoint.admit()?;
        let with = |token: &Secret| {
            let token = token.clone();
            let request = &request;
            move || request().query(&[("access_token", token.expose())])
        };
        let outcome = match endpoint.ask(&permit, with(&token)).await {
            Err(error) if error.is_about_the_token() => match self.tokens.replace(&token).await {
                Ok(token) => endpoint.ask(&permit, with(&token)).await.map_err(Error::after_a_new_token),
                Err(Error::TokenNotTaken) => Err(Error::TokenNotTaken),
                // That is the token endpoint's trouble, and says nothing about this one.
                Err(error) => return Err(error),
            },
            outcome => outcome,
        };
        endpoint.settle(permit, outcome, read)
    }

    /// What operators see of it.
    pub(crate) fn metrics(&self) -> Vec<MetricFamily> {
        for endpoint in [self.tokens.endpoint(), &self.codes, &self.people] {
            self.metrics.set_breaker(endpoint.path(), endpoint.state());
        }
        self.metrics.set_token(self.tokens.times());
        self.metrics.families()
    }

    /// Fetches the access token, unless a good one is held, and makes no call with it: for a diagnosis.
    ///
    /// # Errors
    ///
    /// The platform cannot be reached, refuses, or answers nonsense.
    pub async fn fetch_token(&self) -> Result<(), Error> {
        self.tokens.get().await.map(drop)
    }
}
