//! A running simulator and its account's server.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use simulator::{Config, MessageMode, Simulator};
use tokio::net::TcpListener;

use crate::callback::Callback;

/// What every wait ends after.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Platform {
    pub(crate) config: Config,
    pub(crate) callback: Callback,
    client: Client,
}

/// A QR code, as the account's server gets it.
pub(crate) struct QrCode {
    pub(crate) ticket: String,
    pub(crate) content: String,
}

impl Platform {
    /// In plain mode, so that the small callback can read everything.
    pub(crate) async fn plain() -> Self {
        Self::start(MessageMode::Plain).await
    }

    pub(crate) async fn start(mode: MessageMode) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let callback = Callback::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public_url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config::random(&callback.url, public_url).unwrap();
        config.message_mode = mode;
        if mode == MessageMode::Plain {
            config.encoding_aes_keys.clear();
        }
        let simulator = Simulator::new(config.clone()).unwrap();
        tokio::spawn(async move { axum::serve(listener, simulator.router()).await });
        Self { config, callback, client: Client::builder().timeout(PATIENCE).no_proxy().build().unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.config.public_url)).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.try_post(path, body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        self.client.post(format!("{}{path}", self.config.public_url)).body(body.to_string()).send().await
    }

    /// A control that a page of another site calls.
    pub(crate) async fn post_from_another_site(&self, path: &str, body: &Value) -> Response {
        let request = self.client.post(format!("{}{path}", self.config.public_url));
        request.header("sec-fetch-site", "cross-site").body(body.to_string()).send().await.unwrap()
    }

    /// A control that must work.
    pub(crate) async fn control(&self, name: &str, body: &Value) -> Value {
        let answer = self.post(&format!("/simulator/{name}"), body).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        json_of(self.get(path).await).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Value {
        json_of(self.post(path, body).await).await
    }

    /// What the gateway sends for a stable token.
    pub(crate) fn credentials(&self) -> Value {
        let (app_id, secret) = (&self.config.app_id, &self.config.app_secret);
        json!({ "grant_type": "client_credential", "appid": app_id, "secret": secret })
    }

    pub(crate) async fn token(&self) -> String {
        let answer = self.post_json("/cgi-bin/stable_token", &self.credentials()).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn qr_code(&self, scene: &str) -> QrCode {
        let request = json!({
            "expire_seconds": 120,
            "action_name": "QR_STR_SCENE",
            "action_info": { "scene": { "scene_str": scene } },
        });
        let path = format!("/cgi-bin/qrcode/create?access_token={}", self.token().await);
        let answer = self.post_json(&path, &request).await;
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        QrCode { ticket: text("ticket"), content: text("url") }
    }
}

pub(crate) async fn json_of(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}
