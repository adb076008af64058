//! A5: what the services print, at their most talkative.

use tests::browser::{Browser, Request};
use tests::program::setting;
use tests::stack::{Plan, somebodys_openid};

#[tokio::test]
async fn a5_whole_logins_at_debug_level_leave_no_secret_in_any_log() {
    let stack = Plan { settings: vec![setting("RUST_LOG", "trace")], ..Plan::default() }.start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let first = browser.qr_code().await;
    browser.refresh().await;
    let second = browser.qr_code().await;
    drop(browser);
    let mut browser = Browser::resume(&stack.url(), &second.session).await;
    browser.qr_code().await;
    let keys = stack.redis.ask(&["KEYS", "*:login"]).await;
    let record = stack.redis.ask(&["HMGET", &keys, "nonce", "ticket", "code_hash"]).await;
    stack.scan(&second.content, &person).await;
    stack.scan(&second.content, &somebodys_openid()).await;
    let success = browser.success().await;
    stack.application().redeem(&success.code).await;
    let _ = stack.application().try_redeem(&success.code).await;
    let asked = Request { query: "?query-string=1", ..Request::default() };
    Browser::ask(&stack.url(), asked).await.unwrap().qr_code().await;

    let (account, redis_url) = (&stack.account, stack.redis.url());
    let mut secrets = vec![person.as_str(), &first.session, &success.code, &first.content, &second.content];
    secrets.extend(
        [&account.app_secret, &account.token, &account.aes_key, &account.redeem_secret].map(String::as_str),
    );
    secrets.extend(record.lines());
    secrets
        .extend(["query-string", "msg_signature", "access_token=", "nonce=", redis_url.expose()].as_slice());
    let printed = stack.printed();
    assert!(printed.lines().count() > 10, "the logs are there: {printed}");
    for secret in secrets {
        assert!(secret.len() >= 6, "{secret}");
        for line in printed.lines() {
            assert!(!line.contains(secret), "{secret} in {line}");
        }
    }
}
