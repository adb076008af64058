//! Limits and endings: too many browsers, too long lives, messages that are none, and the answers while Redis, the
//! platform or the gateway itself is going away.

use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tests::browser::{Browser, Heard, Request};
use tests::http;
use tests::patience::{until, within};
use tests::program::{Program, setting};
use tests::stack::{Plan, Stack, is_well, somebodys_openid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The largest message that a browser may send.
const MESSAGE_MAX: usize = 4096;

pub(crate) async fn small(settings: &[(&str, &str)]) -> Stack {
    let settings = settings.iter().map(|(name, value)| setting(*name, *value)).collect();
    Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() }.start().await
}

pub(crate) async fn sent(request: RequestBuilder) -> Response {
    within("an answer", request.send()).await.unwrap()
}

/// Breaks the platform, or with an empty object repairs it.
pub(crate) async fn faults(stack: &Stack, mut update: Value) {
    update["reset"] = true.into();
    let url = format!("{}/simulator/faults", stack.simulator.url());
    assert_eq!(sent(http::client().post(url).json(&update)).await.status(), StatusCode::OK);
}

async fn readiness(program: &Program) -> (StatusCode, Value) {
    let answer = sent(http::client().get(format!("{}/readyz", program.admin_url()))).await;
    (answer.status(), answer.json().await.unwrap())
}

fn names(body: &Value, wrong: &str) -> bool {
    body["wrong"].as_array().unwrap().iter().any(|named| named == wrong)
}

