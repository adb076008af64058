//! Reads a history and says what must not have happened. It knows nothing of how the history came about, so it judges
//! made-up ones as well.
//!
//! A *scan* may have several attempts, of which an answer may be lost, so there are three kinds of scans: *accepted*
//! (the phone was told "logged in"), *refused* (every attempt was), and those that *may* have claimed the scene. What
//! cannot be told from the history is never held against the deployment.

mod claims;
mod codes;
mod counts;
mod deliveries;
mod index;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use self::index::Index;
use crate::history::{Digest, Event, History};

/// What is taken for granted.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a page must have been there after an accepted scan before a missing delivery is a loss.
    pub patience: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { patience: Duration::from_secs(5) }
    }
}

/// What the history came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What must not have happened, in the order of the checks.
    pub findings: Vec<Finding>,
    /// Accepted scans without a delivery whose page was not there long enough to call them lost.
    pub unjudged: usize,
}

/// A violation, and the events that prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub violation: Violation,
    /// In the order of the history.
    pub proof: Vec<Event>,
}

/// What must not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// A scan was accepted, and the page that stayed or came back was never told.
    Lost {
        /// Whose page.
        session: Digest,
    },
    /// A page was told of a success, and nobody can have scanned its code.
    Stray {
        /// Whose page.
        session: Option<Digest>,
    },
    /// A page was told of its success twice on one socket.
    Doubled {
        /// Whose page.
        session: Digest,
    },
    /// Two sessions were shown the same QR code, so that a scan logs in whoever it was not meant for.
    QrShared {
        /// The QR code's text.
        qr: Digest,
    },
    /// Two pages had the same session.
    SessionShared {
        /// Which.
        session: Digest,
    },
    /// Two sessions got the same code.
    CodeShared {
        /// The code.
        code: Digest,
    },
    /// One session got two codes.
    CodeChanged {
        /// Whose page.
        session: Digest,
    },
    /// A code identified somebody twice.
    RedeemedTwice {
        /// The code.
        code: Digest,
    },
    /// A code identified somebody who did not scan for it.
    WrongIdentity {
        /// The code.
        code: Digest,
        /// Who it said.
        openid: String,
    },
    /// A code that cannot have been used was refused.
    GoodCodeRefused {
        /// The code.
        code: Digest,
    },
    /// Two scans of one login were accepted, of two people or of two scenes.
    ClaimedTwice {
        /// Whose login.
        session: Option<Digest>,
    },
    /// A scan was accepted although the page showed a newer code already.
    DeadSceneClaimed {
        /// Whose login.
        session: Digest,
    },
    /// A person's scan was accepted, and the same scene refused to the same person, before or after: the scene was good
    /// from before the page could show it.
    AnswerChanged {
        /// Who.
        openid: String,
    },
    /// A login count is wrong.
    WrongCount {
        /// Whose.
        openid: String,
        /// The count.
        count: u64,
        /// How.
        wrong: WrongCount,
    },
    /// A login moved on after its end: a page was shown a code, or its end, after the success, after the session was over,
    /// or a code that had been replaced.
    StateAfterFinal {
        /// Whose page.
        session: Digest,
    },
}

/// What can be wrong with a login count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongCount {
    /// One login has two counts.
    Changed,
    /// Two logins have the same count.
    Repeated,
    /// It is higher than the number of logins that there can have been.
    TooHigh,
    /// A login that began after another was counted is counted before it.
    OutOfOrder,
}

/// Judges a history.
#[must_use]
pub fn check(history: &History, rules: &Rules) -> Judgement {
    let index = Index::of(history);
    let (mut found, mut unjudged) = (Found::default(), 0);
    deliveries::check(&index, rules, &mut found, &mut unjudged);
    claims::check(&index, &mut found);
    codes::check(&index, &mut found);
    counts::check(&index, &mut found);
    let findings = found.0.into_iter().map(|(violation, mut places)| {
        places.sort_unstable();
        places.dedup();
        Finding { violation, proof: places.into_iter().map(|at| history.events[at].clone()).collect() }
    });
    Judgement { findings: findings.collect(), unjudged }
}

/// Violations with the places of their proofs in the history.
#[derive(Default)]
struct Found(Vec<(Violation, Vec<usize>)>);

impl Found {
    fn add(&mut self, violation: Violation, proof: impl IntoIterator<Item = usize>) {
        self.0.push((violation, proof.into_iter().collect()));
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named =
            |session: &Option<Digest>| session.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
        match self {
            Self::Lost { session } => write!(f, "lost: session {session} was never told of its scan"),
            Self::Stray { session } => {
                write!(f, "stray: session {} got a success, and nobody scanned for it", named(session))
            }
            Self::Doubled { session } => write!(f, "session {session} was told of its success twice"),
            Self::CodeShared { code } => write!(f, "two sessions got the code {code}"),
            Self::CodeChanged { session } => write!(f, "session {session} got two codes"),
            Self::RedeemedTwice { code } => write!(f, "code {code} was redeemed twice"),
            Self::WrongIdentity { code, openid } => {
                write!(f, "code {code} identifies {openid}, who did not scan for it")
            }
            Self::GoodCodeRefused { code } => write!(f, "code {code} was refused without having been used"),
            Self::ClaimedTwice { session } => write!(f, "session {} was claimed twice", named(session)),
            Self::DeadSceneClaimed { session } => {
                write!(f, "session {session}: a scene was claimed after it had been replaced")
            }
            Self::AnswerChanged { openid } => {
                write!(f, "{openid} was both accepted and refused for one scene")
            }
            Self::WrongCount { openid, count, wrong } => {
                let how = match wrong {
                    WrongCount::Changed => "is another than before for the same login",
                    WrongCount::Repeated => "was told for two logins",
                    WrongCount::TooHigh => "is higher than the number of logins",
                    WrongCount::OutOfOrder => "is not above that of an earlier login",
                };
                write!(f, "login count {count} of {openid} {how}")
            }
            Self::QrShared { qr } => write!(f, "two sessions were shown the QR code {qr}"),
            Self::SessionShared { session } => write!(f, "two pages had session {session}"),
            Self::StateAfterFinal { session } => write!(f, "session {session} moved on after its end"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.violation)?;
        for event in &self.proof {
            // Writing an event of ours as JSON cannot fail; if it does, the sentence must do.
            let line = serde_json::to_string(event).unwrap_or_default();
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}
