//! What can go wrong on request, as it is asked for and shown in JSON.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest latency or delay, in milliseconds.
const DELAY_MAX_MS: u64 = 60_000;
/// Attempts that a push may be given: three by the documents, four were seen.
const ATTEMPTS: RangeInclusive<u8> = 1..=5;

/// The faults in force. Their defaults are a platform that works.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    /// Every API call is answered so much later.
    pub(super) latency_ms: u64,
    /// The next calls get this errcode.
    pub(super) error: Option<CodedFault>,
    /// The next calls get an HTML page.
    pub(super) not_json: Option<CallFault>,
    /// The next calls' connections end without an answer.
    pub(super) connection_reset: Option<CallFault>,
    /// The token endpoints answer 40164.
    pub(super) ip_not_allowed: bool,
    /// The token endpoints answer 40125, whatever the secret. Tokens that are out stay good.
    pub(super) secret_reset: bool,
    /// Every push goes out as two identical copies at once.
    pub(super) doubled_pushes: bool,
    /// So many more answers are thrown away, as if they had come too late; the next attempt follows at once.
    pub(super) lost_answers: u32,
    /// Every push goes out so much later.
    pub(super) push_delay_ms: u64,
    /// Pushes wait until this is false again, for ten minutes at most.
    pub(super) hold_pushes: bool,
    /// Requests that a push takes at most.
    pub(super) attempts: u8,
    /// After so many failed pushes in a row the platform is silent for a minute; 0 is never.
    pub(super) mark_fail_after: u32,
}

/// The next calls, of one path or any.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallFault {
    pub(super) calls: u32,
    #[serde(default)]
    pub(super) path: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodedFault {
    pub(super) errcode: i64,
    pub(super) calls: u32,
    #[serde(default)]
    pub(super) path: Option<String>,
}

/// Changes: what is left out stays as it is, and null ends one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Update {
    /// Back to a platform that works, before the rest is applied.
    pub(super) reset: bool,
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

impl Settings {
    /// Makes the changes, which were checked; a reset comes before.
    pub(super) fn apply(&mut self, update: Update) {
        set(&mut self.latency_ms, update.latency_ms);
        set(&mut self.error, update.error.map(|error| error.filter(|error| error.calls > 0)));
        set(&mut self.not_json, update.not_json.map(|fault| fault.filter(|fault| fault.calls > 0)));
        set(&mut self.connection_reset, update.connection_reset.map(|fault| fault.filter(|f| f.calls > 0)));
        set(&mut self.ip_not_allowed, update.ip_not_allowed);
        set(&mut self.secret_reset, update.secret_reset);
        set(&mut self.doubled_pushes, update.doubled_pushes);
        set(&mut self.lost_answers, update.lost_answers);
        set(&mut self.push_delay_ms, update.push_delay_ms);
        set(&mut self.hold_pushes, update.hold_pushes);
        set(&mut self.attempts, update.attempts);
        set(&mut self.mark_fail_after, update.mark_fail_after);
    }
}

impl Update {
    /// Whether all of the changes can be made.
    pub(super) fn check(&self, known_path: impl Fn(&str) -> bool) -> Result<(), Invalid> {
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

/// Tells null from a field that is left out.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}
