//! How the platform misbehaves on request: `GET`, `POST` and `DELETE /simulator/faults`.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::watch;
use tokio::time;

use crate::lock;

/// Longest that anything is held up; a call or push that nobody releases must not stay for ever.
const HOLD_MAX: Duration = Duration::from_secs(600);
/// Longest latency or delay, in milliseconds.
const DELAY_MAX_MS: u64 = 60_000;
/// Attempts that a push may be given: three by the documents, four were seen.
const ATTEMPTS: std::ops::RangeInclusive<u8> = 1..=5;
/// Silence of the platform after it marked the account's server as failed (docs/wechat.md, "Delivery").
const MARK_FAIL: u64 = 60;

/// The faults in force. Their defaults are a platform that works.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    /// Every API call is answered so much later.
    latency_ms: u64,
    /// The next calls get this errcode.
    error: Option<CodedFault>,
    /// The next calls get an HTML page.
    not_json: Option<CallFault>,
    /// The next calls' connections end without an answer.
    connection_reset: Option<CallFault>,
    /// The token endpoints answer 40164.
    ip_not_allowed: bool,
    /// The token endpoints answer 40125, whatever the secret. Tokens that are out stay good.
    secret_reset: bool,
    /// Every push goes out as two identical copies at once.
    doubled_pushes: bool,
    /// So many more answers are thrown away, as if they had come too late; the next attempt follows at once.
    lost_answers: u32,
    /// Every push goes out so much later.
    push_delay_ms: u64,
    /// Pushes wait until this is false again, for ten minutes at most.
    hold_pushes: bool,
    /// Requests that a push takes at most.
    attempts: u8,
    /// After so many failed pushes in a row the platform is silent for a minute; 0 is never.
    mark_fail_after: u32,
}

/// The next calls, of one path or any.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallFault {
    calls: u32,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodedFault {
    errcode: i64,
    calls: u32,
    #[serde(default)]
    path: Option<String>,
}

/// Changes: what is left out stays as it is, and null ends one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Update {
    /// Back to a platform that works, before the rest is applied.
    reset: bool,
    latency_ms: Option<u64>,
    #[serde(deserialize_with = "present")]
    error: Option<Option<CodedFault>>,
    #[serde(deserialize_with = "present")]
    not_json: Option<Option<CallFault>>,
    #[serde(deserialize_with = "present")]
    connection_reset: Option<Option<CallFault>>,
    ip_not_allowed: Option<bool>,
    secret_reset: Option<bool>,
    doubled_pushes: Option<bool>,
    lost_answers: Option<u32>,
    push_delay_ms: Option<u64>,
    hold_pushes: Option<bool>,
    attempts: Option<u8>,
    mark_fail_after: Option<u32>,
    /// An act, over at once: every token is dead, so that the next business call gets 40001.
    pub(crate) token_revoked: bool,
}

/// What a call must do instead of its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallFate {
    Works,
    Fails(i64),
    NotJson,
    Reset,
}

/// A change that cannot be made; its text says why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("latency_ms and push_delay_ms are at most 60000")]
    TooLong,
    #[error("attempts is 1 to 5")]
    Attempts,
    #[error("errcode is not 0")]
    NoError,
    #[error("path is one of the API's, such as /cgi-bin/qrcode/create")]
    UnknownPath,
}

/// The faults, and what they depend on.
#[derive(Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
    /// Wakes pushes that are held.
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    settings: Settings,
    failed_in_a_row: u32,
    silent_until: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            error: None,
            not_json: None,
            connection_reset: None,
            ip_not_allowed: false,
            secret_reset: false,
            doubled_pushes: false,
            lost_answers: 0,
            push_delay_ms: 0,
            hold_pushes: false,
            attempts: 3,
            mark_fail_after: 0,
        }
    }
}

impl Faults {
    /// The faults in force, with what is left of those that are counted.
    pub(crate) fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// Back to a platform that works; pushes that are held go out.
    pub(crate) fn reset(&self) {
        *self.state() = State::default();
        self.held.send_replace(false);
    }

