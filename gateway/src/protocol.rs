//! What browsers may rely on: the messages and the close codes (docs/browser-protocol.md).

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// The subprotocol that the server picks when it is offered.
pub const SUBPROTOCOL: &str = "scan-login.v1";
/// Prefix of the subprotocol that carries a session's secret, so that it is in no URL and no access log.
pub const RESUME_PREFIX: &str = "resume.";
/// The body of the 429 to a client that connects too often, by which it is told from any proxy's.
pub const TOO_OFTEN: &str = "too many connections from here\n";
/// The largest message that a browser may send, in bytes; the longest that it has reason to is below 100.
pub const MESSAGE_MAX: usize = 4096;

/// `retry_after` on the wire: whoever waits for so many seconds has waited long enough.
pub(crate) fn whole_seconds(after: Duration) -> u64 {
    after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)
}

/// From server to browser. Without `Debug`, for it carries secrets.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "message_type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// A QR code to show.
    QrcodeUrl {
        /// An image for an `img` element, as a data URI.
        url: String,
        /// The text inside the QR code.
        content: String,
        /// The resume secret.
        session: String,
        /// Seconds left, rounded down: a page never shows a code longer than it can be claimed.
        expires_in: u64,
    },
    /// The person is logged in.
    ScanSuccess {
        /// The stand-in for the nickname.
        user: String,
        /// The one-time code for the application.
        code: String,
    },
    /// The code's time is over; the socket stays open for `refresh`.
    Expired,
    /// Something went wrong.
    Error(ErrorMessage),
}

/// The body of an `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorMessage {
    /// For programs.
    pub code: ErrorCode,
    /// A sentence for a person.
    pub message: &'static str,
    /// Seconds after which trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The session to resume is unknown, ended or malformed; which of these is not said.
    UnknownSession,
    /// Another connection has the session now.
    Replaced,
    /// This visitor, its network, or all together have had as many QR codes as they may for now; which is not said.
    RateLimited,
    /// No QR code can be had from the platform.
    PlatformUnavailable,
    /// The login cannot be recorded.
    BackplaneUnavailable,
    /// The browser's message is not understood.
    BadMessage,
}

impl ErrorCode {
    /// Every one that there is.
    pub(crate) const ALL: [Self; 6] = [
        Self::UnknownSession,
        Self::Replaced,
        Self::RateLimited,
        Self::PlatformUnavailable,
        Self::BackplaneUnavailable,
        Self::BadMessage,
    ];

    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UnknownSession => "unknown_session",
            Self::Replaced => "replaced",
            Self::RateLimited => "rate_limited",
            Self::PlatformUnavailable => "platform_unavailable",
            Self::BackplaneUnavailable => "backplane_unavailable",
            Self::BadMessage => "bad_message",
        }
    }

    /// The message with its sentence for a person.
    #[must_use]
    pub fn message(self, retry_after: Option<u64>) -> ServerMessage {
        let message = match self {
            Self::UnknownSession => "This login is over or unknown. Ask for a new QR code.",
            Self::Replaced => "This login goes on in another window.",
            Self::RateLimited => "Too many QR codes were asked for. Please wait a little.",
            Self::PlatformUnavailable => "WeChat gives no QR code at the moment. Please try again shortly.",
            Self::BackplaneUnavailable => {
                "The login service is not available at the moment. Please try again shortly."
            }
            Self::BadMessage => "This message is not understood.",
        };
        ServerMessage::Error(ErrorMessage { code: self, message, retry_after })
    }
}

/// From browser to server. Types and fields that are not known are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Asks for a new QR code.
    Refresh,
    /// A type that this version does not know.
    Unknown,
}

impl ClientMessage {
    /// Reads a message; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let message: Map<String, Value> = serde_json::from_str(text).ok()?;
        Some(match message.get("message_type")?.as_str()? {
            "refresh" => Self::Refresh,
            _ => Self::Unknown,
        })
    }
}

/// Why the server closes a socket, and what the client does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// 1000: the session's life is over. Don't reconnect.
    Done,
    /// 1012: the replica is going away. Reconnect and resume.
    Restart,
    /// 1008: refused by policy. Don't reconnect.
    Policy,
    /// 1002: a frame broke the WebSocket protocol. Reconnect, with back-off.
    Protocol,
    /// 1007: a text was not UTF-8. Reconnect, with back-off.
    NotText,
    /// 1009: the message was too big.
    TooBig,
    /// 1013: the session is unharmed but cannot be continued now. Reconnect and resume, with back-off.
    TryLater,
}

impl CloseCode {
    /// The number on the wire (RFC 6455, section 7.4.1, and the IANA registry).
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Restart => 1012,
            Self::Policy => 1008,
            Self::Protocol => 1002,
            Self::NotText => 1007,
            Self::TooBig => 1009,
            Self::TryLater => 1013,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &ServerMessage) -> serde_json::Value {
        serde_json::to_value(message).unwrap()
    }

    #[test]
    fn messages_are_spelled_as_browsers_expect_them() {
        let code = ServerMessage::QrcodeUrl {
            url: "data:image/svg+xml,x".into(),
            content: "http://weixin.qq.com/q/x".into(),
            session: "s".into(),
            expires_in: 119,
        };
        assert_eq!(
            json(&code),
            serde_json::json!({"message_type": "qrcode_url", "url": "data:image/svg+xml,x",
                "content": "http://weixin.qq.com/q/x", "session": "s", "expires_in": 119})
        );
        assert_eq!(json(&ServerMessage::Expired), serde_json::json!({"message_type": "expired"}));
        let success = ServerMessage::ScanSuccess { user: "微信用户".into(), code: "c".into() };
        assert_eq!(
            json(&success),
            serde_json::json!({"message_type": "scan_success", "user": "微信用户", "code": "c"})
        );
        let error = json(&ErrorCode::PlatformUnavailable.message(Some(5)));
        assert_eq!(
            (&error["message_type"], &error["code"]),
            (&"error".into(), &"platform_unavailable".into())
        );
        assert_eq!(error["retry_after"], 5);
        assert!(json(&ErrorCode::BadMessage.message(None)).get("retry_after").is_none());
    }

    #[test]
    fn errors_are_counted_under_their_names_on_the_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(json(&code.message(None))["code"], code.name());
        }
    }

    #[test]
    fn whoever_waits_as_long_as_told_has_waited_long_enough() {
        let whole = |ms| whole_seconds(Duration::from_millis(ms));
        assert_eq!([whole(0), whole(1), whole(1000), whole(1001), whole(59_999)], [1, 1, 1, 2, 60]);
    }

    #[test]
    fn unknown_types_and_fields_are_no_errors() {
        let parse = ClientMessage::parse;
        assert_eq!(parse(r#"{"message_type":"refresh","x":[1]}"#), Some(ClientMessage::Refresh));
        assert_eq!(parse(r#"{"message_type":"confirm"}"#), Some(ClientMessage::Unknown));
        assert_eq!(parse(r#"{"message_type":"re\u0066resh"}"#), Some(ClientMessage::Refresh));
        for bad in [
            "",
            "refresh",
            "[]",
            r#"["refresh"]"#,
            "{}",
            "null",
            r#"{"message_type":1}"#,
            r#"{"message_type":"refresh""#,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
