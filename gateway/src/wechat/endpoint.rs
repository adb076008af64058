//! One kind of call to the platform: how long it may take, when it is made again, and when not at all.

use std::time::Duration;

use serde::de::DeserializeOwned;
use shared::random::fraction;
use tokio::time::{self, Instant};

use super::Error;
use super::answer::Answer;
use super::breaker::{Breaker, Permit};
use super::metrics::{CallMetrics, Metrics};
use super::rest::jittered;

/// How often a call that finds the platform busy is made again before it counts as failed.
const REPEATS: u32 = 2;
/// Before the first repetition; before the second it is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// A call of the API, and how it fares.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    path: &'static str,
    /// For a call with its repetitions, from the first byte to the last.
    limit: Duration,
    breaker: Breaker,
    metrics: CallMetrics,
}

impl Endpoint {
    /// A call of which each is made for one login.
    pub(super) fn of_each(path: &'static str, limit: Duration, metrics: &Metrics) -> Self {
        Self { path, limit, breaker: Breaker::of_each(path, limit), metrics: metrics.of(path) }
    }

    /// A call of which each is made for all logins.
    pub(super) fn of_all(path: &'static str, limit: Duration, metrics: &Metrics) -> Self {
        Self { path, limit, breaker: Breaker::of_all(path, limit), metrics: metrics.of(path) }
    }

    /// Its name.
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    /// What its breaker does at the moment, in a word.
    pub(super) fn state(&self) -> &'static str {
        self.breaker.state()
    }

    /// Its address at the API whose base this is.
    pub(super) fn url(&self, base: &str) -> String {
        format!("{base}{}", self.path)
    }

    /// Leave to ask.
    ///
    /// # Errors
    ///
    /// [`Error::Resting`]: nobody asks at the moment.
    pub(super) fn admit(&self) -> Result<Permit, Error> {
        self.breaker.admit().inspect_err(|_| self.not_made())
    }

    /// Counts a call that was not made.
    pub(super) fn not_made(&self) {
        self.metrics.not_made.inc();
    }

    /// Asks, and asks again where the platform is busy. A time-out is not -1: the platform may have worked, so the call is
    /// not repeated (docs/wechat.md, "Rules for every call"). The permit is still to be settled.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        permit: &Permit,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let (began, mut repeats) = (Instant::now(), 0);
        loop {
            let left = self.limit.saturating_sub(began.elapsed());
            let timer = self.metrics.duration.start_timer();
            let answer = Answer::of(request().timeout(left)).await.and_then(Answer::read);
            timer.observe_duration();
            answer.as_ref().inspect_err(|error| self.metrics.failed(error)).ok();
            let pause = jittered(PAUSE * (1 << repeats), fraction());
            match answer {
                // With less than half of the time another answer may not come in it.
                Err(error)
                    if error.is_busy()
                        && repeats < REPEATS
                        && began.elapsed() + pause < self.limit / 2
                        && permit.may_ask_again() =>
                {
                    tracing::debug!(call = self.path, "the platform is busy, asking again");
                    time::sleep(pause).await;
                    repeats += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Ends a call with what `read` makes of its answer. An answer of which it makes nothing is a failure like any other.
    pub(super) fn settle<T, U>(
        &self,
        permit: Permit,
        outcome: Result<T, Error>,
        read: impl FnOnce(T) -> Result<U, Error>,
    ) -> Result<U, Error> {
        let read = |answer| read(answer).inspect_err(|error| self.metrics.failed(error));
        permit.settle(outcome.and_then(read))
    }
}
