//! Leaves a platform alone that is in trouble, and finds out when it is over (docs/wechat.md, "Trouble").
//!
//! One breaker for each kind of call, for quotas and rights are given by call. It works, until failures make it rest; then
//! nobody calls for a while; then one call probes, and its outcome decides between work and a longer rest.

mod journal;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::random::fraction;
use tokio::time::Instant;

use self::journal::{Journal, Recovery};
use self::state::{Consequence, HICCUPS_MAX, Pass, Refusal, State};
use super::Error;
use super::rest::{Moment, Weight, since_1970};

/// Decides over each call of one kind. Clones are the same breaker.
#[derive(Clone, Debug)]
pub(super) struct Breaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The call's path, for the log.
    call: &'static str,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    state: State,
    journal: Journal,
}

/// Leave to make one call, repetitions included. Whoever drops it without an outcome has not learned one.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Breaker,
    pass: Pass,
    settled: bool,
}

impl Breaker {
    /// A breaker for calls of which each is made for one login. None takes longer than `limit`.
    pub(super) fn of_each(call: &'static str, limit: Duration) -> Self {
        Self::new(call, limit, HICCUPS_MAX)
    }

    /// A breaker for calls of which each is made for all logins, so that one failure is already everybody's. None
    /// takes longer than `limit`.
    pub(super) fn of_all(call: &'static str, limit: Duration) -> Self {
        Self::new(call, limit, 1)
    }

    fn new(call: &'static str, limit: Duration, tolerates: u32) -> Self {
        let kept = Kept { state: State::new(tolerates, limit), journal: Journal::default() };
        Self(Arc::new(Inner { call, kept: Mutex::new(kept) }))
    }

    /// Leave to make a call.
    ///
    /// # Errors
    ///
    /// [`Error::Resting`] with the last failure and what is left of the rest.
    pub(super) fn admit(&self) -> Result<Permit, Error> {
        let mut kept = self.kept();
        match kept.state.admit(Instant::now()) {
            Ok(pass) => Ok(Permit { breaker: self.clone(), pass, settled: false }),
            Err(Refusal { cause, left }) => {
                kept.journal.refused();
                Err(Error::Resting { cause, left, asked: false })
            }
        }
    }

    /// What it does at the moment, in a word.
    pub(super) fn state(&self) -> &'static str {
        self.kept().state.name(Instant::now())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self, pass: Pass) {
        let recovery = {
            let mut kept = self.kept();
            if kept.state.succeeded(pass) { kept.journal.succeeded(Instant::now()) } else { None }
        };
        if let Some(Recovery { failed, refused, lasted }) = recovery {
            let (call, lasted_ms) = (self.0.call, millis(lasted));
            tracing::info!(call, failed, refused, lasted_ms, "the WeChat API works again");
        }
    }

    /// The error as its caller gets it: a probe's says how long nobody asks now.
    fn failed(&self, pass: Pass, error: Error, weight: Weight) -> Error {
        let (error, now) = (Arc::new(error), Instant::now());
        let at = Moment { since_1970: since_1970(), dice: fraction() };
        let (consequence, is_news) = {
            let mut kept = self.kept();
            let consequence = kept.state.failed(pass, (&error, weight), now, at);
            let is_news = match consequence {
                Consequence::Late => {
                    kept.journal.failed_late();
                    false
                }
                Consequence::Borne | Consequence::Rest(_) => kept.journal.failed(error.kind(), now),
            };
            (consequence, is_news)
        };
        let rest = match consequence {
            Consequence::Rest(rest) => Some(rest),
            Consequence::Late | Consequence::Borne => None,
        };
        self.tell(&error, rest, is_news);
        match rest {
            Some(left) if pass.is_probe => Error::Resting { cause: error, left, asked: true },
            _ => Arc::unwrap_or_clone(error),
        }
    }

    fn tell(&self, error: &Error, rest: Option<Duration>, is_news: bool) {
        let (call, rest_ms) = (self.0.call, rest.map(millis));
        if !is_news {
            tracing::debug!(call, %error, rest_ms, "a call to the WeChat API failed");
        } else if error.needs_an_operator() {
            tracing::error!(call, %error, rest_ms, "a call to the WeChat API failed");
        } else {
            tracing::warn!(call, %error, rest_ms, "a call to the WeChat API failed");
        }
    }
}

impl Permit {
    /// Whether the call may be made again after a busy answer.
    pub(super) fn may_ask_again(&self) -> bool {
        self.breaker.kept().state.may_ask_again(self.pass)
    }

    /// Tells what the call came to, and returns it.
    pub(super) fn settle<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        self.settled = true;
        match outcome {
            Err(error) => Err(match error.weight() {
                Some(weight) => self.breaker.failed(self.pass, error, weight),
                None => {
                    self.breaker.succeeded(self.pass);
                    error
                }
            }),
            Ok(answer) => {
                self.breaker.succeeded(self.pass);
                Ok(answer)
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.kept().state.released(self.pass, Instant::now());
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
