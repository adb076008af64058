//! A browser's side of the WebSocket, as docs/browser-protocol.md has it.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::patience::within;

/// A page with an open WebSocket.
#[derive(Debug)]
pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: Vec<String>,
}

/// What a browser hears next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Value),
    /// The end, with the server's close code; `None` where the connection just broke.
    End(Option<u16>),
}

/// `qrcode_url`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownCode {
    message_type: String,
    /// The picture.
    pub url: String,
    /// The text inside it.
    pub content: String,
    /// The resume secret.
    pub session: String,
    /// Seconds left.
    pub expires_in: u64,
}

/// `scan_success`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Success {
    message_type: String,
    /// The stand-in for the nickname.
    pub user: String,
    /// What the application redeems.
    pub code: String,
}

/// How a browser asks for its socket.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The page's origin; without one it is no browser.
    pub origin: Option<String>,
    /// The session to resume.
    pub session: Option<String>,
    /// What comes after the path.
    pub query: &'static str,
    /// Any other headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Browser {
    /// A page of the gateway's own origin opens its socket. `gateway` is a base URL.
    pub async fn open(gateway: &str) -> Self {
        Self::ask(gateway, Request { origin: Some(gateway.to_owned()), ..Request::default() }).await.unwrap()
    }

    /// A page comes back with its secret.
    pub async fn resume(gateway: &str, session: &str) -> Self {
        let (origin, session) = (Some(gateway.to_owned()), Some(session.to_owned()));
        Self::ask(gateway, Request { origin, session, ..Request::default() }).await.unwrap()
    }

    /// Asks for a socket that may be refused.
    ///
    /// # Errors
    ///
    /// The status of the refusal.
    pub async fn ask(gateway: &str, asked: Request) -> Result<Self, StatusCode> {
        let url = format!("{}/ws{}", gateway.replacen("http", "ws", 1), asked.query);
        let mut request = url.into_client_request().unwrap();
        let mut set = |name: &'static str, value: &str| {
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        };
        if let Some(origin) = &asked.origin {
            set("origin", origin);
        }
        if let Some(session) = &asked.session {
            set("sec-websocket-protocol", &format!("scan-login.v1, resume.{session}"));
        }
        for (name, value) in &asked.headers {
            set(name, value);
        }
        let connected = within("a WebSocket", tokio_tungstenite::connect_async(request)).await;
        match connected {
            Ok((socket, response)) => {
                let picked = response.headers().get("sec-websocket-protocol");
                let expected = asked.session.is_some().then(|| HeaderValue::from_static("scan-login.v1"));
                assert_eq!(picked, expected.as_ref(), "the subprotocol that the server picks");
                Ok(Self { socket, heard: Vec::new() })
            }
            Err(tungstenite::Error::Http(refusal)) => Err(refusal.status()),
            Err(error) => panic!("no WebSocket: {error}"),
        }
    }

    /// Waits for the next message, or the end.
    pub async fn next(&mut self) -> Heard {
        loop {
            match within("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    self.heard.push(text.to_string());
                    return Heard::Message(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(frame))) => return Heard::End(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::End(None),
            }
        }
    }

    /// Waits for a message.
    pub async fn message(&mut self) -> Value {
        match self.next().await {
            Heard::Message(message) => message,
            Heard::End(code) => panic!("the socket was closed with {code:?}"),
        }
    }

    /// Waits for a QR code to show.
    pub async fn qr_code(&mut self) -> ShownCode {
        let message = self.message().await;
        assert_eq!(message["message_type"], "qrcode_url", "{message}");
        serde_json::from_value(message).unwrap()
    }

    /// Waits for the success.
    pub async fn success(&mut self) -> Success {
        let message = self.message().await;
        assert_eq!(message["message_type"], "scan_success", "{message}");
        serde_json::from_value(message).unwrap()
    }

    /// Waits for the end of the QR code.
    pub async fn expired(&mut self) {
        let message = self.message().await;
        assert_eq!(message["message_type"], "expired", "{message}");
    }

    /// Waits for an error, and returns its code.
    pub async fn error(&mut self) -> String {
        let message = self.message().await;
        assert_eq!(message["message_type"], "error", "{message}");
        assert!(message["message"].is_string(), "{message}");
        message["code"].as_str().unwrap().to_owned()
    }

    /// Waits for the end, and returns the close code.
    pub async fn close_code(&mut self) -> Option<u16> {
        match self.next().await {
            Heard::End(code) => code,
            Heard::Message(message) => panic!("{message} instead of the end"),
        }
    }

    /// Asks for a new QR code.
    pub async fn refresh(&mut self) {
        self.say(r#"{"message_type":"refresh"}"#).await;
    }

    /// Sends a text, whatever it is.
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends bytes, which no page of ours does.
    pub async fn say_bytes(&mut self, bytes: &'static [u8]) {
        self.send(Message::binary(bytes)).await;
    }

    async fn send(&mut self, message: Message) {
        within("a message to be sent", self.socket.send(message)).await.unwrap();
    }

    /// Everything that this browser has heard, as it was on the wire.
    #[must_use]
    pub fn heard(&self) -> &[String] {
        &self.heard
    }
}
