//! A5: what the services print, at their most talkative.

use tests::browser::{Browser, Request};
use tests::program::{Setting, setting};
use tests::stack::{Plan, Stack, somebodys_openid};

/// Logins with everything that can happen to them; and all that nobody but those concerned may ever see of them.
pub(crate) async fn whole_logins(settings: Vec<Setting>) -> (Stack, Vec<String>) {
    let stack = Plan { settings, ..Plan::default() }.start().await;
    let (mut browser, person) = (stack.browser().await, somebodys_openid());
    let first = browser.qr_code().await;
    browser.refresh().await;
    let second = browser.qr_code().await;
    drop(browser);
    let mut browser = Browser::resume(&stack.url(), &second.session).await;
    browser.qr_code().await;
    let keys = stack.redis.ask(&["KEYS", "*:login"]).await;
    let record = stack.redis.ask(&["HMGET", &keys, "nonce", "ticket", "code_hash"]).await;
    let another = somebodys_openid();
    stack.scan(&second.content, &person).await;
    stack.scan(&second.content, &another).await;
    let success = browser.success().await;
    stack.application().redeem(&success.code).await;
    let _ = stack.application().try_redeem(&success.code).await;
    let asked = Request { query: "?query-string=1", ..Request::default() };
    Browser::ask(&stack.url(), asked).await.unwrap().qr_code().await;

    let (account, redis_url) = (&stack.account, stack.redis.url());
    let mut secrets = vec![person, another, first.session, success.code, first.content, second.content];
    secrets.extend(
        [&account.app_secret, &account.token, &account.aes_key, &account.redeem_secret].map(Clone::clone),
    );
    secrets.extend(record.lines().map(str::to_owned));
    let forms = ["query-string", "msg_signature", "access_token=", "nonce=", redis_url.expose()];
    secrets.extend(forms.map(str::to_owned));
    for secret in &secrets {
        assert!(secret.len() >= 6, "{secret}");
    }
    (stack, secrets)
}

#[tokio::test]
async fn a5_whole_logins_at_debug_level_leave_no_secret_in_any_log() {
    let (stack, secrets) = whole_logins(vec![setting("RUST_LOG", "trace")]).await;
    let printed = stack.printed();
    assert!(printed.lines().count() > 10, "the logs are there: {printed}");
    for secret in secrets {
        for line in printed.lines() {
            assert!(!line.contains(&secret), "{secret} in {line}");
        }
    }
}
