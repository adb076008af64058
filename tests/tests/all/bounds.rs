//! Limits and endings: too many browsers, too long lives, messages that are none, and the answers while Redis, the
//! platform or the gateway itself is going away.

use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tests::browser::{Browser, Heard, Request};
use tests::http;
use tests::patience::{until, within};
use tests::program::{Program, setting};
use tests::relay::Direction;
use tests::stack::{Plan, Stack, is_well, somebodys_openid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than one command of Redis may take.
const SILENCE: Duration = Duration::from_millis(2200);
/// The largest message that a browser may send.
const MESSAGE_MAX: usize = 4096;
/// The largest request to redeem.
const REDEEM_MAX: usize = 4096;

async fn small(settings: &[(&str, &str)]) -> Stack {
    let settings = settings.iter().map(|(name, value)| setting(*name, *value)).collect();
    Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() }.start().await
}

async fn sent(request: RequestBuilder) -> Response {
    within("an answer", request.send()).await.unwrap()
}

/// Breaks the platform, or with an empty object repairs it.
async fn faults(stack: &Stack, mut update: Value) {
    update["reset"] = true.into();
    let url = format!("{}/simulator/faults", stack.simulator.url());
    assert_eq!(sent(http::client().post(url).json(&update)).await.status(), StatusCode::OK);
}

/// A person logs in; the code, not redeemed.
async fn code_of(stack: &Stack, person: &str) -> String {
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, person).await;
    browser.success().await.code
}