#[tokio::test]
async fn a_browser_beyond_the_limit_is_told_to_come_back_and_finds_room_when_another_leaves() {
    let stack = small(&[("MAX_CONNECTIONS", "2")]).await;
    let gateway = stack.gateways[0].url();
    let (mut first, mut second) = (Browser::open(&gateway).await, Browser::open(&gateway).await);
    first.qr_code().await;
    second.qr_code().await;
    let upgrade = http::client().get(format!("{gateway}/ws")).header("connection", "upgrade");
    let upgrade = upgrade.header("upgrade", "websocket").header("sec-websocket-version", "13");
    let refusal = sent(upgrade.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")).await;
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    let retry_after = refusal.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    assert_eq!(stack.redis.ask(&["KEYS", "*:login"]).await.lines().count(), 2, "no third session was made");
    // Whoever is in notices nothing, and other requests are no browsers.
    first.refresh().await;
    first.qr_code().await;
    assert_eq!(sent(http::client().get(&gateway)).await.status(), StatusCode::OK);
    drop(second);
    let mut third = None;
    until("a free place", async || match Browser::ask(&gateway, Request::default()).await {
        Ok(browser) => {
            third = Some(browser);
            true
        }
        Err(refusal) => {
            assert_eq!(refusal, StatusCode::SERVICE_UNAVAILABLE);
            false
        }
    })
    .await;
    third.unwrap().qr_code().await;
}

#[tokio::test]
async fn a_session_ends_after_its_time_and_the_next_one_begins_on_the_same_socket() {
    let stack = small(&[("SCENE_TTL", "4s"), ("SESSION_TTL", "5s")]).await;
    let mut browser = stack.browser().await;
    let ended = browser.qr_code().await.session;
    browser.expired().await;
    assert_eq!(browser.close_code().await, Some(1000));
    // The store's clock began a little later than the socket's.
    until("the session's end", async || stack.redis.ask(&["DBSIZE"]).await == "0").await;
    let mut browser = Browser::resume(&stack.url(), &ended).await;
    assert_eq!(browser.error().await, "unknown_session");
    browser.refresh().await;
    let shown = browser.qr_code().await;
    assert_ne!(shown.session, ended);
    stack.scan(&shown.content, &somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn a_move_prolongs_the_session() {
    let stack = small(&[("SCENE_TTL", "2s"), ("SESSION_TTL", "6s")]).await;
    let mut browser = stack.browser().await;
    let session = browser.qr_code().await.session;
    // Three codes take at least the session's first life.
    for _ in 0..3 {
        browser.expired().await;
        browser.refresh().await;
        assert_eq!(browser.qr_code().await.session, session);
    }
    browser.expired().await;
    assert_eq!(browser.close_code().await, Some(1000));
}

#[tokio::test]
async fn nonsense_without_end_is_answered_for_a_while_and_then_ended() {
    let stack = small(&[]).await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    let mut answered = 0;
    let code = loop {
        browser.say("nonsense").await;
        match browser.next().await {
            Heard::Message(message) => {
                assert_eq!(
                    (&message["message_type"], &message["code"]),
                    (&json!("error"), &json!("bad_message"))
                );
                answered += 1;
            }
            Heard::End(code) => break code,
        }
    };
    assert_eq!(code, Some(1008));
    assert!((1..25).contains(&answered), "{answered}");
    Browser::resume(&stack.url(), &shown.session).await.qr_code().await;
}

#[tokio::test]
async fn a_message_of_the_largest_size_is_read_and_one_byte_more_is_too_big() {
    let stack = small(&[]).await;
    let mut browser = stack.browser().await;
    browser.qr_code().await;
    let padding = |size: usize| {
        let empty = json!({ "message_type": "refresh", "padding": "" }).to_string();
        json!({ "message_type": "refresh", "padding": "x".repeat(size - empty.len()) }).to_string()
    };
    browser.say(&padding(MESSAGE_MAX)).await;
    browser.qr_code().await;
    browser.say(&padding(MESSAGE_MAX + 1)).await;
    assert_eq!(browser.close_code().await, Some(1009));
}

/// A client that writes its frames itself.
struct RawBrowser(TcpStream);

impl RawBrowser {
    /// Opens a WebSocket and reads the first QR code.
    async fn open(gateway: &Program) -> Self {
        let address = gateway.public();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the answer's head", socket.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let mut browser = Self(socket);
        let (opcode, shown) = browser.frame().await;
        assert!(opcode == 1 && shown.starts_with(b"{"), "{opcode} {}", String::from_utf8_lossy(&shown));
        browser
    }

    /// Reads a frame: its opcode and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let opcode = self.0.read_u8().await? & 0x0f;
            let length = match self.0.read_u8().await? {
                126 => usize::from(self.0.read_u16().await?),
                127 => usize::try_from(self.0.read_u64().await?).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await?;
            std::io::Result::Ok((opcode, payload))
        };
        within("a frame", read).await.unwrap()
    }

    /// Sends bytes and returns the code of the close frame that answers them.
    async fn close_code_after(mut self, bytes: &[u8]) -> u16 {
        self.0.write_all(bytes).await.unwrap();
        let (opcode, payload) = self.frame().await;
        assert_eq!(opcode, 8, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// A frame whose mask changes nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_closed_with_1007() {
    let stack = small(&[]).await;
    let browser = RawBrowser::open(&stack.gateways[0]).await;
    assert_eq!(browser.close_code_after(&masked(0x81, b"\xff\xfe")).await, 1007);
}

#[tokio::test]
async fn frames_that_are_none_are_closed_with_1002() {
    let stack = small(&[]).await;
    let unmasked = [0x81, 2, b'{', b'}'].to_vec();
    let continuation_of_nothing = masked(0x80, b"{}");
    let too_long_ping = [vec![0x89, 0x80 | 126, 0, 126, 0, 0, 0, 0], vec![0; 126]].concat();
    for (what, frame) in [
        ("a reserved opcode", masked(0x83, b"{}")),
        ("a reserved bit", masked(0xc1, b"{}")),
        ("no mask", unmasked),
        ("a continuation of nothing", continuation_of_nothing),
        ("a fragmented ping", masked(0x09, b"")),
        ("a ping that is too long", too_long_ping),
    ] {
        let browser = RawBrowser::open(&stack.gateways[0]).await;
        assert_eq!(browser.close_code_after(&frame).await, 1002, "{what}");
    }
}

/// Does as pages do that are refused.
async fn waits_as_told(refusal: &Value) {
    tokio::time::sleep(Duration::from_secs(refusal["retry_after"].as_u64().unwrap())).await;
}

#[tokio::test]
async fn a_page_without_a_code_from_the_platform_stays_open_and_gets_one_later() {
    let stack = small(&[]).await;
    // Fewer failures than make the platform rest: that is tests/all/trouble.rs.
    let broken = json!({ "not_json": { "calls": 1000, "path": "/cgi-bin/qrcode/create" } });
    faults(&stack, broken.clone()).await;
    let mut browser = stack.browser().await;
    for _ in 0..2 {
        let refusal = browser.message().await;
        assert_eq!(refusal["code"], "platform_unavailable", "{refusal}");
        assert!(refusal["retry_after"].as_u64().is_some_and(|seconds| seconds > 0), "{refusal}");
        assert!(!refusal.to_string().contains("JSON"), "that is the operator's: {refusal}");
        waits_as_told(&refusal).await;
        browser.refresh().await;
    }
    let refusal = browser.message().await;
    assert_eq!(refusal["code"], "platform_unavailable", "{refusal}");
    stack.gateways[0].prints("no JSON").await;
    faults(&stack, json!({})).await;
    waits_as_told(&refusal).await;
    browser.refresh().await;
    let shown = browser.qr_code().await;
    // A code that is on show outlives the trouble with its successor.
    faults(&stack, broken).await;
    browser.refresh().await;
    assert_eq!(browser.error().await, "platform_unavailable");
    stack.scan(&shown.content, &somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn a_page_opened_while_redis_is_away_stays_open_and_gets_its_code_later() {
    let stack = small(&[]).await;
    stack.redis.relay().cut();
    let mut browser = stack.browser().await;
    let refusal = browser.message().await;
    assert_eq!(refusal["code"], "backplane_unavailable", "{refusal}");
    assert!(refusal["retry_after"].as_u64().is_some_and(|seconds| seconds > 0), "{refusal}");
    stack.redis.relay().heal();
    is_well(&stack.gateways[0]).await;
    browser.refresh().await;
    browser.qr_code().await;
}

#[tokio::test]
async fn without_redis_the_gateway_is_not_ready_and_the_callback_is() {
    let stack = small(&[]).await;
    let (gateway, callback) = (&stack.gateways[0], &stack.callbacks[0]);
    stack.redis.relay().cut();
    until("the gateway to notice", async || {
        let (status, body) = readiness(gateway).await;
        assert_eq!(status == StatusCode::OK, !names(&body, "backplane_unreachable"), "{body}");
        status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    until("the callback to notice", async || {
        let (status, body) = readiness(callback).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        names(&body, "backplane_unreachable")
    })
    .await;
    let alive = sent(http::client().get(format!("{}/livez", gateway.admin_url()))).await;
    assert_eq!(alive.status(), StatusCode::OK, "a restart would help nobody");
    stack.redis.relay().heal();
    is_well(gateway).await;
    is_well(callback).await;
}

#[tokio::test]
async fn a_gateway_that_drains_says_so_finishes_what_it_began_and_ends_well() {
    let mut stack = small(&[]).await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    browser.qr_code().await;
    // It never answers the close frame.
    let silent = RawBrowser::open(&stack.gateways[0]).await;
    // A request whose body the gateway waits for, as its 100 tells, keeps it from ending.
    let mut request = TcpStream::connect(stack.gateways[0].public()).await.unwrap();
    let head = format!(
        "POST /api/redeem HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 12\r\n\
         expect: 100-continue\r\n\r\n",
        stack.account.redeem_secret
    );
    request.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 25];
    within("the gateway to wait", request.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");

    stack.gateways[0].signal(Signal::SIGTERM);
    until("the gateway to be draining", async || {
        let (status, body) = readiness(&stack.gateways[0]).await;
        assert_eq!(status == StatusCode::OK, !names(&body, "draining"), "{body}");
        status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    request.write_all(br#"{"code":"x"}"#).await.unwrap();
    let mut answer = String::new();
    within("the answer", request.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 410 "), "{answer}");
    assert_eq!(browser.close_code().await, Some(1012));
    assert_eq!(stack.gateways[0].exit_code().await, Some(0));
    drop(silent);
}
