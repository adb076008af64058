//! One browser's socket: bounded messages, bounded sends, and a heartbeat that finds dead peers.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use tokio::time::{self, Instant};
use tungstenite::Error as WireError;
use tungstenite::error::ProtocolError;

use crate::protocol::{ClientMessage, CloseCode, MESSAGE_MAX, ServerMessage};

/// Between two pings; below the idle time-outs of load balancers (60 s) and mobile networks.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Pings without an answer after which the peer is dead.
const PINGS_MISSED: u32 = 2;
/// A browser that does not read a message of a few kilobytes for this long is not there.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// For the browser's half of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The library allocates the read buffer at once and the write buffer on demand; its defaults cost an idle connection
/// 128 KiB.
const READ_BUFFER: usize = 256;
const WRITE_BUFFER_MAX: usize = 64 * 1024;

/// Sizes the socket's buffers for messages of a few kilobytes, not for the defaults' 128 KiB.
pub(crate) fn sized(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
}

/// The browser is not there any more, or does not read.
#[derive(Debug)]
pub(crate) struct Gone;

/// What came from the browser.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(ClientMessage),
    NotUnderstood,
    /// A frame that the protocol forbids; the connection is over.
    Broken(CloseCode),
    /// Closed, broken, or silent for too long.
    Gone,
}

pub(crate) struct Browser {
    /// Boxed, for every future that it moves through would have room for it.
    socket: Box<WebSocket>,
    next_ping: Instant,
    unanswered: u32,
}

impl Browser {
    pub(crate) fn new(socket: WebSocket) -> Self {
        Self { socket: Box::new(socket), next_ping: Instant::now() + PING_EVERY, unanswered: 0 }
    }

    /// Waits for the browser, pinging it meanwhile. Cancel safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            let frame = tokio::select! {
                frame = self.socket.recv() => frame,
                () = time::sleep_until(self.next_ping) => {
                    self.next_ping = Instant::now() + PING_EVERY;
                    if self.unanswered == PINGS_MISSED {
                        return Incoming::Gone;
                    }
                    self.unanswered += 1;
                    if self.write(Message::Ping(Default::default())).await.is_err() {
                        return Incoming::Gone;
                    }
                    continue;
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    self.unanswered = 0;
                    match frame {
                        Message::Text(text) => {
                            return ClientMessage::parse(&text)
                                .map_or(Incoming::NotUnderstood, Incoming::Message);
                        }
                        Message::Binary(_) => return Incoming::NotUnderstood,
                        // Answered by the library.
                        Message::Ping(_) | Message::Pong(_) => {}
                        Message::Close(_) => return Incoming::Gone,
                    }
                }
                Some(Err(error)) => {
                    return match error.into_inner().downcast_ref() {
                        Some(WireError::Capacity(_)) => Incoming::Broken(CloseCode::TooBig),
                        Some(WireError::Utf8(_)) => Incoming::Broken(CloseCode::NotText),
                        Some(WireError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                            Incoming::Gone
                        }
                        Some(WireError::Protocol(_)) => Incoming::Broken(CloseCode::Protocol),
                        _ => Incoming::Gone,
                    };
                }
                None => return Incoming::Gone,
            }
        }
    }

    pub(crate) async fn send(&mut self, message: &ServerMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).expect("strings and numbers are always JSON");
        self.write(Message::Text(text.into())).await
    }

    /// Closes with `code` and waits, for a bounded time, until the browser has done so too.
    pub(crate) async fn close(mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code: code.number(), reason: reason.into() };
        let handshake = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // Whether the browser takes part or not, the connection ends here.
        let _ = time::timeout(CLOSE_TIMEOUT, handshake).await;
    }

    async fn write(&mut self, message: Message) -> Result<(), Gone> {
        match time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}
