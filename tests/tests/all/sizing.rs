//! What docs/operations.md says under "Sizing" that a deployment takes.

use std::collections::BTreeMap;

use tests::browser::Browser;
use tests::stack::{Stack, somebodys_openid};

use crate::bounds::small;

/// Enough that a command which only some logins need would show.
const LOGINS: u64 = 10;

/// The commands of a row of the table, by name.
fn documented(row: &str) -> BTreeMap<String, u64> {
    let page = include_str!("../../../docs/operations.md");
    let (_, section) = page.split_once("\n## Sizing\n").unwrap();
    let begins = format!("| {row} | ");
    let commands =
        section.lines().find_map(|line| line.strip_prefix(&begins)).unwrap_or_else(|| panic!("{row}"));
    let words: Vec<&str> = commands.split([' ', ',', ':']).filter(|word| !word.is_empty()).collect();
    let named = words.windows(2).filter_map(|pair| {
        let name = pair[1].strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_lowercase(), pair[0].parse().ok()?))
    });
    named.collect()
}

async fn somebody_logs_in(stack: &Stack) {
    let mut browser = stack.browser().await;
    let content = browser.qr_code().await.content;
    stack.scan(&content, &somebodys_openid()).await;
    stack.application().redeem(&browser.success().await.code).await;
}

/// What `acts` ask of Redis, the watchdog's PINGs aside, is [`LOGINS`] times what the page says.
async fn is_as_documented(stack: &Stack, row: &str, acts: impl AsyncFn()) {
    let mut monitor = stack.redis.monitor().await;
    for _ in 0..LOGINS {
        acts().await;
    }
    let mut heard = monitor.heard(&stack.redis).await;
    heard.remove("ping");
    let expected = documented(row).into_iter().map(|(name, times)| (name, LOGINS * times));
    assert_eq!(heard, expected.collect(), "{row}, {LOGINS} times");
}

#[tokio::test]
async fn logins_and_pages_ask_redis_as_often_as_the_documentation_says() {
    let limits = ["QR_LIMIT_PER_CLIENT", "QR_LIMIT_PER_NETWORK", "QR_LIMIT_TOTAL"];
    let stack = small(&limits.map(|limit| (limit, "1000/min"))).await;
    let mut page = stack.browser().await;
    let session = page.qr_code().await.session;
    let renews = async |page: &mut Browser| {
        page.refresh().await;
        page.qr_code().await;
    };
    let comes_back = async || {
        Browser::resume(&stack.url(), &session).await.qr_code().await;
    };
    // The first time Redis learns the scripts.
    somebody_logs_in(&stack).await;
    renews(&mut page).await;
    comes_back().await;
    assert_eq!(page.error().await, "replaced");

    is_as_documented(&stack, "a login, all of it", async || somebody_logs_in(&stack).await).await;
    is_as_documented(&stack, "a page that comes back", comes_back).await;
    let page = tokio::sync::Mutex::new(Browser::resume(&stack.url(), &session).await);
    page.lock().await.qr_code().await;
    is_as_documented(&stack, "a new QR code on a page", async || renews(&mut *page.lock().await).await).await;
}
