//! A browser's WebSocket, by hand: what a proxy does to the upgrade shows in its answer.

use futures_util::StreamExt as _;
use gateway::protocol::{RESUME_PREFIX, SUBPROTOCOL, TOO_OFTEN};
use reqwest::header::{
    CONNECTION, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use shared::login::SessionId;
use tokio::time::{self, Instant};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::foreign::Foreign;
use crate::outside::{Answer, Failure, Outside, PATIENCE};

/// What a gateway says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It does not know the session: all is well.
    Well,
    /// It cannot ask Redis for the session.
    NoBackplane,
    /// Something that no gateway says.
    Other(String),
    /// Nothing in time.
    Nothing,
}

/// Why there is no WebSocket.
#[derive(Debug)]
pub(super) enum Refused {
    /// No answer.
    Failed(Failure),
    /// An answer that is no upgrade.
    Answered(Answer),
    /// An upgrade, but not by somebody who knows WebSocket.
    NotAccepted,
}

/// Opens a WebSocket as a page of `origin` would that comes back with a session, one that nobody has: that costs no QR
/// code, and makes the gateway ask Redis. The gateway takes it for a guess, which counts as 30 connections of this
/// address. Nothing asks it for less and goes as far: a new session costs a QR code, and a real one is somebody's.
pub(super) async fn open(outside: &Outside, url: &Url, origin: Option<&str>) -> Result<Greeting, Refused> {
    let mut url = url.clone();
    url.set_path("/ws");
    let (key, session) = (generate_key(), SessionId::random().expose());
    let mut request = outside
        .http()
        .get(url)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(SEC_WEBSOCKET_PROTOCOL, format!("{SUBPROTOCOL}, {RESUME_PREFIX}{session}"));
    if let Some(origin) = origin {
        request = request.header(ORIGIN, origin);
    }
    let asked = Instant::now();
    let response = request.send().await.map_err(|error| Refused::Failed(Failure::of(&error)))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let answer = Answer::read(response, asked).await.map_err(Refused::Failed)?;
        return Err(Refused::Answered(answer));
    }
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes().to_vec());
    if accept.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Refused::NotAccepted);
    }
    let upgraded = response.upgrade().await.map_err(|error| Refused::Failed(Failure::of(&error)))?;
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    let first = time::timeout(PATIENCE, socket.next()).await;
    // The gateway notices the end of the connection whether or not it is told.
    let _ = time::timeout(PATIENCE, socket.close(None)).await;
    Ok(first.map_or(Greeting::Nothing, greeting))
}

fn greeting(first: Option<Result<Message, SocketError>>) -> Greeting {
    let Some(Ok(Message::Text(text))) = first else { return Greeting::Nothing };
    let message: Value = serde_json::from_str(&text).unwrap_or_default();
    match (message["message_type"].as_str(), message["code"].as_str()) {
        (Some("error"), Some("unknown_session")) => Greeting::Well,
        (Some("error"), Some("backplane_unavailable")) => Greeting::NoBackplane,
        _ => Greeting::Other(text.to_string()),
    }
}

impl Refused {
    /// The status, where there was an answer.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answered(answer) => Some(answer.status),
            Self::Failed(_) | Self::NotAccepted => None,
        }
    }

    /// What happened.
    pub(super) fn words(&self, foreign: &Foreign) -> String {
        match self {
            Self::Failed(failure) => failure.to_string(),
            Self::Answered(answer) => answer.words(foreign),
            Self::NotAccepted => "101 without the right Sec-WebSocket-Accept".to_owned(),
        }
    }

    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Failed(failure) => failure.remedy().to_owned(),
            Self::NotAccepted => {
                "no gateway is behind /ws: the proxy must send it to the gateways (port 8080)".to_owned()
            }
            Self::Answered(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => too_often(answer),
            Self::Answered(answer) => status_remedy(answer.status).to_owned(),
        }
    }
}

/// Who has limits: the gateway, for one client, or somebody before it.
fn too_often(answer: &Answer) -> String {
    if answer.body != TOO_OFTEN.as_bytes() {
        return "a proxy limits requests: pages behind one address come back all at once, so let /ws through"
            .to_owned();
    }
    let seconds =
        answer.headers.get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse::<u32>().ok());
    let wait = seconds.map_or("wait".to_owned(), |seconds| format!("wait {seconds} s"));
    format!(
        "the gateway itself limits how often one client connects: name the proxy before it in TRUSTED_PROXIES, and let \
         it set X-Forwarded-For, or all browsers are one client. If that is so already, it is this address: {wait}, and \
         see QR_LIMIT_PER_CLIENT"
    )
}

fn status_remedy(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 426 => {
            "the proxy does not pass on Upgrade and Connection (nginx: proxy_http_version 1.1, proxy_set_header \
             Upgrade $http_upgrade, proxy_set_header Connection \"upgrade\")"
        }
        401 | 407 => "somebody asks for a password: let /ws through untouched",
        403 => "a firewall or a proxy refuses: let /ws through untouched",
        404 | 405 => "no gateway is behind /ws: the proxy must send it to the gateways (port 8080)",
        503 => {
            "the gateways are full (MAX_CONNECTIONS), or are going away, or the proxy reaches none: see their logs"
        }
        502 | 504 => {
            "the proxy does not reach a gateway: do they run, and are their addresses right in the proxy's \
             configuration?"
        }
        300..=399 => "browsers follow no redirect with a WebSocket: give doctor the URL to which it leads",
        _ => "is it a gateway that answers there? The proxy must send /ws to the gateways (port 8080)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> Greeting {
        greeting(Some(Ok(Message::text(text))))
    }

    #[test]
    fn a_gateway_is_known_by_its_first_words() {
        assert_eq!(says(r#"{"message_type":"error","code":"unknown_session"}"#), Greeting::Well);
        assert_eq!(says(r#"{"message_type":"error","code":"backplane_unavailable"}"#), Greeting::NoBackplane);
        assert_eq!(says("hello"), Greeting::Other("hello".to_owned()));
        assert_eq!(greeting(None), Greeting::Nothing);
    }

    #[test]
    fn each_way_of_refusing_has_its_remedy() {
        let remedy = |status| Refused::Answered(Answer::new(status, &[], "")).remedy();
        assert!(
            remedy(400).contains("Upgrade $http_upgrade") && remedy(426).contains("Upgrade $http_upgrade")
        );
        assert!(remedy(502).contains("does not reach a gateway"));
        assert!(remedy(503).contains("MAX_CONNECTIONS"));
        assert!(remedy(429).contains("a proxy limits"));
        let gateways = Refused::Answered(Answer::new(429, &[("retry-after", "7")], TOO_OFTEN)).remedy();
        assert!(gateways.contains("TRUSTED_PROXIES") && gateways.contains("wait 7 s"), "{gateways}");
        assert!(remedy(404).contains("8080") && Refused::NotAccepted.remedy().contains("8080"));
    }
}
