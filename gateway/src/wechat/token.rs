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
use super::{Account, CALL_TIMEOUT, Error};

/// A token is fetched anew this long before its end. Above 300 s would be of no use, for the platform gives the same
/// token until then (docs/wechat.md, "Tokens").
const MARGIN: Duration = Duration::from_secs(120);
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
}

/// What a fetch comes to, for all who wait for it; `None` until it does.
type Fetch = watch::Receiver<Option<Result<Secret, Error>>>;

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
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
    pub(super) fn new(http: reqwest::Client, account: Account) -> Self {
        let endpoint = Endpoint::of_all("/cgi-bin/stable_token", CALL_TIMEOUT);
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

    /// A token in the place of `failed`, which nobody gets any more. Fetched only if that is still the one that is held.
    ///
    /// # Errors
    ///
    /// As [`Tokens::get`], and [`Error::TokenNotTaken`] where the platform gives the same token again: whoever went on
    /// fetching then would never end.
    pub(super) async fn replace(&self, failed: &Secret) -> Result<Secret, Error> {
        let token = self.other_than(Some(failed)).await?;
        if token == *failed { Err(Error::TokenNotTaken) } else { Ok(token) }
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
        let mut held = self.0.held();
        match held.good(failed, Instant::now()) {
            Some((text, is_due)) => {
                if is_due {
                    // Nobody has to wait for it, nor is anything lost yet if it fails: this token is good until its end.
                    let _ = self.fetch(&mut held);
                }
                Ok(Source::Held(text))
            }
            None => Ok(Source::Fetch(self.fetch(&mut held)?)),
        }
    }

    /// The fetch that is under way, or a new one.
    fn fetch(&self, held: &mut Held) -> Result<Fetch, Error> {
        // A sender that is gone has left nothing behind: its task died.
        if let Some(fetch) = held.fetch.as_ref().filter(|fetch| fetch.has_changed().is_ok()) {
            return Ok(fetch.clone());
        }
        let permit = self.0.endpoint.admit()?;
        let (sender, fetch) = watch::channel(None);
        held.fetch = Some(fetch.clone());
        let inner = self.0.clone();
        // In a task of its own, which ends within the call's limit: whoever waits for it may leave, and the others must not
        // begin again.
        tokio::spawn(async move {
            let outcome = inner.fetch(permit).await;
            let text = outcome.as_ref().map(|token| token.text.clone()).map_err(Clone::clone);
            let mut held = inner.held();
            held.fetch = None;
            held.token = outcome.ok().or(held.token.take());
            // Nobody may be waiting.
            sender.send_replace(Some(text));
        });
        Ok(fetch)
    }
}

impl Held {
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
        Self { text, renew_at: ends - MARGIN.min(life / 2), ends }
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
        let granted =
            permit.settle(granted.and_then(|granted: Granted| match granted.access_token.is_empty() {
                true => Err(Error::Unreadable("an empty access token")),
                false => Ok(granted),
            }))?;
        let life = Duration::from_secs(granted.expires_in.min(LIFE_MAX));
        tracing::debug!(life_s = life.as_secs(), "access token fetched");
        Ok(Token::new(Secret::new(granted.access_token), life, asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::Platform;

    const LIFE: Duration = Duration::from_secs(7200);

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    fn held(text: &str, life: Duration, asked: Instant) -> Held {
        Held { token: Some(Token::new(secret(text), life, asked)), fetch: None }
    }

    #[test]
    fn a_token_is_renewed_two_minutes_before_its_end_and_used_until_then() {
        let asked = Instant::now();
        let mut held = held("t", LIFE, asked);
        let mut at =
            |seconds| held.good(None, asked + Duration::from_secs(seconds)).map(|(_, is_due)| is_due);
        assert_eq!(
            [0, 7079, 7080, 7199, 7200].map(&mut at),
            [Some(false), Some(false), Some(true), Some(true), None]
        );
    }

    #[test]
    fn a_token_whose_life_is_short_is_not_renewed_at_once() {
        let asked = Instant::now();
        let mut held = held("t", Duration::from_secs(60), asked);
        assert_eq!(held.good(None, asked + Duration::from_secs(29)), Some((secret("t"), false)));
    }

    #[test]
    fn only_the_token_that_failed_is_forgotten() {
        let asked = Instant::now();
        let mut held = held("second", LIFE, asked);
        assert!(held.good(Some(&secret("first")), asked).is_some());
        assert!(held.good(Some(&secret("second")), asked).is_none());
        assert!(held.good(None, asked).is_none(), "nobody else gets it either");
    }

    /// A platform behind an address where nobody listens.
    fn unreachable() -> Platform {
        // Fails only if another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let api_base = "http://127.0.0.1:1".to_owned();
        Platform::new(Account { app_id: "wx0".into(), app_secret: secret("s"), api_base }).unwrap()
    }

    #[tokio::test]
    async fn a_renewal_that_fails_costs_nobody_the_token_that_is_good_yet() {
        let tokens = unreachable().tokens;
        let (text, renew_at) = (secret("old"), Instant::now());
        tokens.0.held().token = Some(Token { text, renew_at, ends: renew_at + Duration::from_secs(60) });
        assert_eq!(tokens.get().await.unwrap(), secret("old"));
        let mut renewal = tokens.0.held().fetch.clone().expect("a fetch is under way");
        assert_eq!(tokens.get().await.unwrap(), secret("old"));
        assert!(tokens.0.held().fetch.as_ref().unwrap().same_channel(&renewal), "and only one");
        let outcome = renewal.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(matches!(outcome, Err(Error::Unreachable(_))), "{outcome:?}");
        assert_eq!(tokens.get().await.unwrap(), secret("old"), "while the endpoint rests");
        let error = tokens.replace(&secret("old")).await.unwrap_err();
        assert!(matches!(error, Error::Resting { .. }), "{error:?}");
        assert!(tokens.get().await.is_err(), "a token that failed is no token");
    }
}