    /// Makes all of the changes, or none.
    pub(crate) fn update(&self, update: Update, known_path: impl Fn(&str) -> bool) -> Result<(), Invalid> {
        update.check(known_path)?;
        let mut state = self.state();
        if update.reset {
            *state = State::default();
        }
        let settings = &mut state.settings;
        set(&mut settings.latency_ms, update.latency_ms);
        set(&mut settings.error, update.error.map(|error| error.filter(|error| error.calls > 0)));
        set(&mut settings.not_json, update.not_json.map(|fault| fault.filter(|fault| fault.calls > 0)));
        set(
            &mut settings.connection_reset,
            update.connection_reset.map(|fault| fault.filter(|f| f.calls > 0)),
        );
        set(&mut settings.ip_not_allowed, update.ip_not_allowed);
        set(&mut settings.secret_reset, update.secret_reset);
        set(&mut settings.doubled_pushes, update.doubled_pushes);
        set(&mut settings.lost_answers, update.lost_answers);
        set(&mut settings.push_delay_ms, update.push_delay_ms);
        set(&mut settings.hold_pushes, update.hold_pushes);
        set(&mut settings.attempts, update.attempts);
        set(&mut settings.mark_fail_after, update.mark_fail_after);
        self.held.send_replace(settings.hold_pushes);
        Ok(())
    }

