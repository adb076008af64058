//! How the platform misbehaves on request: `GET`, `POST` and `DELETE /simulator/faults`.

mod settings;

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

use crate::lock;
use settings::{CallFault, Invalid};

pub(crate) use settings::{Settings, Update};

/// Longest that anything is held up; a call or push that nobody releases must not stay for ever.
const HOLD_MAX: Duration = Duration::from_secs(600);
/// Silence of the platform after it marked the account's server as failed (docs/wechat.md, "Delivery").
const MARK_FAIL: u64 = 60;

/// What a call must do instead of its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallFate {
    Works,
    Fails(i64),
    NotJson,
    Reset,
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
        state.settings.apply(update);
        self.held.send_replace(state.settings.hold_pushes);
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