/// The application's request, whose answer the test reads itself.
fn redeem(stack: &Stack, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = http::client().post(format!("{}/api/redeem", stack.url()));
    request.bearer_auth(&stack.account.redeem_secret).body(body)
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
    let stack = small(&[("SCENE_TTL", "1s"), ("SESSION_TTL", "2s")]).await;
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
    let stack = small(&[("SCENE_TTL", "1s"), ("SESSION_TTL", "3s")]).await;
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

#[tokio::test]
async fn a_redeem_while_redis_is_away_is_told_to_come_back_and_the_code_stays_good() {
    let stack = small(&[]).await;
    let person = somebodys_openid();
    let code = code_of(&stack, &person).await;
    let body = json!({ "code": code }).to_string();
    stack.redis.relay().cut();
    // The first finds out that Redis is away; the others know it.
    for _ in 0..3 {
        let refusal = sent(redeem(&stack, body.clone())).await;
        assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
        let retry_after = refusal.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
        assert!((1..=60).contains(&retry_after), "{retry_after}");
    }
    stack.redis.relay().heal();
    is_well(&stack.gateways[0]).await;
    let identity = stack.application().redeem(&code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 1));
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

/// How the answer of the move that spends the code gets lost.
enum Loss {
    /// Its connection breaks.
    Broken,
    /// Nothing comes, and the connection breaks only later.
    Silent,
}

async fn a_lost_answer_is_made_up_for(loss: Loss) {
    let stack = small(&[]).await;
    let person = somebodys_openid();
    // A script that Redis does not know takes two commands, and the first has no effect.
    stack.application().redeem(&code_of(&stack, &person).await).await;
    let code = code_of(&stack, &person).await;
    let records = stack.redis.ask(&["KEYS", "*:login"]).await;
    let is_spent = async || {
        let states = records.lines().map(async |record| stack.redis.ask(&["HGET", record, "state"]).await);
        join_all(states).await.iter().all(|state| state == "redeemed")
    };
    let counts = async || {
        let stats = stack.redis.ask(&["INFO", "commandstats"]).await;
        let calls = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:calls="));
        calls.map_or(0, |line| line[22..].split(',').next().unwrap().parse::<u64>().unwrap())
    };
    // The person is looked up before the code is spent: long enough to hold the replies in between, and too short for the
    // gateway to find that its connection is silent.
    faults(&stack, json!({ "latency_ms": 500 })).await;
    let before = counts().await;
    let application = stack.application();
    let redeems = application.try_redeem(&code);
    let loses = async {
        until("the login's number to be asked for", async || counts().await > before).await;
        stack.redis.relay().hold(Direction::Replies);
        until("the code to be spent", is_spent).await;
        if matches!(loss, Loss::Silent) {
            tokio::time::sleep(SILENCE).await;
        }
        stack.redis.relay().cut();
        stack.redis.relay().heal();
    };
    let (redeemed, ()) = tokio::join!(redeems, loses);
    let identity = redeemed.expect("the request that spent the code gets what it paid for");
    assert_eq!((identity.openid, identity.login_count), (person, 2));
    is_well(&stack.gateways[0]).await;
    assert_eq!(stack.application().try_redeem(&code).await, Err(StatusCode::GONE));
}

#[tokio::test]
async fn f2_a_redeem_whose_answer_was_lost_with_its_connection_gets_the_identity_once() {
    a_lost_answer_is_made_up_for(Loss::Broken).await;
}

#[tokio::test]
async fn f2_a_redeem_whose_answer_never_came_gets_the_identity_once() {
    a_lost_answer_is_made_up_for(Loss::Silent).await;
}

#[tokio::test]
async fn a_redeem_that_is_wrong_says_how() {
    let stack = small(&[]).await;
    let code = code_of(&stack, &somebodys_openid()).await;
    let status = async |request: RequestBuilder| sent(request).await.status();
    for malformed in
        ["", "code", "[]", "null", "{}", r#"{"code":1}"#, r#"{"code":null}"#, "\"\"", "{\"code\":\"a\""]
    {
        assert_eq!(status(redeem(&stack, malformed)).await, StatusCode::BAD_REQUEST, "{malformed}");
    }
    let unknown: String = code.chars().rev().collect();
    for gone in ["", "A", &unknown, &format!("{code} "), &code[1..], &format!("{code}A")] {
        let body = json!({ "code": gone }).to_string();
        assert_eq!(status(redeem(&stack, body)).await, StatusCode::GONE, "{gone:?}");
    }
    let good = json!({ "code": code }).to_string();
    let too_large = format!("{good}{}", " ".repeat(REDEEM_MAX));
    assert_eq!(status(redeem(&stack, too_large)).await, StatusCode::PAYLOAD_TOO_LARGE);
    let url = format!("{}/api/redeem", stack.url());
    let bare = || http::client().post(&url).body(good.clone());
    let unauthorized = sent(bare()).await;
    assert_eq!(unauthorized.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(unauthorized.headers()["www-authenticate"], "Bearer");
    let secret = &stack.account.redeem_secret;
    for authorization in
        [format!("Basic {secret}"), secret.clone(), "Bearer".to_owned(), format!("Bearer {secret}x")]
    {
        let status = status(bare().header("authorization", &authorization)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization:?}");
    }
    assert_eq!(status(http::client().get(&url)).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(status(redeem(&stack, good)).await, StatusCode::OK, "the code is as good as before");
}

#[tokio::test]
async fn without_its_secret_redeeming_is_off() {
    let stack = small(&[("REDEEM_SECRET", "")]).await;
    let code = code_of(&stack, &somebodys_openid()).await;
    for secret in ["", stack.account.redeem_secret.as_str()] {
        let request = http::client().post(format!("{}/api/redeem", stack.url())).bearer_auth(secret);
        let refusal = sent(request.json(&json!({ "code": code }))).await;
        assert_eq!(refusal.status(), StatusCode::NOT_FOUND);
        assert!(refusal.text().await.unwrap().contains("REDEEM_SECRET"), "it says what is missing");
    }
}

#[tokio::test]
async fn a_page_without_a_code_from_the_platform_stays_open_and_gets_one_later() {
    let stack = small(&[]).await;
    let broken = json!({ "error": { "errcode": 48001, "calls": 1000, "path": "/cgi-bin/qrcode/create" } });
    faults(&stack, broken.clone()).await;
    let mut browser = stack.browser().await;
    for _ in 0..2 {
        let refusal = browser.message().await;
        assert_eq!(refusal["code"], "platform_unavailable", "{refusal}");
        assert!(refusal["retry_after"].as_u64().is_some_and(|seconds| seconds > 0), "{refusal}");
        assert!(!refusal.to_string().contains("48001"), "that is the operator's: {refusal}");
        browser.refresh().await;
    }
    assert_eq!(browser.error().await, "platform_unavailable");
    stack.gateways[0].prints("48001").await;
    faults(&stack, json!({})).await;
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
