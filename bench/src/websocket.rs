//! The browser's half of a WebSocket (RFC 6455) as cheap as it gets: a waiting one has no buffer of its own.

use std::io;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::endpoint::Endpoint;
use crate::{random, sources};

/// The subprotocol, and what a resumed session's secret is offered with (docs/browser-protocol.md, "Sessions").
const PROTOCOL: &str = "scan-login.v1";
/// What the server hashes with the key (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What one read takes; a message has a few kilobytes.
const READ_MAX: usize = 16 * 1024;
/// The longest message; the server's are below 10 KiB.
const MESSAGE_MAX: usize = 256 * 1024;

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// What was read of a frame that is not whole yet; without memory otherwise.
    read: Vec<u8>,
    /// When that was.
    read_at: Instant,
}

/// What a socket is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// The end, with the close code if there is one.
    Close(Option<u16>),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with this status.
    #[error("the server refused the WebSocket with status {0}")]
    Refused(u16),
    /// It did not answer, or not as a WebSocket server does.
    #[error("there is no WebSocket server")]
    Unreachable(#[from] io::Error),
}

/// A frame's header.
struct Frame {
    opcode: u8,
    payload: usize,
    end: usize,
}

impl Socket {
    /// Opens a socket as a page of `origin` does, or of the server's own origin, and offers a session to resume.
    ///
    /// # Errors
    ///
    /// The server refuses, or is not there.
    pub async fn open(server: &Endpoint, origin: Option<&str>, session: Option<&str>) -> Result<Self, Error> {
        let mut stream = sources::connect(server.address()).await?;
        let key = BASE64.encode(random::bytes::<16>()?);
        let own_origin = format!("http://{}", server.authority());
        let mut request = format!(
            "GET {}/ws HTTP/1.1\r\nhost: {}\r\norigin: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\nsec-websocket-protocol: {PROTOCOL}",
            server.path(),
            server.authority(),
            origin.unwrap_or(&own_origin),
        );
        if let Some(session) = session {
            request.push_str(&format!(", resume.{session}"));
        }
        request.push_str("\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut socket = Self { stream, read: Vec::new(), read_at: Instant::now() };
        socket.shake_hands(&key).await?;
        Ok(socket)
    }

    async fn shake_hands(&mut self, key: &str) -> Result<(), Error> {
        loop {
            self.fill().await?;
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(&self.read).map_err(|_| broken("the answer is not HTTP"))?;
            let httparse::Status::Complete(end) = parsed else {
                if self.read.len() > READ_MAX {
                    return Err(broken("the answer's head does not end").into());
                }
                continue;
            };
            let status = response.code.unwrap_or_default();
            if status != 101 {
                return Err(Error::Refused(status));
            }
            let proof = BASE64.encode(Sha1::digest(format!("{key}{GUID}").as_bytes()));
            let proves = |header: &httparse::Header<'_>| {
                header.name.eq_ignore_ascii_case("sec-websocket-accept") && header.value == proof.as_bytes()
            };
            if !response.headers.iter().any(proves) {
                return Err(broken("sec-websocket-accept does not fit").into());
            }
            self.consume(end);
            return Ok(());
        }
    }

    /// Waits for the next message, and tells when it had arrived. Pings are answered meanwhile. Cancel safe.
    ///
    /// # Errors
    ///
    /// The connection broke, or a frame is none that this protocol has.
    pub async fn next(&mut self) -> io::Result<(Message, Instant)> {
        loop {
            while let Some(frame) = frame(&self.read)? {
                let payload = self.read.get(frame.payload..frame.end).unwrap_or_default();
                let message = match frame.opcode {
                    1 => Some(Message::Text(
                        String::from_utf8(payload.to_vec()).map_err(|_| broken("a text is not UTF-8"))?,
                    )),
                    8 => {
                        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                        Some(Message::Close(code))
                    }
                    9 => {
                        let pong = masked(10, payload)?;
                        // Who does not read its pongs pings again.
                        let _ = self.stream.try_write(&pong);
                        None
                    }
                    10 => None,
                    _ => return Err(broken("a frame is neither text nor control")),
                };
                self.consume(frame.end);
                if let Some(message) = message {
                    return Ok((message, self.read_at));
                }
            }
            self.fill().await?;
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&masked(1, text.as_bytes())?).await
    }

    /// Closes it as a page does that goes away; the other half of the handshake is not waited for.
    pub fn close(self, code: u16) {
        if let Ok(frame) = masked(8, &code.to_be_bytes()) {
            // Whether it arrives or not, the connection ends here.
            let _ = self.stream.try_write(&frame);
        }
    }

    /// Reads what is there, at least a byte. Cancel safe.
    async fn fill(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            // On the stack and for this moment: a waiting socket has no buffer.
            let mut read = [0; READ_MAX];
            match self.stream.try_read(&mut read) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.read_at = Instant::now();
                    self.read.extend_from_slice(read.get(..length).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        if bytes >= self.read.len() {
            self.read = Vec::new();
        } else {
            self.read.drain(..bytes);
        }
    }
}

/// The first frame, once it is whole.
fn frame(read: &[u8]) -> io::Result<Option<Frame>> {
    let [first, second, rest @ ..] = read else { return Ok(None) };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(broken("a frame is in parts, extended or masked"));
    }
    let (payload, length) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
        length => (2, usize::from(length)),
    };
    if length > MESSAGE_MAX {
        return Err(broken("a message is too long"));
    }
    let end = payload + length;
    Ok((read.len() >= end).then_some(Frame { opcode: first & 0x0f, payload, end }))
}

/// A frame from browser to server; what browsers send here is short.
fn masked(opcode: u8, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length <= 125);
    let length = length.ok_or_else(|| broken("the driver's own messages are short"))?;
    let mask = random::bytes::<4>()?;
    let mut frame = vec![0x80 | opcode, 0x80 | length];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Ok(frame)
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(payload.len()) {
            Ok(length) if length > 125 => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
            Ok(length) => frame.push(u8::try_from(length).unwrap()),
            Err(_) => {
                frame.push(127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_frame_is_taken_when_it_is_whole() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let bytes = server_frame(1, &vec![b'x'; length]);
            for cut in [0, 1, 3, bytes.len() - 1] {
                assert!(frame(&bytes[..cut.min(bytes.len() - 1)]).unwrap().is_none(), "{length} at {cut}");
            }
            let whole = frame(&bytes).unwrap().unwrap();
            assert_eq!((whole.opcode, whole.end - whole.payload, whole.end), (1, length, bytes.len()));
        }
    }

    #[test]
    fn fragments_masked_frames_and_giants_are_refused() {
        for bad in [&[0x01, 0x01, 0][..], &[0xc1, 0x00], &[0x81, 0x80], &[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert!(frame(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_browsers_send_is_masked() {
        let frame = masked(1, b"refresh").unwrap();
        assert_eq!(frame[..2], [0x81, 0x80 | 7]);
        let mask = &frame[2..6];
        let text: Vec<u8> =
            frame[6..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(text, b"refresh");
        assert!(masked(1, &[0; 126]).is_err());
    }
}
