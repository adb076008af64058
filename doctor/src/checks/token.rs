//! Whether the platform gives us an access token.

use std::time::Duration;

use gateway::wechat::{Error, Platform};
use reqwest::Url;
use tokio::time::{self, Instant};

use crate::console;
use crate::report::{Finding, in_milliseconds};
use crate::settings::Deployment;

const NAME: &str = "token";
/// One call with its retries.
const LIMIT: Duration = Duration::from_secs(15);
/// Above it a page waits for its QR code so long that people notice.
pub(super) const SLOW: Duration = Duration::from_secs(2);
/// What a slow answer of the platform's asks for.
pub(super) const SLOW_REMEDY: &str =
    "every QR code takes as long: look at the network between the gateways and the platform, and at DNS";
/// The code that means: this address is not on the account's list (docs/wechat.md, "Error codes").
pub(super) const NOT_LISTED: i64 = 40164;

/// A client that holds a token.
pub(super) struct Fetched {
    pub(super) platform: Platform,
    elapsed: Duration,
}

/// Why there is no token.
pub(super) enum NoToken {
    /// Nothing was asked.
    NotAsked(String),
    /// The platform does not talk with this address.
    NotListed { message: String, advice: &'static str },
    /// Anything else.
    Failed(Error),
    /// No answer within the limit.
    Late,
}

/// Fetches a token, as the gateway does.
pub(super) async fn fetch(deployment: &Deployment) -> Result<Fetched, NoToken> {
    let account = deployment.account.clone().map_err(NoToken::NotAsked)?;
    let platform = Platform::new(account).map_err(NoToken::Failed)?;
    let asked = Instant::now();
    match time::timeout(LIMIT, platform.fetch_token()).await {
        Ok(Ok(())) => Ok(Fetched { platform, elapsed: asked.elapsed() }),
        Ok(Err(Error::Refused { code: NOT_LISTED, message, advice })) => {
            Err(NoToken::NotListed { message, advice })
        }
        Ok(Err(error)) => Err(NoToken::Failed(error)),
        Err(_) => Err(NoToken::Late),
    }
}

/// The finding about the token itself.
pub(super) fn finding(deployment: &Deployment, fetched: &Result<Fetched, NoToken>) -> Finding {
    match fetched {
        Ok(Fetched { elapsed, .. }) => {
            let base = without_user(deployment.api_base.as_deref().unwrap_or_default());
            let found = format!("{base} gives one, within {}", in_milliseconds(*elapsed));
            if *elapsed < SLOW { Finding::ok(NAME, found) } else { Finding::warn(NAME, found, SLOW_REMEDY) }
        }
        Err(NoToken::NotAsked(why)) => Finding::skip(NAME, why),
        Err(NoToken::NotListed { .. }) => {
            Finding::skip(NAME, "the platform answers nothing to this address: see ip list")
        }
        Err(NoToken::Failed(error)) => failure(NAME, deployment, error),
        Err(NoToken::Late) => {
            let found = format!("no answer within {} s", LIMIT.as_secs());
            Finding::fail(NAME, found, SLOW_REMEDY)
        }
    }
}

/// Where the API is, as it may be shown: what is before the @ may be a proxy's password.
fn without_user(base: &str) -> String {
    let Ok(mut url) = Url::parse(base) else { return String::new() };
    // Refused only for URLs without a host, which this is none of.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

/// A call of the platform's that failed, with what to click.
pub(super) fn failure(check: &'static str, deployment: &Deployment, error: &Error) -> Finding {
    let show = |text: &str| deployment.foreign.show(text);
    match error {
        Error::Refused { code, message, advice, .. } => {
            let remedy = console::remedy(*code, message, advice);
            Finding::fail(check, format!("the platform refuses with {code}: {}", show(message)), remedy)
        }
        Error::Resting { cause, .. } => failure(check, deployment, cause),
        // The others say in their text what to do, behind a colon.
        error => {
            let text = show(&error.to_string());
            let (found, remedy) = text.rsplit_once(": ").unwrap_or((&text, "see docs/wechat.md"));
            Finding::fail(check, found, remedy)
        }
    }
}
