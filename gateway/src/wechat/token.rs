//! The access token: `stable_token` gives every caller the same one, so replicas agree by themselves and each holds its
//! own (docs/wechat.md, "Tokens").

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::settings::Secret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::Answer;
use super::{Account, Error};

/// A token is fetched anew this long before its end. Above 300 s would be of no use, for the platform gives the same
/// token until then (docs/wechat.md, "Tokens").
const MARGIN: Duration = Duration::from_secs(120);

/// The token of this process, fetched once however many ask at once.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    held: Mutex<Held>,
    /// Fetches that have ended. Who finds that one ended while it waited takes its outcome instead of fetching again.
    fetches: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    failure: Option<Error>,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    renew_at: Instant,
}

impl Tokens {
    /// A token that is good as far as we know.
    pub(super) async fn get(&self, http: &reqwest::Client, account: &Account) -> Result<Secret, Error> {
        self.other_than(None, http, account).await
    }

    /// A token in the place of `failed`; fetched only if that is still the one that is held.
    pub(super) async fn replace(
        &self,
        failed: &Secret,
        http: &reqwest::Client,
        account: &Account,
    ) -> Result<Secret, Error> {
        let token = self.other_than(Some(failed), http, account).await?;
        if token == *failed { Err(Error::TokenNotTaken) } else { Ok(token) }
    }

    async fn other_than(
        &self,
        failed: Option<&Secret>,
        http: &reqwest::Client,
        account: &Account,
    ) -> Result<Secret, Error> {
        let before = self.fetches.load(Ordering::Acquire);
        let mut held = self.held.lock().await;
        let fetched_meanwhile = self.fetches.load(Ordering::Acquire) != before;
        if let Some(token) = &held.token
            && (fetched_meanwhile || (Some(&token.text) != failed && Instant::now() < token.renew_at))
        {
            return Ok(token.text.clone());
        }
        if let (true, Some(failure)) = (fetched_meanwhile, &held.failure) {
            return Err(failure.clone());
        }
        let fetched = fetch(http, account).await;
        self.fetches.fetch_add(1, Ordering::Release);
        match fetched {
            Ok(token) => {
                let text = token.text.clone();
                *held = Held { token: Some(token), failure: None };
                Ok(text)
            }
            Err(error) => {
                *held = Held { token: None, failure: Some(error.clone()) };
                Err(error)
            }
        }
    }
}

async fn fetch(http: &reqwest::Client, account: &Account) -> Result<Token, Error> {
    #[derive(Serialize)]
    struct Request<'a> {
        grant_type: &'static str,
        appid: &'a str,
        secret: &'a str,
    }
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: u64,
    }
    // Without `force_refresh`: that would end the other replicas' token (docs/wechat.md, "Tokens").
    let request = Request {
        grant_type: "client_credential",
        appid: &account.app_id,
        secret: account.app_secret.expose(),
    };
    let url = format!("{}/cgi-bin/stable_token", account.api_base);
    let asked = Instant::now();
    let granted: Granted = Answer::of(http.post(url).json(&request)).await?.read()?;
    if granted.access_token.is_empty() {
        return Err(Error::Unreadable("an empty access token"));
    }
    let life = Duration::from_secs(granted.expires_in.min(7200));
    tracing::debug!(life_s = life.as_secs(), "access token fetched");
    Ok(Token { text: Secret::new(granted.access_token), renew_at: asked + life.saturating_sub(MARGIN) })
}
