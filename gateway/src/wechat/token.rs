//! The access token: `stable_token` gives every caller the same one, so replicas agree by themselves and each holds its
//! own (docs/wechat.md, "Tokens").

use std::sync::Arc;
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
#[derive(Clone, Debug)]
pub(super) struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    account: Account,
    /// What the last fetch came to; `None` before the first.
    held: Mutex<Option<Result<Token, Error>>>,
    /// Fetches that have ended. Who finds that one ended while it waited takes its outcome instead of fetching again.
    fetches: AtomicU64,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    renew_at: Instant,
}

impl Tokens {
    /// No token yet.
    pub(super) fn new(http: reqwest::Client, account: Account) -> Self {
        let (held, fetches) = Default::default();
        Self(Arc::new(Inner { http, account, held, fetches }))
    }

    /// A token that is good as far as we know.
    pub(super) async fn get(&self) -> Result<Secret, Error> {
        self.other_than(None).await
    }

    /// A token in the place of `failed`; fetched only if that is still the one that is held.
    pub(super) async fn replace(&self, failed: &Secret) -> Result<Secret, Error> {
        let token = self.other_than(Some(failed.clone())).await?;
        if token == *failed { Err(Error::TokenNotTaken) } else { Ok(token) }
    }

    async fn other_than(&self, failed: Option<Secret>) -> Result<Secret, Error> {
        if let Ok(held) = self.0.held.try_lock()
            && let Some(Ok(token)) = &*held
            && token.is_good(failed.as_ref())
        {
            return Ok(token.text.clone());
        }
        let inner = self.0.clone();
        // In a task of its own: whoever waits for it may leave, and the others must not begin again.
        let fetched = tokio::spawn(async move { inner.other_than(failed.as_ref()).await });
        fetched.await.unwrap_or_else(|_| Err(Error::Unreachable("the process is ending".to_owned())))
    }
}

impl Token {
    fn is_good(&self, failed: Option<&Secret>) -> bool {
        Some(&self.text) != failed && Instant::now() < self.renew_at
    }
}

impl Inner {
    async fn other_than(&self, failed: Option<&Secret>) -> Result<Secret, Error> {
        let before = self.fetches.load(Ordering::Acquire);
        let mut held = self.held.lock().await;
        let fetched_meanwhile = self.fetches.load(Ordering::Acquire) != before;
        let text = |outcome: &Result<Token, Error>| match outcome {
            Ok(token) => Ok(token.text.clone()),
            Err(error) => Err(error.clone()),
        };
        match &*held {
            Some(outcome) if fetched_meanwhile => return text(outcome),
            Some(Ok(token)) if token.is_good(failed) => return Ok(token.text.clone()),
            _ => {}
        }
        let outcome = fetch(&self.http, &self.account).await;
        self.fetches.fetch_add(1, Ordering::Release);
        text(held.insert(outcome))
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
