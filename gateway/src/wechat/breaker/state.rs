//! The breaker without its clock and its log: what happened goes in, who may call comes out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Error;
use super::super::rest::{Moment, Weight};

/// Busy answers and other hiccups in a row, over all callers, that make every call rest.
pub(super) const HICCUPS_MAX: u32 = 5;

/// How one kind of call fares.
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    /// Hiccups in a row that open the breaker.
    tolerates: u32,
    /// Hiccups since the last answer that was none.
    hiccups: u32,
    /// Rests since the last call that worked.
    rests: u32,
    /// Whether one of them was for a day.
    rested_for_a_day: bool,
    /// The longest that a call takes, and so a probe.
    limit: Duration,
    /// Goes up with every change: what a call of an older era came to says nothing about the present one.
    era: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    Working,
    Resting { cause: Arc<Error>, until: Instant },
    Probing { cause: Arc<Error>, ends: Instant },
}

/// Leave to make a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    era: u64,
    /// Whether this call alone decides if the rest is over.
    pub(super) is_probe: bool,
}

/// No leave: the last failure, and when to ask again.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Arc<Error>,
    pub(super) left: Duration,
}

/// What a failure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Consequence {
    /// Nothing, for the call began before things changed.
    Late,
    /// It was counted.
    Borne,
    /// Nobody calls for this long.
    Rest(Duration),
}

impl State {
    /// A platform that works as far as we know: the first call is always made. `limit` is the longest that one takes.
    pub(super) fn new(tolerates: u32, limit: Duration) -> Self {
        let phase = Phase::Working;
        Self { phase, tolerates, hiccups: 0, rests: 0, rested_for_a_day: false, limit, era: 0 }
    }

    /// Lets a call through, or not. The first one after a rest is the probe, and the only one until it ends.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Pass, Refusal> {
        match &self.phase {
            Phase::Working => Ok(Pass { era: self.era, is_probe: false }),
            Phase::Resting { cause, until } if now < *until => {
                Err(Refusal { cause: cause.clone(), left: until.duration_since(now) })
            }
            Phase::Resting { cause, .. } => {
                let cause = cause.clone();
                self.enter(Phase::Probing { cause, ends: now + self.limit });
                Ok(Pass { era: self.era, is_probe: true })
            }
            // By then it is known whether there is another rest, unless the probe needs a new token.
            Phase::Probing { cause, ends } => {
                Err(Refusal { cause: cause.clone(), left: ends.saturating_duration_since(now) })
            }
        }
    }

    /// The call worked. Whether that is news of the present: what began before a rest does not end it.
    pub(super) fn succeeded(&mut self, pass: Pass) -> bool {
        if pass.era != self.era {
            return false;
        }
        (self.phase, self.hiccups, self.rests, self.rested_for_a_day) = (Phase::Working, 0, 0, false);
        true
    }

    /// The call failed, which weighs so much for others. Of many calls that fail together one begins a rest.
    pub(super) fn failed(
        &mut self,
        pass: Pass,
        (error, weight): (&Arc<Error>, Weight),
        now: Instant,
        at: Moment,
    ) -> Consequence {
        if pass.era != self.era {
            return Consequence::Late;
        }
        self.hiccups = self.hiccups.saturating_add(1);
        if weight == Weight::Hiccup && self.hiccups < self.tolerates && !pass.is_probe {
            return Consequence::Borne;
        }
        let rest = weight.rest(self.rests, self.rested_for_a_day, at);
        self.rested_for_a_day |= weight == Weight::Day;
        self.rests = self.rests.saturating_add(1);
        self.enter(Phase::Resting { cause: error.clone(), until: now + rest });
        Consequence::Rest(rest)
    }

    /// The call got a busy answer, which counts as a hiccup. Whether it may be made again: not by a probe, and not once
    /// others were refused in the same way.
    pub(super) fn may_ask_again(&mut self, pass: Pass) -> bool {
        if pass.era != self.era || pass.is_probe || self.hiccups + 1 >= HICCUPS_MAX {
            return false;
        }
        self.hiccups += 1;
        true
    }

    /// The call was given up, and nobody knows what it would have come to: of a probe the next caller makes another.
    pub(super) fn released(&mut self, pass: Pass, now: Instant) {
        if let Phase::Probing { cause, .. } = &self.phase
            && pass.era == self.era
        {
            let cause = cause.clone();
            self.enter(Phase::Resting { cause, until: now });
        }
    }

    /// The phase in a word. Once a rest is over the next call is the probe, whenever that comes.
    pub(super) fn name(&self, now: Instant) -> &'static str {
        match &self.phase {
            Phase::Working => "working",
            Phase::Resting { until, .. } if now < *until => "resting",
            Phase::Resting { .. } | Phase::Probing { .. } => "probing",
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests;