    /// How much later a call is answered.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.state().settings.latency_ms)
    }

    /// Decides over one call, and counts it.
    pub(crate) fn fate(&self, path: &str) -> CallFate {
        let settings = &mut self.state().settings;
        if take(&mut settings.connection_reset, path) {
            return CallFate::Reset;
        }
        if take(&mut settings.not_json, path) {
            return CallFate::NotJson;
        }
        match &mut settings.error {
            Some(error) if error.path.as_deref().is_none_or(|only| only == path) => {
                let errcode = error.errcode;
                error.calls -= 1;
                settings.error.take_if(|error| error.calls == 0);
                CallFate::Fails(errcode)
            }
            _ => CallFate::Works,
        }
    }

    pub(crate) fn ip_not_allowed(&self) -> bool {
        self.state().settings.ip_not_allowed
    }

    pub(crate) fn secret_reset(&self) -> bool {
        self.state().settings.secret_reset
    }

    pub(crate) fn doubles_pushes(&self) -> bool {
        self.state().settings.doubled_pushes
    }

    pub(crate) fn attempts(&self) -> u8 {
        self.state().settings.attempts
    }

    /// Whether the answer that just came is thrown away.
    pub(crate) fn loses_answer(&self) -> bool {
        let left = &mut self.state().settings.lost_answers;
        let loses = *left > 0;
        *left = left.saturating_sub(1);
        loses
    }

    /// Waits as long as a push is held back; false if nobody released it within ten minutes.
    pub(crate) async fn released(&self) -> bool {
        let delay = Duration::from_millis(self.state().settings.push_delay_ms);
        time::sleep(delay).await;
        let mut held = self.held.subscribe();
        let released = held.wait_for(|held| !held);
        time::timeout(HOLD_MAX, released).await.is_ok()
    }

    /// Whether the platform has marked the account's server as failed, and is silent.
    pub(crate) fn silent(&self, now: u64) -> bool {
        now < self.state().silent_until
    }

    /// Counts a push for the mark.
    pub(crate) fn pushed(&self, failed: bool, now: u64) {
        let mut state = self.state();
        state.failed_in_a_row = if failed { state.failed_in_a_row.saturating_add(1) } else { 0 };
        let limit = state.settings.mark_fail_after;
        if limit > 0 && state.failed_in_a_row >= limit {
            (state.failed_in_a_row, state.silent_until) = (0, now + MARK_FAIL);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Update {
    fn check(&self, known_path: impl Fn(&str) -> bool) -> Result<(), Invalid> {
        if self.latency_ms.max(self.push_delay_ms).is_some_and(|ms| ms > DELAY_MAX_MS) {
            return Err(Invalid::TooLong);
        }
        if self.attempts.is_some_and(|attempts| !ATTEMPTS.contains(&attempts)) {
            return Err(Invalid::Attempts);
        }
        let error = self.error.as_ref().and_then(Option::as_ref);
        if error.is_some_and(|error| error.errcode == 0) {
            return Err(Invalid::NoError);
        }
        let path = |fault: &Option<Option<CallFault>>| fault.as_ref()?.as_ref()?.path.clone();
        let paths =
            [error.and_then(|error| error.path.clone()), path(&self.not_json), path(&self.connection_reset)];
        if paths.into_iter().flatten().all(|path| known_path(&path)) {
            Ok(())
        } else {
            Err(Invalid::UnknownPath)
        }
    }
}

fn set<T>(setting: &mut T, change: Option<T>) {
    if let Some(value) = change {
        *setting = value;
    }
}

/// Uses one call of a counted fault up, if it is for this path.
fn take(fault: &mut Option<CallFault>, path: &str) -> bool {
    let Some(found) = fault.as_mut().filter(|fault| fault.path.as_deref().is_none_or(|only| only == path))
    else {
        return false;
    };
    found.calls -= 1;
    fault.take_if(|fault| fault.calls == 0);
    true
}

/// Tells null from a field that is left out.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "/cgi-bin/qrcode/create";

    fn update(faults: &Faults, json: &str) -> Result<(), Invalid> {
        faults.update(serde_json::from_str(json).unwrap(), |path| path == CREATE)
    }

    #[test]
    fn an_update_leaves_the_other_faults_as_they_are() {
        let faults = Faults::default();
        update(
            &faults,
            r#"{"error":{"errcode":-1,"calls":2,"path":"/cgi-bin/qrcode/create"},"lost_answers":1}"#,
        )
        .unwrap();
        update(&faults, r#"{"latency_ms":5}"#).unwrap();
        assert_eq!(faults.latency(), Duration::from_millis(5));
        assert_eq!(faults.fate("/cgi-bin/token"), CallFate::Works);
        assert_eq!([faults.fate(CREATE), faults.fate(CREATE)], [CallFate::Fails(-1), CallFate::Fails(-1)]);
        assert_eq!(faults.fate(CREATE), CallFate::Works);
        assert_eq!([faults.loses_answer(), faults.loses_answer()], [true, false]);
        update(&faults, r#"{"not_json":{"calls":1}}"#).unwrap();
        update(&faults, r#"{"not_json":null}"#).unwrap();
        assert_eq!(faults.fate(CREATE), CallFate::Works);
        update(&faults, r#"{"reset":true,"attempts":4}"#).unwrap();
        assert_eq!((faults.latency(), faults.attempts()), (Duration::ZERO, 4));
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let faults = Faults::default();
        assert!(update(&faults, r#"{"latency_ms":1,"attempts":0}"#).is_err());
        assert!(update(&faults, r#"{"latency_ms":1,"push_delay_ms":60001}"#).is_err());
        assert!(update(&faults, r#"{"latency_ms":1,"error":{"errcode":-1,"calls":1,"path":"/x"}}"#).is_err());
        assert_eq!(faults.latency(), Duration::ZERO);
        assert!(serde_json::from_str::<Update>(r#"{"latency":1}"#).is_err());
    }

    #[tokio::test]
    async fn a_held_push_goes_out_when_it_is_released() {
        let faults = Faults::default();
        update(&faults, r#"{"hold_pushes":true}"#).unwrap();
        let (released, ()) = tokio::join!(faults.released(), async { faults.reset() });
        assert!(released);
    }

    #[test]
    fn the_platform_is_silent_for_a_minute_only_when_asked_to_mark_failures() {
        let faults = Faults::default();
        (0..100).for_each(|_| faults.pushed(true, 1000));
        assert!(!faults.silent(1000));
        update(&faults, r#"{"reset":true,"mark_fail_after":2}"#).unwrap();
        faults.pushed(true, 1000);
        faults.pushed(false, 1000);
        faults.pushed(true, 1000);
        assert!(!faults.silent(1000));
        faults.pushed(true, 1000);
        assert!(faults.silent(1059) && !faults.silent(1060));
    }
}
