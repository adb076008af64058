//! A browser that loses its connection loses nothing.

use nix::sys::signal::Signal;
use tests::browser::{Browser, Heard};
use tests::metrics::Scrape;
use tests::patience::until;
use tests::stack::{Stack, is_well, somebodys_openid};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_page_shows_the_same_code_after_a_broken_connection() {
    let stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let shown = browser.qr_code().await;
    drop(browser);
    let mut browser = Browser::resume(&stack.gateways[1].url(), &shown.session).await;
    let again = browser.qr_code().await;
    assert_eq!((&again.content, &again.session), (&shown.content, &shown.session));
    assert!(again.expires_in <= shown.expires_in);
}

#[tokio::test]
async fn s5_a_scan_while_the_browser_is_away_is_told_on_another_replica() {
    let stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    drop(browser);
    stack.scan(&shown.content, &person).await;
    let mut browser = Browser::resume(&stack.gateways[1].url(), &shown.session).await;
    let success = browser.success().await;
    assert_eq!(stack.application().redeem(&success.code).await.openid, person);
}

#[tokio::test]
async fn s6_a_login_completes_though_its_owner_is_killed_before_the_scan() {
    let mut stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    stack.gateways[0].kill();
    let scan = stack.scan(&shown.content, &person).await;
    assert!(scan.shown.unwrap().contains("登录成功"));
    assert_eq!(browser.close_code().await, None);
    let mut browser = Browser::resume(&stack.gateways[1].url(), &shown.session).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn s6_a_login_completes_though_its_owner_dies_between_scan_and_push() {
    let mut stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    // Stopped, it cannot push what the callback publishes; then it never will.
    stack.gateways[0].signal(Signal::SIGSTOP);
    stack.scan(&shown.content, &person).await;
    stack.gateways[0].kill();
    assert_eq!(browser.close_code().await, None);
    let mut browser = Browser::resume(&stack.gateways[1].url(), &shown.session).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn a_login_goes_on_after_its_gateway_was_restarted() {
    let mut stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    stack.gateways[0].restart().await;
    is_well(&stack.gateways[0]).await;
    assert_eq!(browser.close_code().await, None);
    let mut browser = Browser::resume(&stack.gateways[0].url(), &shown.session).await;
    assert_eq!(browser.qr_code().await.content, shown.content);
    stack.scan(&shown.content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn an_older_connection_is_replaced() {
    let stack = Stack::start().await;
    let mut older = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (older.qr_code().await, somebodys_openid());
    let mut newer = Browser::resume(&stack.gateways[1].url(), &shown.session).await;
    newer.qr_code().await;
    assert_eq!(older.error().await, "replaced");
    assert_eq!(older.close_code().await, Some(1008));
    stack.scan(&shown.content, &person).await;
    assert_eq!(stack.application().redeem(&newer.success().await.code).await.openid, person);
}

/// A page that gives an attempt up, and comes back elsewhere, has two that wait in an outage, and are answered in any order.
#[tokio::test]
async fn of_two_attempts_to_resume_at_the_same_time_the_one_that_comes_back_has_the_session() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    drop(browser);
    // Moves wait, and reading does not: both attempts find the same owner.
    stack.redis.ask(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let urls = [0, 1].map(|number| stack.gateways[number].url());
    let (mut first, mut second) =
        tokio::join!(Browser::resume(&urls[0], &shown.session), Browser::resume(&urls[1], &shown.session));
    until("both attempts to have read whose the login is", async || {
        stack.redis.ask(&["INFO", "commandstats"]).await.contains("cmdstat_hget:calls=2,")
    })
    .await;
    stack.redis.ask(&["CLIENT", "UNPAUSE"]).await;
    let mut winner = match tokio::join!(first.next(), second.next()) {
        (Heard::Message(code), Heard::End(Some(1013))) if code["message_type"] == "qrcode_url" => first,
        (Heard::End(Some(1013)), Heard::Message(code)) if code["message_type"] == "qrcode_url" => second,
        heard => panic!("{heard:?}"),
    };
    let overtaken =
        Scrape::of_all(&stack.gateways).await.value("sessions_resumed_total{state=\"overtaken\"}");
    assert_eq!(overtaken, 1.0);
    let mut loser = Browser::resume(&stack.url(), &shown.session).await;
    assert_eq!(loser.qr_code().await.content, shown.content);
    assert_eq!(winner.error().await, "replaced");
    stack.scan(&shown.content, &person).await;
    assert_eq!(stack.application().redeem(&loser.success().await.code).await.openid, person);
}

/// As one that hangs, or whose machine does, for less time than its connections last.
#[tokio::test]
async fn a_gateway_that_was_stopped_takes_no_session_for_a_page_that_has_left_it() {
    let mut stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    drop(browser);
    stack.gateways[1].signal(Signal::SIGSTOP);
    let mut left = TcpStream::connect(stack.gateways[1].public()).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: scan-login.v1, resume.{}\r\n\r\n",
        shown.session
    );
    left.write_all(request.as_bytes()).await.unwrap();
    // Somebody pressed the button, too: a text frame, masked with zeros.
    let refresh = br#"{"message_type":"refresh"}"#;
    left.write_all(&[0x81, 0x80 | u8::try_from(refresh.len()).unwrap(), 0, 0, 0, 0]).await.unwrap();
    left.write_all(refresh).await.unwrap();
    drop(left);
    let mut browser = Browser::resume(&stack.gateways[0].url(), &shown.session).await;
    browser.qr_code().await;
    stack.gateways[1].signal(Signal::SIGCONT);
    until("what had waited there to be over", async || {
        let scrape = Scrape::of(&stack.gateways[1]).await;
        scrape.value("connections_total{request=\"resume\"}") == 1.0
            && scrape.value("gateway_connections") == 0.0
    })
    .await;
    stack.scan(&shown.content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn a_resumed_page_can_refresh() {
    let stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let shown = browser.qr_code().await;
    drop(browser);
    let mut browser = Browser::resume(&stack.gateways[1].url(), &shown.session).await;
    browser.qr_code().await;
    browser.refresh().await;
    let fresh = browser.qr_code().await;
    assert_ne!(fresh.content, shown.content);
    stack.scan(&fresh.content, &somebodys_openid()).await;
    browser.success().await;
}

#[tokio::test]
async fn a_success_is_told_again_with_the_same_code() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    stack.scan(&shown.content, &somebodys_openid()).await;
    let success = browser.success().await;
    drop(browser);
    for gateway in &stack.gateways {
        let mut browser = Browser::resume(&gateway.url(), &shown.session).await;
        assert_eq!(browser.success().await, success);
    }
}

#[tokio::test]
async fn a_gateway_asked_to_end_lets_its_browsers_move_on() {
    let mut stack = Stack::start().await;
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let (shown, person) = (browser.qr_code().await, somebodys_openid());
    assert_eq!(stack.gateways[0].terminate().await, Some(0));
    let code = browser.close_code().await;
    assert!(matches!(code, Some(1001 | 1012)), "{code:?}");
    let mut browser = Browser::resume(&stack.url(), &shown.session).await;
    browser.qr_code().await;
    stack.scan(&shown.content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn a_scan_during_an_outage_of_redis_works_when_it_is_repeated_after_it() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    stack.redis.relay().cut();
    let refused = stack.scan(&shown.content, &person).await.shown.unwrap();
    assert!(!refused.contains("登录成功"), "{refused}");
    stack.redis.relay().heal();
    until("a scan to succeed", async || {
        stack.scan(&shown.content, &person).await.shown.unwrap().contains("登录成功")
    })
    .await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}
