//! The access token: `stable_token` gives every caller the same one, so replicas agree by themselves and each holds its
//! own (docs/wechat.md, "Tokens").

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::settings::Secret;
use tokio::sync::watch;
use tokio::time::Instant;

use super::breaker::Permit;
use super::endpoint::Endpoint;
use super::metrics::Metrics;
use super::rest::since_1970;
use super::{Account, CALL_TIMEOUT, Error};

/// A token is fetched anew this long before its end. Above 300 s would be of no use, for the platform gives the same
/// token until then (docs/wechat.md, "Tokens").
const MARGIN: Duration = Duration::from_secs(120);
/// A token that failed and was given again is not asked for in this time. Longer than a call takes, so that all the calls
/// that were under way with it cost one fetch; shorter than the rest that such a failure begins, for the platform may yet
/// give another.
const GIVEN_AGAIN_FOR: Duration = Duration::from_secs(10);
/// The longest life that a token has.
const LIFE_MAX: u64 = 7200;

/// The token of this process, fetched once however many ask at once.
#[derive(Debug)]
pub(super) struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    account: Account,
    endpoint: Endpoint,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// The fetch that is under way.
    fetch: Option<Fetch>,
    /// The token that failed, and then was given again at this moment.
    given_again: Option<(Secret, Instant)>,
}

/// What a fetch comes to, for all who wait for it; `None` until it does.
type Fetch = watch::Receiver<Option<Result<Secret, Error>>>;

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    asked: Instant,
    renew_at: Instant,
    ends: Instant,
}

/// Where a token comes from.
enum Source {
    Held(Secret),
    Fetch(Fetch),
}

impl Tokens {
    /// No token yet.
    pub(super) fn new(http: reqwest::Client, account: Account, metrics: &Metrics) -> Self {
        let endpoint = Endpoint::of_all("/cgi-bin/stable_token", CALL_TIMEOUT, metrics);
        Self(Arc::new(Inner { http, account, endpoint, held: Mutex::default() }))
    }

    /// A token that is good as far as we know.
    ///
    /// # Errors
    ///
    /// There is none, and it cannot be fetched, or is not at the moment.
    pub(super) async fn get(&self) -> Result<Secret, Error> {
        self.other_than(None).await
    }

    /// A token in the place of `failed`. Fetched only if that is still the one that is held.
    ///
    /// # Errors
    ///
    /// As [`Tokens::get`], and [`Error::TokenNotTaken`] where the platform gives the same token again, or has just done so:
    /// whoever went on fetching then would never end.
    pub(super) async fn replace(&self, failed: &Secret) -> Result<Secret, Error> {
        // The fetch that is under way may be a renewal that began before the token failed. It proves nothing if that gives
        // the token again, but the next one, which begins now, does.
        for _ in 0..2 {
            let token = self.other_than(Some(failed)).await?;
            if token != *failed {
                return Ok(token);
            }
        }
        Err(Error::TokenNotTaken)
    }

    /// How it is fetched.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// When the token that is held was fetched and when it ends, since 1970.
    pub(super) fn times(&self) -> Option<(Duration, Duration)> {
        let held = self.0.held();
        let token = held.token.as_ref()?;
        let (now, wall) = (Instant::now(), since_1970());
        let ends = wall + token.ends.saturating_duration_since(now);
        let ended = now.saturating_duration_since(token.ends);
        Some((wall.saturating_sub(now.saturating_duration_since(token.asked)), ends.saturating_sub(ended)))
    }

    async fn other_than(&self, failed: Option<&Secret>) -> Result<Secret, Error> {
        let mut fetch = match self.source(failed)? {
            Source::Held(token) => return Ok(token),
            Source::Fetch(fetch) => fetch,
        };
        let outcome = fetch.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Err(Error::Unreachable("the process is ending".to_owned())))
    }

    fn source(&self, failed: Option<&Secret>) -> Result<Source, Error> {
        let (mut held, now) = (self.0.held(), Instant::now());
        if failed.is_some_and(|failed| held.was_given_again(failed, now)) {
            return Err(Error::TokenNotTaken);
        }
        match held.good(failed, now) {
            Some((text, is_due)) => {
                if is_due {
                    // Nobody has to wait for it, nor is anything lost yet if it fails: this token is good until its end.
                    let _ = self.fetch(&mut held, None);
                }
                Ok(Source::Held(text))
            }
            None => Ok(Source::Fetch(self.fetch(&mut held, failed)?)),
        }
    }

    /// The fetch that is under way, or a new one because that token `failed`.
    fn fetch(&self, held: &mut Held, failed: Option<&Secret>) -> Result<Fetch, Error> {
        // A sender that is gone has left nothing behind: its task died.
        if let Some(fetch) = held.fetch.as_ref().filter(|fetch| fetch.has_changed().is_ok()) {
            return Ok(fetch.clone());
        }
        let permit = self.0.endpoint.admit()?;
        let (sender, fetch) = watch::channel(None);
        held.fetch = Some(fetch.clone());
        let (inner, failed) = (self.0.clone(), failed.cloned());
        // In a task of its own, which ends within the call's limit: whoever waits for it may leave, and the others must not
        // begin again.
        tokio::spawn(async move {
            let outcome = inner.fetch(permit).await;
            let text = outcome.as_ref().map(|token| token.text.clone()).map_err(Clone::clone);
            let mut held = inner.held();
            held.fetch = None;
            if let (Some(failed), Ok(Token { text, .. })) = (failed, &outcome)
                && failed == *text
            {
                held.given_again = Some((failed, Instant::now()));
            }
            // One that was given again, too: other calls may be more lucky with it.
            held.token = outcome.ok().or(held.token.take());
            // Nobody may be waiting.
            sender.send_replace(Some(text));
        });
        Ok(fetch)
    }
}

impl Held {
    /// Whether the platform has just given `failed` again.
    fn was_given_again(&self, failed: &Secret, now: Instant) -> bool {
        let lately = |at: Instant| now.duration_since(at) < GIVEN_AGAIN_FOR;
        self.given_again.as_ref().is_some_and(|(text, at)| text == failed && lately(*at))
    }

    /// The token, if it is good, and whether it is due for renewal. One that has ended or failed is forgotten.
    fn good(&mut self, failed: Option<&Secret>, now: Instant) -> Option<(Secret, bool)> {
        self.token.take_if(|token| now >= token.ends || Some(&token.text) == failed);
        self.token.as_ref().map(|token| (token.text.clone(), now >= token.renew_at))
    }
}

impl Token {
    /// A token that was asked for at `asked`, with what was left of its life.
    fn new(text: Secret, life: Duration, asked: Instant) -> Self {
        let ends = asked + life;
        Self { text, asked, renew_at: ends - MARGIN.min(life / 2), ends }
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, permit: Permit) -> Result<Token, Error> {
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
            appid: &self.account.app_id,
            secret: self.account.app_secret.expose(),
        };
        let url = self.endpoint.url(&self.account.api_base);
        let asked = Instant::now();
        let granted = self.endpoint.ask(&permit, || self.http.post(&url).json(&request)).await;
        let read = |granted: Granted| match granted.access_token.is_empty() {
            true => Err(Error::Unreadable("an empty access token")),
            false => Ok(granted),
        };
        let granted = self.endpoint.settle(permit, granted, read)?;
        let life = Duration::from_secs(granted.expires_in.min(LIFE_MAX));
        tracing::debug!(life_s = life.as_secs(), "access token fetched");
        Ok(Token::new(Secret::new(granted.access_token), life, asked))
    }
}

#[cfg(test)]
mod tests;
