//! The application's own server, which redeems the code that its page got.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::http;

/// Who logged in, as the gateway tells the application.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Who.
    pub openid: String,
    /// Who across accounts, where the platform tells.
    pub unionid: Option<String>,
    /// The stand-in.
    pub nickname: String,
    /// Which login of this person it is.
    pub login_count: u64,
    /// RFC 3339.
    pub scanned_at: String,
}

/// An application that knows a gateway and the secret that they share.
#[derive(Clone, Debug)]
pub struct Application {
    gateway: String,
    secret: String,
}

impl Application {
    /// `gateway` is its base URL.
    pub fn new(gateway: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { gateway: gateway.into(), secret: secret.into() }
    }

    /// Redeems a code that is good.
    pub async fn redeem(&self, code: &str) -> Identity {
        match self.try_redeem(code).await {
            Ok(identity) => identity,
            Err(status) => panic!("a good code was not redeemed: {status}"),
        }
    }

    /// Redeems a code that may be good for nothing.
    ///
    /// # Errors
    ///
    /// The status of the refusal.
    pub async fn try_redeem(&self, code: &str) -> Result<Identity, StatusCode> {
        let request = http::client().post(format!("{}/api/redeem", self.gateway)).bearer_auth(&self.secret);
        let response = request.json(&json!({ "code": code })).send().await.unwrap();
        match response.status() {
            StatusCode::OK => Ok(response.json().await.unwrap()),
            refusal => Err(refusal),
        }
    }
}
