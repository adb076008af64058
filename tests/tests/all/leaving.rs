//! How replicas leave: not ready at once, accepting for a while, browsers one after the other, and always in time.

use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use tests::browser::{Browser, Heard};
use tests::http;
use tests::patience::until;
use tests::program::{Program, setting};
use tests::stack::{Plan, somebodys_openid};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::bounds::{sent, small};

async fn is_ready(program: &Program) -> bool {
    sent(http::client().get(format!("{}/readyz", program.admin_url()))).await.status() == StatusCode::OK
}

#[tokio::test]
async fn a_replica_goes_on_accepting_for_the_delay_though_it_is_not_ready_any_more() {
    let mut stack = small(&[("DRAIN_DELAY", "6s"), ("DRAIN_TIME", "0s")]).await;
    let told = Instant::now();
    for program in stack.gateways.iter_mut().chain(&mut stack.callbacks) {
        program.signal(Signal::SIGTERM);
    }
    for program in stack.gateways.iter().chain(&stack.callbacks) {
        until("it not to be ready", async || !is_ready(program).await).await;
    }
    let mut browser = Browser::open(&stack.gateways[0].url()).await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, &somebodys_openid()).await;
    browser.success().await;
    assert!(told.elapsed() < Duration::from_secs(6), "this machine is too slow for this test");
    assert_eq!(browser.close_code().await, Some(1012));
    assert!(told.elapsed() >= Duration::from_secs(6));
    for program in stack.gateways.iter_mut().chain(&mut stack.callbacks) {
        assert_eq!(program.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn browsers_are_asked_to_move_on_one_after_the_other_and_no_login_is_lost() {
    let settings = vec![setting("DRAIN_TIME", "4s")];
    let mut stack = Plan { callbacks: 1, settings, ..Plan::default() }.start().await;
    let first = stack.gateways[0].url();
    let mut browsers = Vec::new();
    for _ in 0..30 {
        let mut browser = Browser::open(&first).await;
        let shown = browser.qr_code().await;
        browsers.push((browser, shown));
    }
    stack.gateways[0].signal(Signal::SIGTERM);
    let told = Instant::now();
    let left = join_all(browsers.iter_mut().map(async |(browser, _)| {
        assert_eq!(browser.close_code().await, Some(1012));
        told.elapsed()
    }))
    .await;
    let (soonest, last) = (left.iter().min().unwrap(), left.iter().max().unwrap());
    assert!(*last - *soonest > Duration::from_secs(2), "all at once: {soonest:?} to {last:?}");
    assert!(*last < Duration::from_secs(6), "{last:?}");
    assert_eq!(stack.gateways[0].exit_code().await, Some(0));
    let second = stack.gateways[1].url();
    for (_, shown) in browsers {
        stack.scan(&shown.content, &somebodys_openid()).await;
        Browser::resume(&second, &shown.session).await.success().await;
    }
}

#[tokio::test]
async fn a_scan_while_the_replica_leaves_reaches_its_browser_there_or_where_it_moved() {
    let settings = vec![setting("DRAIN_TIME", "3s")];
    let mut stack = Plan { callbacks: 1, settings, ..Plan::default() }.start().await;
    let mut browsers = Vec::new();
    for _ in 0..12 {
        let mut browser = Browser::open(&stack.gateways[0].url()).await;
        let shown = browser.qr_code().await;
        browsers.push((browser, shown));
    }
    stack.gateways[0].signal(Signal::SIGTERM);
    let second = stack.gateways[1].url();
    let scans = browsers.iter().map(|(_, shown)| shown.content.clone()).collect::<Vec<_>>();
    let scanned = async {
        for content in &scans {
            stack.scan(content, &somebodys_openid()).await;
        }
    };
    let delivered = join_all(browsers.into_iter().map(async |(mut browser, shown)| {
        loop {
            match browser.next().await {
                Heard::Message(message) if message["message_type"] == "scan_success" => break,
                Heard::Message(_) => {}
                Heard::End(code) => {
                    assert_eq!(code, Some(1012));
                    browser = Browser::resume(&second, &shown.session).await;
                }
            }
        }
    }));
    tokio::join!(scanned, delivered);
    assert_eq!(stack.gateways[0].exit_code().await, Some(0));
}

#[tokio::test]
async fn whoever_does_not_leave_is_left_behind_at_the_end_of_the_grace_time() {
    let mut stack = small(&[("DRAIN_TIME", "1s"), ("GRACE_TIME", "2s")]).await;
    let address = stack.gateways[0].public();
    // A head that never ends, and a WebSocket that reads nothing and says nothing.
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut silent = Browser::open(&stack.gateways[0].url()).await;
    silent.qr_code().await;
    let told = Instant::now();
    assert_eq!(stack.gateways[0].terminate().await, Some(0));
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    drop((half, silent));
}

#[tokio::test]
async fn standalone_hands_nobody_over_and_ends_at_once() {
    let mut standalone = Program::start("standalone", Vec::new()).await;
    let mut browser = Browser::open(&standalone.url()).await;
    browser.qr_code().await;
    standalone.signal(Signal::SIGTERM);
    assert_eq!(browser.close_code().await, Some(1012));
    assert_eq!(standalone.exit_code().await, Some(0));
}
