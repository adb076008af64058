//! What the log is told about calls. Whoever has seen one signature can cause many lines, so each kind of line is bounded
//! by itself: a flood of one hides no other.

use std::mem::{Discriminant, discriminant};
use std::time::Instant;

use shared::client::Client;
use shared::telemetry::causes;
use shared::throttle::{Throttle, Throttles};

use crate::answer::Outcome;
use crate::error::Error;
use crate::push::Push;

/// Lines about calls.
#[derive(Default)]
pub(crate) struct Lines {
    /// By the outcome's name.
    answered: Throttles<&'static str>,
    unanswered: Throttles<&'static str>,
    wrong_tickets: Throttle,
    verified: Throttle,
    refused: Throttles<Discriminant<Error>>,
}

impl Lines {
    /// A push was answered, whatever came of it.
    pub(crate) fn answered(&self, push: &Push<'_>, outcome: &Outcome, started: Instant) {
        let (event, login, outcome_name) =
            (push.message.kind.name(), push.message.kind.login(), outcome.name());
        let (login, now) = (login.map(tracing::field::display), Instant::now());
        // A scene is claimed once; everything else can be repeated by whoever holds an old push.
        let admitted = match outcome {
            Outcome::Claimed(_) => Some(0),
            _ => self.answered.admit(outcome_name, now),
        };
        if let Some(suppressed) = admitted {
            let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                push.event = event,
                push.outcome = outcome_name,
                login,
                elapsed_ms,
                suppressed,
                "answered a push"
            );
        }
        if let Some(why) = outcome.unanswered() {
            if let Some(suppressed) = self.unanswered.admit(outcome_name, now) {
                tracing::warn!(
                    error = %why,
                    cause = causes(why),
                    push.outcome = outcome_name,
                    login,
                    suppressed,
                    "answered without the backplane"
                );
            }
        } else if matches!(outcome, Outcome::WrongTicket)
            && let Some(suppressed) = self.wrong_tickets.admit(now)
        {
            tracing::warn!(login, suppressed, "refused a scan whose ticket is not its scene's");
        }
    }

    /// The platform's verification of the address was answered.
    pub(crate) fn verified(&self) {
        if let Some(suppressed) = self.verified.admit(Instant::now()) {
            tracing::info!(suppressed, "answered a verification of the address");
        }
    }

    /// A call was refused.
    pub(crate) fn refused(&self, error: &Error, client: Client) {
        if let Some(suppressed) = self.refused.admit(discriminant(error), Instant::now()) {
            tracing::warn!(%error, cause = causes(error), %client, suppressed, "refused a call");
        }
    }
}
