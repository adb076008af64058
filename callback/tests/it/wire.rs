//! C5 and A6: requests that no client sends, byte by byte.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use callback::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::platform::{ALICE, PATIENCE, Platform, Push, message, safe, success};

/// Longest time for an answer that waits for nothing; shorter than the callback waits for a body.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// A connection to the callback.
struct Wire {
    socket: TcpStream,
    opened: Instant,
}

impl Wire {
    async fn to(platform: &Platform) -> Self {
        let socket = TcpStream::connect(platform.address).await.unwrap();
        Self { socket, opened: Instant::now() }
    }

    /// Sends bytes; whether the callback still took them.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        timeout(PATIENCE, self.socket.write_all(bytes.as_ref())).await.unwrap().is_ok()
    }

    /// Everything that the callback sends until it ends the connection, and how long that took. Nothing more is sent, and
    /// the connection is not ended from here.
    async fn ends(mut self) -> (String, Duration) {
        let mut answer = Vec::new();
        // An error is an end as well.
        let _ = timeout(PATIENCE, self.socket.read_to_end(&mut answer)).await.unwrap();
        (String::from_utf8_lossy(&answer).into_owned(), self.opened.elapsed())
    }
}

/// What `request` gets, and how long the callback took to end the connection.
async fn sent(platform: &Platform, request: impl AsRef<[u8]>) -> (String, Duration) {
    let mut wire = Wire::to(platform).await;
    wire.send(request).await;
    wire.ends().await
}

