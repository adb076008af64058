//! A6: clients that take their time. The server's own time-outs end them, and others notice nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tests::browser::Browser;
use tests::patience::within_time;
use tests::stack::{Plan, Stack, somebodys_openid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// The server's limit for a request's head is 10 s.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// A client must take something of its answers within 15 s.
const PROGRESS_LIMIT: Duration = Duration::from_secs(25);
/// Clients at the same time.
const CROWD: usize = 200;

async fn small_stack() -> Stack {
    Plan { gateways: 1, callbacks: 1, ..Plan::default() }.start().await
}

/// Waits until the server ends the connection.
async fn is_ended(mut socket: TcpStream) {
    let mut rest = Vec::new();
    // An error is an end as well: the server need not be polite.
    let _ = within_time(HEAD_LIMIT, "the server to end it", socket.read_to_end(&mut rest)).await;
}

async fn logs_in(stack: &Stack) {
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn a6_a_crowd_that_never_finishes_its_handshakes_is_ended() {
    let stack = small_stack().await;
    for address in [stack.gateways[0].public(), stack.callbacks[0].public()] {
        let mut crowd = Vec::new();
        for n in 0..CROWD {
            let mut socket = TcpStream::connect(address).await.unwrap();
            if n % 2 == 0 {
                socket.write_all(b"GET /ws HTTP/1.1\r\nhost: x\r\n").await.unwrap();
            }
            crowd.push(socket);
        }
        logs_in(&stack).await;
        futures_util::future::join_all(crowd.into_iter().map(is_ended)).await;
    }
}

#[tokio::test]
async fn a6_headers_that_trickle_are_ended() {
    let stack = small_stack().await;
    let socket = TcpStream::connect(stack.gateways[0].public()).await.unwrap();
    let (mut read, mut write) = socket.into_split();
    let trickle = async {
        // The server's end makes writing fail.
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    write_head_then(trickle, &mut read).await;
    logs_in(&stack).await;
}

async fn write_head_then(trickle: impl Future<Output = ()>, read: &mut tokio::net::tcp::OwnedReadHalf) {
    let mut rest = Vec::new();
    let ended = async {
        tokio::select! { () = trickle => {}, _ = read.read_to_end(&mut rest) => {} }
    };
    within_time(HEAD_LIMIT, "the server to end it", ended).await;
}

#[tokio::test]
async fn a6_a_reader_that_never_reads_costs_its_own_connection_only() {
    let stack = small_stack().await;
    let address = stack.gateways[0].public();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    // Pings with the largest payload; every answer stays in the socket until there is no room for more.
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.extend([0; 125]);
    let burst = ping.repeat(100);
    let flood = async { while socket.write_all(&burst).await.is_ok() {} };
    let flooded = tokio::time::timeout(Duration::from_secs(20), flood).await;
    logs_in(&stack).await;
    assert!(memory_kib(&stack) < 256 * 1024, "{} KiB, flood ended: {}", memory_kib(&stack), flooded.is_ok());
}

#[tokio::test]
async fn a6_who_asks_and_never_reads_the_answers_is_ended() {
    let stack = small_stack().await;
    tokio::join!(
        is_ended_that_never_reads(stack.callbacks[0].public(), "/wechat/callback"),
        is_ended_that_never_reads(stack.gateways[0].public(), "/"),
    );
    logs_in(&stack).await;
}

async fn is_ended_that_never_reads(address: SocketAddr, path: &str) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    let requests = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(1000);
    // It ends only by the server's doing: as long as the connection stands, there is more to send.
    let flood = async { while socket.write_all(requests.as_bytes()).await.is_ok() {} };
    within_time(PROGRESS_LIMIT, "the server to end it", flood).await;
}

fn memory_kib(stack: &Stack) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stack.gateways[0].pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
