//! One browser's socket: bounded messages, bounded sends, and a heartbeat that finds dead peers.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::{self, Instant};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error as WireError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use crate::protocol::{ClientMessage, CloseCode, MESSAGE_MAX, ServerMessage};

/// Between two pings; below the idle time-outs of load balancers (60 s) and mobile networks.
const PING_EVERY: Duration = Duration::from_secs(25);
/// Pings without an answer after which the peer is dead.
const PINGS_MISSED: u32 = 2;
/// A browser that does not read a message of a few kilobytes for this long is not there.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// What a browser says before it has had an answer is looked through for its leaving up to here.
const EARLY_MAX: u32 = 20;
/// For the browser's half of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The library allocates the read buffer at once and the write buffer on demand; its defaults cost an idle connection
/// 128 KiB.
const READ_BUFFER: usize = 256;
const WRITE_BUFFER_MAX: usize = 64 * 1024;

/// Buffers for messages of a few kilobytes, not for the defaults' 128 KiB.
fn sizes() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
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
    socket: Box<WebSocketStream<TokioIo<Upgraded>>>,
    next_ping: Instant,
    unanswered: u32,
    /// What came before anybody waited for it.
    early: Option<Incoming>,
    /// A message was begun and not ended: nothing that came after it would be understood.
    cut: bool,
}

impl Browser {
    /// A browser whose request to upgrade was answered.
    pub(crate) async fn new(upgraded: Upgraded) -> Self {
        let io = TokioIo::new(upgraded);
        let socket = Box::pin(WebSocketStream::from_raw_socket(io, Role::Server, Some(sizes()))).await;
        let next_ping = Instant::now() + PING_EVERY;
        Self { socket: Box::new(socket), next_ping, unanswered: 0, early: None, cut: false }
    }

    /// Whether the browser is known to have left already. What else it said stays for [`Self::next`].
    pub(crate) async fn has_left(&mut self) -> bool {
        // So that what has arrived is known to the runtime.
        tokio::task::yield_now().await;
        for _ in 0..EARLY_MAX {
            match self.receive().now_or_never() {
                Some(Incoming::Gone) => return true,
                Some(Incoming::Broken(code)) => self.early = Some(Incoming::Broken(code)),
                Some(Incoming::Message(ClientMessage::Unknown)) => {}
                Some(_) if matches!(self.early, Some(Incoming::Broken(_))) => {}
                // One answer does for all that it asked before it had one.
                Some(Incoming::Message(ClientMessage::Refresh)) => {
                    self.early = Some(Incoming::Message(ClientMessage::Refresh));
                }
                Some(said) => drop(self.early.get_or_insert(said)),
                None => break,
            }
        }
        false
    }

    /// Waits for the browser, pinging it meanwhile. Cancel safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        match self.early.take() {
            Some(early) => early,
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Incoming {
        loop {
            let frame = tokio::select! {
                frame = self.socket.next() => frame,
                () = time::sleep_until(self.next_ping) => {
                    self.next_ping = Instant::now() + PING_EVERY;
                    if self.unanswered == PINGS_MISSED {
                        return Incoming::Gone;
                    }
                    self.unanswered += 1;
                    if self.ping().await.is_err() {
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
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                        Message::Close(_) => return Incoming::Gone,
                    }
                }
                Some(Err(error)) => {
                    return match error {
                        WireError::Capacity(_) => Incoming::Broken(CloseCode::TooBig),
                        WireError::Utf8(_) => Incoming::Broken(CloseCode::NotText),
                        WireError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Incoming::Gone,
                        WireError::Protocol(_) => Incoming::Broken(CloseCode::Protocol),
                        _ => Incoming::Gone,
                    };
                }
                None => return Incoming::Gone,
            }
        }
    }

    /// Sends `message`. The library would keep a buffer as large as the largest message for as long as the connection
    /// lasts, two kilobytes with a QR code in it, so the frame goes to the socket past it.
    pub(crate) async fn send(&mut self, message: &ServerMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).expect("strings and numbers are always JSON");
        let frame = Frame::message(text, OpCode::Data(Data::Text), true);
        let mut bytes = Vec::with_capacity(frame.len());
        frame.format(&mut bytes).expect("a Vec takes everything");
        let sent = async {
            // An answer to a ping may be under way.
            self.socket.flush().await.map_err(|_| Gone)?;
            self.cut = true;
            self.socket.get_mut().write_all(&bytes).await.map_err(|_| Gone)?;
            self.cut = false;
            Ok(())
        };
        time::timeout(SEND_TIMEOUT, sent).await.unwrap_or(Err(Gone))
    }

    /// Closes with `code` and waits, for a bounded time, until the browser has done so too.
    pub(crate) async fn close(mut self, code: CloseCode, reason: &'static str) {
        if self.cut {
            return;
        }
        let frame = CloseFrame { code: code.number().into(), reason: reason.into() };
        let handshake = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Whether the browser takes part or not, the connection ends here.
        let _ = time::timeout(CLOSE_TIMEOUT, handshake).await;
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        match time::timeout(SEND_TIMEOUT, self.socket.send(Message::Ping(Default::default()))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}
