//! What a run came to: how much was done, what broke, and what must not have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use bench::checker::{Finding, Violation, check};
use bench::history::{Answer, Digest, Event, History, What};

use super::RULES;
use super::counts::Counts;
use super::given_back::GivenBack;
use super::outages::Outages;
use super::record::Record;
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
    /// Codes that were refused after a 503.
    pub given_back: GivenBack,
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
    /// Judges a run that is over.
    #[must_use]
    pub fn of(record: &Record, history: &History, path: PathBuf) -> Self {
        let judgement = check(history, &RULES);
        let outages = Outages { kind: record.kind, all: &record.outages };
        let (mut violations, mut taken_back) = (Vec::new(), Vec::new());
        let (mut told_too_soon, mut set_back) = (0, 0);
        let told = Told::of(history);
        for finding in judgement.findings {
            if told.too_soon(&finding, &outages) {
                told_too_soon += 1;
            } else if is_set_back(&finding, &outages) {
                set_back += 1;
            } else if record.replication_wait < record.kind.replicas()
                && can_be_taken_back(&finding)
                && finding.proof.iter().any(|event| outages.failover_at(event.at_us))
            {
                taken_back.push(finding);
            } else {
                violations.push(finding);
            }
        }
        Self {
            command: record.command(),
            history: path,
            disruptions: record.disruptions(),
            counts: Counts::of(history, record.logins),
            violations,
            sessions: Sessions::of(history, &outages),
            given_back: GivenBack::of(history, &outages),
            taken_back,
            told_too_soon,
            set_back,
            unjudged: judgement.unjudged,
        }
    }
}

impl Verdict {
    /// Whether nothing happened that must not.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.told().next().is_none()
    }

    /// Whether the run put the promise to the test: half of the logins came to their end, which a busy machine gets through at
    /// least, a tenth of them by way of a resumed session, and what was excused or not judged, which could hide what is lost,
    /// is no more than one login in ten.
    #[must_use]
    pub fn is_a_test(&self) -> bool {
        let Counts { logins, delivered, resumed, .. } = self.counts;
        let Sessions { overtaken, gone, .. } = self.sessions;
        let given_back = self.given_back.excused + self.given_back.unjudged;
        let excused = self.unjudged + self.told_too_soon + self.set_back + overtaken + gone + given_back;
        delivered * 2 >= logins && resumed * 10 >= logins && excused * 10 <= logins
    }

    /// What must not have happened, beside what the checker finds.
    fn told(&self) -> impl Iterator<Item = (&'static str, &Event)> {
        let refused = self.given_back.lost.iter();
        let refused =
            refused.map(|event| ("a code is used that a 503 had called good, and nothing was broken", event));
        self.sessions.violations().chain(refused)
    }
}

/// What a failover does to what no replica is waited for, whatever the setting: a code that a refresh had replaced is good
/// again, and a login that its gateway has not written again yet is unknown for a moment. What was lost was written, and what
/// was unknown was asked for, while a failover went on.
fn is_set_back(Finding { violation, proof }: &Finding, outages: &Outages<'_>) -> bool {
    let is_shown = |event: &&Event| matches!(event.what, What::Shown { .. });
    let lost = match violation {
        // The newer code, which was shown first.
        Violation::StateAfterFinal { .. } if proof.iter().all(|event| is_shown(&event)) => proof.first(),
        Violation::DeadSceneClaimed { .. } => {
            let claimed = proof.iter().rfind(|event| is_answered(event, |_| true));
            proof
                .iter()
                .find(is_shown)
                .filter(|_| claimed.is_some_and(|event| outages.failover_at(event.at_us)))
        }
        Violation::AnswerChanged { .. } => {
            let refused = |event: &&Event| is_answered(event, |answer| *answer == Answer::Used);
            let accepted = |event: &Event| is_answered(event, |answer| matches!(answer, Answer::Accepted(_)));
            let (last, first) =
                (proof.iter().rposition(|event| refused(&event)), proof.iter().position(accepted));
            // Nobody who was told "logged in" is told afterwards that the code is used.
            if last > first {
                return false;
            }
            return proof.iter().filter(refused).all(|event| outages.failover_at(event.at_us));
        }
        _ => None,
    };
    lost.is_some_and(|event| outages.failover_at(event.at_us))
}

fn is_answered(event: &Event, is: fn(&Answer) -> bool) -> bool {
    matches!(&event.what, What::Answered { answer, .. } if is(answer))
}

/// Who was told of each code: pages, when at first, and phones, at all.
#[derive(Default)]
struct Told {
    delivered: BTreeMap<Digest, u64>,
    accepted: BTreeSet<Digest>,
}

impl Told {
    fn of(history: &History) -> Self {
        let (mut told, mut session_of_qr, mut scans) = (Self::default(), BTreeMap::new(), BTreeMap::new());
        let (mut accepted, mut sessions) = (BTreeSet::new(), BTreeMap::new());
        for event in &history.events {
            match &event.what {
                What::Shown { session, qr } => drop(session_of_qr.insert(*qr, *session)),
                What::Pushed { scan, qr, .. } => drop(scans.insert(*scan, *qr)),
                What::Answered { scan, answer: Answer::Accepted(_), .. } => {
                    accepted.extend(scans.get(scan).and_then(|qr| session_of_qr.get(qr)).copied());
                }
                What::Delivered { session: Some(session), code } => {
                    told.delivered.entry(*code).or_insert(event.at_us);
                    sessions.insert(*code, *session);
                }
                _ => {}
            }
        }
        // Whenever the phone was told: before the refusal, or only then.
        let accepted = sessions.iter().filter(|(_, session)| accepted.contains(*session));
        told.accepted = accepted.map(|(code, _)| *code).collect();
        told
    }

    /// Whether a page alone was told of a claim that a failover then took back.
    fn too_soon(&self, finding: &Finding, outages: &Outages<'_>) -> bool {
        let Violation::GoodCodeRefused { code } = &finding.violation else { return false };
        let delivered = self.delivered.get(code);
        !self.accepted.contains(code) && delivered.is_some_and(|at_us| outages.failover_at(*at_us))
    }
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
            ("accepted, and the page not there for long enough: not judged", self.unjudged),
            ("told to a page alone, and taken back by a failover", self.told_too_soon),
            ("set back by a failover, and made up for", self.set_back),
            ("sent away by an attempt of their own that they had given up", self.sessions.overtaken),
            ("unknown after a failover, while nobody held them", self.sessions.gone),
            ("refused (410) after a 503, while something was broken", self.given_back.excused),
            ("refused (410) after a 503, and after no answer: not judged", self.given_back.unjudged),
            ("answered, and taken back by a failover", self.taken_back.len()),
            ("violations", self.violations.len() + self.told().count()),
        ];
        for (name, count) in rows {
            writeln!(f, "{count:>7}  {name}")?;
        }
        if !self.is_a_test() {
            writeln!(f, "too little came to its end, or can be judged: this run proves nothing")?;
        }
        for (what, findings) in [("violation", &self.violations), ("taken back", &self.taken_back)] {
            for (name, count) in by_kind(findings) {
                writeln!(f, "{count:>7}  {what}: {name}")?;
            }
        }
        for (what, Event { at_us, login, .. }) in self.told() {
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
mod tests;
