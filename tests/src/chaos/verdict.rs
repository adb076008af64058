//! What a run came to: how much was done, what broke, and what must not have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use bench::checker::{Finding, Violation};
use bench::history::{Answer, Digest, Event, History, Redemption, What};
use bench::run::Outcome;

use super::Plan;
use super::counts::Counts;
use super::schedule::Kind;
use super::sessions::Sessions;

/// All of it; its `Display` is the table.
#[derive(Debug)]
pub struct Verdict {
    /// The command that makes the run again.
    pub command: String,
    /// The file with the history; beside it are the diary and what the services printed.
    pub history: PathBuf,
    /// By kind.
    pub disruptions: BTreeMap<&'static str, u64>,
    /// What people did and saw.
    pub counts: Counts,
    /// What must not have happened.
    pub violations: Vec<Finding>,
    /// What pages were told of their sessions.
    pub sessions: Sessions,
    /// What failovers took back although it had been answered, as they may where no replica is waited for.
    pub taken_back: Vec<Finding>,
    /// Successes that pages were told of a move that no phone was told of, and that a failover took back.
    pub told_too_soon: usize,
    /// Codes and logins that a failover set back for a moment, of which no phone had been told that they were used.
    pub set_back: usize,
    /// Accepted scans whose page was not there long enough to judge.
    pub unjudged: usize,
}

impl Verdict {
    pub(super) fn of(
        plan: &Plan,
        outcome: &Outcome,
        disruptions: BTreeMap<&'static str, u64>,
        history: PathBuf,
    ) -> Self {
        let (mut violations, mut taken_back) = (Vec::new(), Vec::new());
        let (mut told_too_soon, mut set_back) = (0, 0);
        let accepted = accepted_codes(&outcome.history);
        for finding in outcome.judgement.findings.iter().cloned() {
            match &finding.violation {
                Violation::GoodCodeRefused { code }
                    if plan.kind != Kind::Single && !accepted.contains(code) =>
                {
                    told_too_soon += 1;
                }
                _ if plan.kind != Kind::Single && is_set_back(&finding) => set_back += 1,
                _ if plan.replication_wait < plan.kind.replicas() && can_be_taken_back(&finding) => {
                    taken_back.push(finding);
                }
                _ => violations.push(finding),
            }
        }
        Self {
            command: plan.command(),
            history,
            disruptions,
            counts: Counts::of(&outcome.history, plan.logins),
            violations,
            sessions: Sessions::of(&outcome.history, plan.kind),
            taken_back,
            told_too_soon,
            set_back,
            unjudged: outcome.judgement.unjudged,
        }
    }
}

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.sessions.violations().next().is_none()
    }
}

/// What a failover does to what no replica is waited for, whatever the setting: a code that a refresh had replaced is good
/// again, and a login that its gateway has not written again yet is unknown for a moment.
fn is_set_back(finding: &Finding) -> bool {
    let is_shown = |event: &Event| matches!(event.what, What::Shown { .. });
    let place = |is: fn(&Answer) -> bool| {
        let answers = |event: &Event| matches!(&event.what, What::Answered { answer, .. } if is(answer));
        finding.proof.iter().position(answers)
    };
    match finding.violation {
        Violation::StateAfterFinal { .. } => finding.proof.iter().all(is_shown),
        Violation::DeadSceneClaimed { .. } => true,
        Violation::AnswerChanged { .. } => {
            let refused = place(|answer| *answer == Answer::Used);
            let accepted = place(|answer| matches!(answer, Answer::Accepted(_)));
            refused < accepted
        }
        _ => false,
    }
}

/// The codes of sessions of which a phone was told "logged in" before their code was first refused.
fn accepted_codes(history: &History) -> BTreeSet<Digest> {
    let (mut session_of_qr, mut scans) = (BTreeMap::new(), BTreeMap::new());
    let (mut accepted, mut codes) = (BTreeSet::new(), BTreeMap::new());
    let mut good = BTreeSet::new();
    for event in &history.events {
        match &event.what {
            What::Shown { session, qr } => drop(session_of_qr.insert(*qr, *session)),
            What::Pushed { scan, qr, .. } => drop(scans.insert(*scan, *qr)),
            What::Answered { scan, answer: Answer::Accepted(_), .. } => {
                accepted.extend(scans.get(scan).and_then(|qr| session_of_qr.get(qr)).copied());
            }
            What::Delivered { session: Some(session), code } => drop(codes.insert(*code, *session)),
            What::Redeemed { code, outcome: Redemption::Refused(_), .. } => {
                let session = codes.get(code);
                good.extend(session.filter(|session| accepted.contains(*session)).map(|_| *code));
            }
            _ => {}
        }
    }
    good
}

