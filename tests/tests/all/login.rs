//! Whole logins: browsers, phones and an application, over several replicas.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use reqwest::StatusCode;
use serde_json::json;
use tests::application::Application;
use tests::browser::{Browser, ShownCode};
use tests::stack::{Plan, Stack, somebodys_openid};

/// Browsers that wait at the same time.
const CROWD: usize = 200;
/// Of these, so many arrive, and scan, at the same moment.
const AT_ONCE: usize = 25;
/// Redeemers of each code, on every replica.
const REDEEMERS: usize = 4;

#[tokio::test]
async fn a_person_logs_in() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let shown = browser.qr_code().await;
    assert!(shown.url.starts_with("data:image/"), "{}", shown.url);
    assert!((110..=120).contains(&shown.expires_in), "{}", shown.expires_in);
    let scan = stack.scan(&shown.content, &person).await;
    assert_eq!(scan.shown.as_deref(), Some("微信用户,登录成功!\n这是你第1次登录,玩的开心!"));
    assert_eq!(scan.attempts.len(), 1, "one push was enough");
    let success = browser.success().await;
    assert_eq!(success.user, "微信用户");
    let identity = stack.application().redeem(&success.code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 1));
    assert_eq!((identity.nickname.as_str(), identity.unionid), ("微信用户", None));
}

#[tokio::test]
async fn a_person_who_follows_by_the_scan_logs_in() {
    let stack = Stack::start().await;
    let mut browser = stack.browser().await;
    let shown = browser.qr_code().await;
    let scan = stack.phone(json!({ "content": shown.content, "follower": false, "unionid": "u-1" })).await;
    assert_eq!(scan.event.as_deref(), Some("subscribe"));
    assert_eq!(scan.shown.as_deref(), Some("微信用户,登录成功!\n这是你第1次登录,玩的开心!"));
    let identity = stack.application().redeem(&browser.success().await.code).await;
    assert_eq!((identity.openid, identity.unionid.as_deref()), (scan.openid, Some("u-1")));
}

#[tokio::test]
async fn a_persons_logins_are_counted() {
    let stack = Stack::start().await;
    let person = somebodys_openid();
    for number in 1..=3 {
        let mut browser = stack.browser().await;
        let content = browser.qr_code().await.content;
        for _ in 0..2 {
            let shown = stack.scan(&content, &person).await.shown.unwrap();
            assert!(shown.contains(&format!("第{number}次登录")), "{shown}");
        }
        let identity = stack.application().redeem(&browser.success().await.code).await;
        assert_eq!(identity.login_count, number);
    }
}

#[tokio::test]
async fn a_refreshed_page_logs_in_by_its_new_code() {
    let stack = Stack::start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let first = browser.qr_code().await;
    browser.refresh().await;
    let second = browser.qr_code().await;
    assert_eq!(second.session, first.session);
    assert_ne!(second.content, first.content);
    stack.scan(&second.content, &person).await;
    assert_eq!(stack.application().redeem(&browser.success().await.code).await.openid, person);
}

/// Each of a crowd gets its own result and no other, whichever replica holds the browser, receives the push or is asked
/// to redeem; and each code is good for exactly one of many redeemers.
#[tokio::test]
async fn everybody_in_a_crowd_gets_their_own_result() {
    let stack = Plan { gateways: 2, callbacks: 2, ..Plan::default() }.start().await;
    // Not all in the same instant: what a machine that is busy with other tests cannot do in two seconds is refused.
    let mut arrivals = stream::iter(0..CROWD)
        .map(async |_| {
            let mut browser = stack.browser().await;
            let shown = browser.qr_code().await;
            (browser, shown)
        })
        .buffered(AT_ONCE);
    let (mut browsers, mut shown) = (Vec::<Browser>::new(), Vec::<ShownCode>::new());
    while let Some((browser, code)) = arrivals.next().await {
        browsers.push(browser);
        shown.push(code);
    }
    let people: Vec<String> = (0..CROWD).map(|_| somebodys_openid()).collect();
    let scans = stream::iter(shown.iter().zip(&people))
        .map(|(code, person)| stack.scan(&code.content, person))
        .buffered(AT_ONCE);
    let scans: Vec<_> = scans.collect().await;
    for scan in scans {
        assert_eq!(scan.shown.as_deref(), Some("微信用户,登录成功!\n这是你第1次登录,玩的开心!"));
    }
    let successes = join_all(browsers.iter_mut().map(Browser::success)).await;
    let codes: HashSet<&str> = successes.iter().map(|success| success.code.as_str()).collect();
    assert_eq!(codes.len(), CROWD);
    let applications: Vec<Application> = stack
        .gateways
        .iter()
        .map(|gateway| Application::new(gateway.url(), &stack.account.redeem_secret))
        .collect();
    for (success, person) in successes.iter().zip(&people) {
        let redeemers = (0..REDEEMERS).flat_map(|_| &applications);
        let answers = join_all(redeemers.map(|application| application.try_redeem(&success.code))).await;
        let (good, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1);
        assert_eq!(&good[0].as_ref().unwrap().openid, person);
        assert!(refused.iter().all(|refusal| *refusal == Err(StatusCode::GONE)), "{refused:?}");
    }
}
