//! The platform's API: only the gateway calls it (docs/wechat.md, "Tokens", "QR codes", "User data").

mod answer;
mod error;
mod token;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::login::{OpenId, QrCode, Scene, Ticket};
use shared::settings::Secret;

use self::answer::Answer;
pub use self::error::Error;
use self::token::Tokens;

/// The platform's API (docs/wechat.md).
pub const API_BASE: &str = "https://api.weixin.qq.com";
/// Connecting to the platform, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One call, from the first byte to the last. A browser waits for at most four of them: a token, a code, and both again.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
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

/// A client of the API, with its access token.
#[derive(Debug)]
pub struct Platform {
    http: reqwest::Client,
    account: Account,
    tokens: Tokens,
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
        let tokens = Tokens::new(http.clone(), account.clone());
        Ok(Self { http, account, tokens })
    }

    /// Makes a temporary QR code whose scans carry `scene`, for `lifetime` (whole seconds, at most 30 days).
    ///
    /// # Errors
    ///
    /// The platform cannot be reached, refuses, or answers nonsense.
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
        let url = format!("{}/cgi-bin/qrcode/create", self.account.api_base);
        let created: Created = self.call(|http| http.post(&url).json(&request)).await?;
        let ticket = Ticket::parse(&created.ticket).ok_or(Error::Unreadable("the ticket"))?;
        if created.url.is_empty() || created.url.len() > CONTENT_MAX {
            return Err(Error::Unreadable("the QR code's text"));
        }
        Ok(QrCode { scene: scene.clone(), ticket, content: created.url })
    }

    /// Looks a person up. A person who does not follow the account any more has nothing to tell.
    ///
    /// # Errors
    ///
    /// The platform cannot be reached, refuses, or answers nonsense.
    pub async fn person(&self, openid: &OpenId) -> Result<Person, Error> {
        let url = format!("{}/cgi-bin/user/info", self.account.api_base);
        let person: Person =
            self.call(|http| http.get(&url).query(&[("openid", openid.expose()), ("lang", "zh_CN")])).await?;
        let told = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Person { unionid: told(person.unionid), nickname: told(person.nickname) })
    }

    /// Makes a call that needs the access token. A token that the platform does not take is replaced once, and the call
    /// made once more.
    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        request: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let attempt = async |token: &Secret| {
            let request = request(&self.http).query(&[("access_token", token.expose())]);
            Answer::of(request).await?.read()
        };
        let token = self.tokens.get().await?;
        match attempt(&token).await {
            Err(error) if error.is_about_the_token() => {
                let token = self.tokens.replace(&token).await?;
                attempt(&token).await.map_err(|error| match error {
                    error if error.is_about_the_token() => Error::TokenNotTaken,
                    error => error,
                })
            }
            result => result,
        }
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