/// Whether losing a claim, a count, a redeem or a new code can look like this.
fn can_be_taken_back(Finding { violation, proof }: &Finding) -> bool {
    match violation {
        Violation::Lost { .. }
        | Violation::GoodCodeRefused { .. }
        | Violation::RedeemedTwice { .. }
        | Violation::ClaimedTwice { .. }
        | Violation::DeadSceneClaimed { .. }
        | Violation::AnswerChanged { .. }
        | Violation::WrongCount { .. } => true,
        // Two people scanned, the one who was told so is not the one whose claim stayed.
        Violation::WrongIdentity { openid: named, .. } => {
            proof.iter().any(|event| matches!(&event.what, What::Pushed { openid, .. } if openid == named))
        }
        _ => false,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.command)?;
        writeln!(f, "history: {}", self.history.display())?;
        for (name, count) in &self.disruptions {
            writeln!(f, "{count:>7}  {name}")?;
        }
        let counts = &self.counts;
        let rows = [
            ("logins", counts.logins),
            ("of these made difficult", counts.probed),
            ("pushes", counts.pushes),
            ("of these repeats", counts.repeated_pushes),
            ("phones told \"logged in\"", counts.accepted),
            ("browsers told", counts.delivered),
            ("codes redeemed", counts.redeemed),
            ("sockets lost", counts.lost_sockets),
            ("sessions resumed", counts.resumed),
            ("accepted, and the page never back: not judged", self.unjudged),
            ("told to a page alone, and taken back by a failover", self.told_too_soon),
            ("set back by a failover, and made up for", self.set_back),
            ("sent away by an attempt of their own that they had given up", self.sessions.overtaken),
            ("unknown after a failover, while nobody held them", self.sessions.gone),
            ("answered, and taken back by a failover", self.taken_back.len()),
            ("violations", self.violations.len() + self.sessions.violations().count()),
        ];
        for (name, count) in rows {
            writeln!(f, "{count:>7}  {name}")?;
        }
        for (what, findings) in [("violation", &self.violations), ("taken back", &self.taken_back)] {
            for (name, count) in by_kind(findings) {
                writeln!(f, "{count:>7}  {what}: {name}")?;
            }
        }
        for (what, Event { at_us, login, .. }) in self.sessions.violations() {
            writeln!(f, "login {login} was told at {at_us} µs that {what}")?;
        }
        for finding in self.violations.iter().chain(&self.taken_back) {
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

/// How many findings there are of each kind, by the names that a report has.
fn by_kind(findings: &[Finding]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for Finding { violation, .. } in findings {
        let name = match serde_json::to_value(violation) {
            Ok(serde_json::Value::Object(named)) => named.keys().next().cloned().unwrap_or_default(),
            _ => "unnamed".to_owned(),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use bench::history::Header;

    use super::*;

    fn history(whats: impl IntoIterator<Item = (u64, What)>) -> History {
        let events = whats.into_iter().map(|(at_us, what)| Event { at_us, login: 1, what });
        History { header: Header::new("2026-11-22T08:30:00Z", 1), events: events.collect() }
    }

    fn shown() -> What {
        What::Shown { session: Digest::of("session"), qr: Digest::of("qr") }
    }

    #[test]
    fn what_was_refused_first_was_set_back_and_what_was_accepted_first_was_not() {
        let answered = |answer: Answer| What::Answered { scan: 1, attempt: 1, answer };
        let finding = |answers: [Answer; 2]| Finding {
            violation: Violation::AnswerChanged { openid: "o1".to_owned() },
            proof: history((1..).zip(answers.map(answered))).events,
        };
        assert!(is_set_back(&finding([Answer::Used, Answer::Accepted(1)])));
        assert!(!is_set_back(&finding([Answer::Accepted(1), Answer::Used])));
    }

    #[test]
    fn a_failover_can_change_who_scanned_but_names_nobody_who_did_not() {
        let pushed = What::Pushed {
            scan: 1,
            attempt: 1,
            callback: 0,
            openid: "o1".to_owned(),
            scene: "scene".to_owned(),
            qr: Digest::of("qr"),
            due_us: None,
        };
        let finding = |openid: &str| Finding {
            violation: Violation::WrongIdentity { code: Digest::of("code"), openid: openid.to_owned() },
            proof: history([(1, pushed.clone())]).events,
        };
        assert!(can_be_taken_back(&finding("o1")) && !can_be_taken_back(&finding("o2")));
    }

    #[test]
    fn an_older_code_can_be_set_back_but_no_code_comes_after_a_success() {
        let success = What::Delivered { session: None, code: Digest::of("code") };
        let finding = |first: What| Finding {
            violation: Violation::StateAfterFinal { session: Digest::of("session") },
            proof: history([(1, first), (2, shown())]).events,
        };
        assert!(is_set_back(&finding(shown())) && !is_set_back(&finding(success)));
    }
}
