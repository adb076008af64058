//! HTTP/1.1 as cheap as it gets: a request is one write, connections are kept, and of an answer only what the driver
//! needs is read.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::endpoint::Endpoint;
use crate::sources;

/// Headers that an answer may have.
const HEADERS_MAX: usize = 64;
/// The longest answer that is read: scenes of a thousand codes.
const ANSWER_MAX: usize = 1024 * 1024;
/// Connections kept for the next request.
const IDLE_MAX: usize = 256;

/// Connections to one server.
#[derive(Debug)]
pub struct Pool {
    endpoint: Endpoint,
    idle: Mutex<Vec<TcpStream>>,
}

/// A connection that is ready for a request.
#[derive(Debug)]
pub struct Connection<'a> {
    pool: &'a Pool,
    stream: TcpStream,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// The head of an answer.
struct Head {
    status: u16,
    retry_after: Option<u64>,
    /// Where the body begins, and its length.
    body: usize,
    length: usize,
    /// Whether the server takes another request on this connection.
    stays: bool,
}

impl Pool {
    /// A pool with nothing in it.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, idle: Mutex::default() }
    }

    /// The server.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A POST below the endpoint's path, `headers` each with its line end.
    #[must_use]
    pub fn post(&self, path_and_query: &str, headers: &str, body: &str) -> Vec<u8> {
        let (path, host, length) = (self.endpoint.path(), self.endpoint.authority(), body.len());
        format!(
            "POST {path}{path_and_query} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// A GET below the endpoint's path.
    #[must_use]
    pub fn get(&self, path_and_query: &str) -> Vec<u8> {
        let (path, host) = (self.endpoint.path(), self.endpoint.authority());
        format!("GET {path}{path_and_query} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
    }

    /// A kept connection, or a new one.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub async fn connection(&self) -> io::Result<Connection<'_>> {
        loop {
            let Some(stream) = self.idle().pop() else {
                let stream = sources::connect(self.endpoint.address()).await?;
                return Ok(Connection { pool: self, stream });
            };
            // Something to read is the server's farewell.
            if matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Ok(Connection { pool: self, stream });
            }
        }
    }

    /// Asks on any connection.
    ///
    /// # Errors
    ///
    /// There is no answer, or none that is understood.
    pub async fn ask(&self, request: &[u8]) -> io::Result<Answer> {
        self.connection().await?.ask(request).await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection<'_> {
    /// Writes the request at once, and waits for the answer. The connection is kept if the server keeps it.
    ///
    /// # Errors
    ///
    /// There is no answer, or none that is understood. Whether the server has seen the request is not known then.
    pub async fn ask(mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        let mut read = Vec::with_capacity(1024);
        let head = loop {
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = parse_head(&read)? {
                break head;
            }
        };
        let end = head.body + head.length;
        while read.len() < end {
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if head.stays && read.len() == end {
            let mut idle = self.pool.idle();
            if idle.len() < IDLE_MAX {
                idle.push(self.stream);
            }
        }
        let body = read.get(head.body..end).unwrap_or_default().to_vec();
        Ok(Answer { status: head.status, retry_after: head.retry_after, body })
    }
}

fn parse_head(read: &[u8]) -> io::Result<Option<Head>> {
    let malformed = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let body = match response.parse(read).map_err(|_| malformed("the answer is not HTTP"))? {
        httparse::Status::Complete(body) => body,
        httparse::Status::Partial if read.len() < ANSWER_MAX => return Ok(None),
        httparse::Status::Partial => return Err(malformed("the answer's head does not end")),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head { status, retry_after: None, body, length: 0, stays: true };
    for header in response.headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                head.length = value.parse().map_err(|_| malformed("content-length is no number"))?;
            }
            "connection" => head.stays = !value.eq_ignore_ascii_case("close"),
            "retry-after" => head.retry_after = value.parse().ok(),
            "transfer-encoding" => return Err(malformed("an answer in chunks is not understood")),
            _ => {}
        }
    }
    if head.length > ANSWER_MAX {
        return Err(malformed("the answer is too long"));
    }
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_there() {
        let answer =
            b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\nRetry-After: 7\r\nConnection: Close\r\n\r\nabc";
        assert!(parse_head(&answer[..50]).unwrap().is_none());
        let head = parse_head(answer).unwrap().unwrap();
        assert_eq!((head.status, head.retry_after, head.length, head.stays), (503, Some(7), 3, false));
        assert_eq!(&answer[head.body..], b"abc");
        for bad in [&b"SSH-2.0\r\n"[..], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
            assert!(parse_head(bad).is_err());
        }
    }

    #[tokio::test]
    async fn a_connection_is_used_again_until_the_server_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(Endpoint::at(listener.local_addr().unwrap()));
        let server = tokio::spawn(async move {
            for answers in [2, 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..answers {
                    let mut request = [0; 1024];
                    let length = stream.read(&mut request).await.unwrap();
                    assert!(request[..length].ends_with(b"\r\n\r\n{}"));
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            }
        });
        for _ in 0..3 {
            let answer = pool.ask(&pool.post("/x?y=1", "", "{}")).await;
            // The server's farewell may not have arrived when the request is written.
            let answer = match answer {
                Ok(answer) => answer,
                Err(_) => pool.ask(&pool.post("/x?y=1", "", "{}")).await.unwrap(),
            };
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
        }
        server.await.unwrap();
    }
}