fn status_line(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

/// A body in chunks, of one byte repeated.
fn chunk(length: usize) -> String {
    format!("{length:x}\r\n{}\r\n", "a".repeat(length))
}

#[tokio::test]
async fn a6_a_body_that_trickles_is_given_up() {
    let platform = Platform::new(safe());
    let (answer, took) = sent(&platform, platform.push("").head("Content-Length: 1000") + "<xml>").await;
    assert_eq!(status_line(&answer), "HTTP/1.1 408 Request Timeout");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn c5_a_body_that_is_framed_wrongly_is_no_slow_one() {
    let platform = Platform::new(safe());
    let head = platform.push("").head("Transfer-Encoding: chunked");
    let (answer, took) = sent(&platform, head + "zz\r\n").await;
    assert_eq!(status_line(&answer), "HTTP/1.1 400 Bad Request");
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn c5_a_body_that_is_announced_too_large_is_not_waited_for() {
    let platform = Platform::new(safe());
    for length in [65_537, 10 << 20, u64::MAX / 2] {
        let head = platform.push("").head(&format!("Content-Length: {length}"));
        let (answer, took) = sent(&platform, head).await;
        assert_eq!(status_line(&answer), "HTTP/1.1 413 Payload Too Large", "{length}");
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[tokio::test]
async fn c5_a_body_of_64_kib_is_read_and_one_byte_more_is_too_large() {
    let platform = Platform::new(safe());
    let status = async |length| platform.answer(platform.push("").with_body(vec![b' '; length])).await.status;
    assert_eq!(status(65_536).await, StatusCode::BAD_REQUEST);
    assert_eq!(status(65_537).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn c5_a_body_that_says_nothing_of_its_size_is_read_up_to_the_bound() {
    let platform = Platform::new(safe());
    let head = platform.push("").head("Transfer-Encoding: chunked");
    let mut wire = Wire::to(&platform).await;
    assert!(wire.send(head.clone() + &chunk(65_536)).await);
    // One byte more, and the callback has seen enough, although the body goes on.
    assert!(wire.send(chunk(1)).await);
    let (answer, took) = wire.ends().await;
    assert_eq!(status_line(&answer), "HTTP/1.1 413 Payload Too Large");
    assert!(took < AT_ONCE, "{took:?}");
    let head = platform.push("").head("Transfer-Encoding: chunked\r\nConnection: close");
    let (answer, _) = sent(&platform, head + &chunk(65_536) + "0\r\n\r\n").await;
    assert_eq!(
        status_line(&answer),
        "HTTP/1.1 400 Bad Request",
        "64 KiB are read, and are not the platform's XML"
    );
}

#[tokio::test]
async fn c5_ten_mebibytes_in_chunks_get_413() {
    let platform = Platform::new(safe());
    let mut wire = Wire::to(&platform).await;
    wire.send(platform.push("").head("Transfer-Encoding: chunked")).await;
    let mut taken = 0;
    // The callback's end makes writing fail.
    while taken < 10 << 20 && wire.send(chunk(16 << 10)).await {
        taken += 16 << 10;
    }
    let (answer, _) = wire.ends().await;
    assert_eq!(status_line(&answer), "HTTP/1.1 413 Payload Too Large", "after {taken} bytes");
}

#[tokio::test]
async fn c1_nothing_of_an_unsigned_body_is_read() {
    let platform = Platform::new(safe());
    let unsigned = platform.push("").replacing("signature", &"0".repeat(40));
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let (answer, took) = sent(&platform, unsigned.head(framing)).await;
        assert_eq!(status_line(&answer), "HTTP/1.1 403 Forbidden", "{framing}");
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[tokio::test]
async fn c2_nothing_of_a_plain_pushs_body_is_read_where_they_are_encrypted() {
    let platform = Platform::new(safe());
    let plain = platform.push("").without("encrypt_type").without("msg_signature");
    let (answer, took) = sent(&platform, plain.head("Content-Length: 1000")).await;
    assert_eq!(status_line(&answer), "HTTP/1.1 403 Forbidden");
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn c5_a_body_that_breaks_off_moves_nothing() {
    let platform = Platform::new(Mode::Plain);
    let login = platform.login().await;
    let push = platform.push(&login.scan(ALICE));
    let mut wire = Wire::to(&platform).await;
    wire.send(push.head(&format!("Content-Length: {}", push.body.len()))).await;
    wire.send(&push.body[..push.body.len() - 1]).await;
    wire.socket.shutdown().await.unwrap();
    let (answer, took) = wire.ends().await;
    assert!(!answer.starts_with("HTTP/1.1 200") && took < AT_ONCE, "{took:?} {answer}");
    assert!(platform.claimed_by(&login).await.is_none());
    // It never arrived, so the platform's repeat is the first.
    assert_eq!(platform.answer(push).await.shown(&platform), Some(success(1)));
}

/// A push with an answer of its own, so that it shows what was read of it.
fn greeting(platform: &Platform) -> (Push, String) {
    let push = platform.push(&message(ALICE, "text", ""));
    let body = String::from_utf8(push.body.clone()).unwrap();
    (push, body)
}

#[tokio::test]
async fn c5_what_is_behind_the_announced_length_is_not_the_pushs() {
    let platform = Platform::new(safe());
    let (push, body) = greeting(&platform);
    // The rest is another request, which is none.
    let (answer, _) =
        sent(&platform, push.head(&format!("Content-Length: {}", body.len())) + &body + &body).await;
    assert_eq!(status_line(&answer), "HTTP/1.1 200 OK");
    assert!(answer.contains("HTTP/1.1 400 Bad Request"), "{answer}");
    let short = push.head(&format!("Content-Length: {}", body.len() - 1)) + &body;
    let (answer, _) = sent(&platform, short).await;
    assert_eq!(status_line(&answer), "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn c5_requests_that_two_readers_could_take_for_different_ones_are_refused() {
    let platform = Platform::new(safe());
    let (push, body) = greeting(&platform);
    let length = body.len();
    for framing in [
        format!("Content-Length: {length}\r\nContent-Length: {}", length - 1),
        format!("Content-Length: {length}, {}", length - 1),
        format!("Content-Length: +{length}"),
        "Content-Length: -1".to_owned(),
        "Content-Length: x".to_owned(),
        "Content-Length: 99999999999999999999999999".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        format!("Content-Length : {length}"),
        format!("X-Other: 1\r\n Content-Length: {length}"),
    ] {
        let (answer, took) = sent(&platform, push.head(&framing) + &body).await;
        assert!(status_line(&answer).starts_with("HTTP/1.1 4"), "{framing:?}: {answer}");
        assert!(took < PATIENCE / 2, "{took:?}");
    }
}

#[tokio::test]
async fn c5_requests_that_are_no_http_are_refused() {
    let platform = Platform::new(safe());
    let (push, _) = greeting(&platform);
    let uri = push.uri();
    let requests: [Vec<u8>; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        format!("POST {uri} HTTP/9.9\r\nHost: x\r\n\r\n").into_bytes(),
        format!("POST {uri} and more HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
        format!("POST {uri}&a=\u{7f} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
        format!("POST {uri} HTTP/1.1\r\nHost\r\n\r\n").into_bytes(),
        format!("POST {uri} HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20 << 10)).into_bytes(),
        format!("POST {uri}&a={} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70 << 10)).into_bytes(),
    ];
    for request in requests {
        let (answer, took) = sent(&platform, &request).await;
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        assert!(status_line(&answer).starts_with("HTTP/1.1 4") || answer.is_empty(), "{shown:?}: {answer}");
        assert!(took < AT_ONCE, "{shown:?}: {took:?}");
    }
}

#[tokio::test]
async fn c1_a_query_that_is_not_the_platforms_is_refused() {
    let platform = Platform::new(safe());
    let (push, body) = greeting(&platform);
    let good = push.uri();
    let (path, query) = good.split_once('?').unwrap();
    let ask = async |uri: &str| {
        let head = format!(
            "POST {uri} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        sent(&platform, head + &body).await.0
    };
    let many: String = (0..11).map(|n| format!("&a{n}=1")).collect();
    for wrong in [
        path.to_owned(),
        format!("{path}?"),
        format!("{path}?{query}{many}"),
        format!("{path}?{query}&nonce=1"),
        format!("{path}?{query}&openid=x"),
        format!("{path}?{query}&encrypt_type=raw"),
        format!("{path}?{}", query.replace("nonce=", "nonce=%00")),
        format!("{path}?{}", query.replace("nonce=", "nonce=%ff")),
        format!("{path}?{}", query.replace("signature=", "Signature=")),
        format!("{path}?{}", query.replace('&', ";")),
        format!("{path}?{}", query.replace('&', "%26")),
    ] {
        let answer = ask(&wrong).await;
        assert_eq!(status_line(&answer), "HTTP/1.1 403 Forbidden", "{wrong}");
    }
    // What a proxy may do to it is no harm: parameters of its own, percent-encoding, the absolute form.
    for harmless in [
        format!("{path}?{query}{}", &many[..many.len() - 6]),
        format!("{path}?{query}&"),
        format!("{path}?{}", query.replace("nonce=", "no%6ece=")),
        format!("http://x{path}?{query}"),
    ] {
        let answer = ask(&harmless).await;
        assert_eq!(status_line(&answer), "HTTP/1.1 200 OK", "{harmless}");
    }
}
