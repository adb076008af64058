//! What a history says about time: every latency is read from it, so that whoever has the file can measure again.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use crate::history::{Answer, History, Redemption, What};
use crate::latency::Latencies;

/// Latencies of the logins that nobody made difficult on purpose.
#[derive(Debug, Default)]
pub struct Measured {
    /// From the planned opening of the page to the code on show.
    pub code: Latencies,
    /// From the planned moment of a scan to the browser.
    pub push_planned: Latencies,
    /// From the moment in which the callback has the push, to the browser.
    pub push: Latencies,
    /// From there to the phone's answer.
    pub answer: Latencies,
    /// From the application's request to its answer.
    pub redeem: Latencies,
    /// How late the driver itself was: from the planned moment of a scan to the push. Codes that were shown too late are not
    /// counted.
    pub late: Latencies,
}

/// How many logins came how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// Pages that were opened for a login.
    pub begun: u64,
    /// Logins that got a code; those among them whose code came after the planned scan.
    pub shown: u64,
    /// See [`Self::shown`].
    pub shown_late: u64,
    /// Logins whose phone was told "logged in".
    pub accepted: u64,
    /// Logins whose phone was only told otherwise.
    pub refused: u64,
    /// Logins whose page learned of the success.
    pub delivered: u64,
    /// Logins whose code was redeemed.
    pub redeemed: u64,
    /// Successes that came again on the same socket.
    pub doubles: u64,
    /// Sockets that the other side ended or refused.
    pub interrupted: u64,
    /// Pages that had their socket in the end.
    pub open: u64,
    /// Logins that were made difficult on purpose.
    pub probed: u64,
}

/// What is known of one login.
#[derive(Default)]
struct Login {
    probed: bool,
    planned_open: Option<u64>,
    shown: Option<u64>,
    planned_push: Option<u64>,
    pushed: Option<u64>,
    delivered: Option<u64>,
    open: bool,
    told_on_this_socket: bool,
    answered: bool,
    accepted: bool,
    redeemed: bool,
}

/// Reads the latencies of some of the logins.
#[must_use]
pub fn measure(history: &History, logins: &Range<u64>) -> (Measured, Outcomes) {
    let (mut measured, mut outcomes) = (Measured::default(), Outcomes::default());
    let mut all: BTreeMap<u64, Login> = BTreeMap::new();
    let (mut pushes, mut redeemings) = (BTreeMap::new(), BTreeMap::new());
    for event in history.events.iter().filter(|event| logins.contains(&event.login)) {
        let (login, at) = (all.entry(event.login).or_default(), event.at_us);
        match &event.what {
            What::Probed { .. } => login.probed = true,
            What::Opening { due_us: Some(due), .. } => login.planned_open = Some(*due),
            What::Opened => (login.open, login.told_on_this_socket) = (true, false),
            What::Refused { .. } => outcomes.interrupted += 1,
            What::Away | What::Left => login.open = false,
            What::Closed { .. } => {
                login.open = false;
                outcomes.interrupted += u64::from(login.delivered.is_none());
            }
            What::Shown { .. } => login.shown = login.shown.or(Some(at)),
            What::Pushed { scan, attempt, due_us, .. } => {
                pushes.insert((*scan, *attempt), at);
                login.planned_push = login.planned_push.or(*due_us);
                login.pushed = login.pushed.or(Some(at));
            }
            What::Answered { scan, attempt, answer } => {
                login.answered = true;
                login.accepted |= matches!(answer, Answer::Accepted(_));
                if let Some(pushed) = pushes.remove(&(*scan, *attempt)).filter(|_| !login.probed) {
                    measured.answer.add_between(pushed, at);
                }
            }
            What::Delivered { .. } => {
                outcomes.doubles += u64::from(std::mem::replace(&mut login.told_on_this_socket, true));
                login.delivered = login.delivered.or(Some(at));
            }
            What::Redeeming { code, attempt, .. } => {
                redeemings.insert((*code, *attempt), at);
            }
            What::Redeemed { code, attempt, outcome } => {
                login.redeemed |= matches!(outcome, Redemption::Identity { .. });
                if let Some(begun) = redeemings.remove(&(*code, *attempt)).filter(|_| !login.probed) {
                    measured.redeem.add_between(begun, at);
                }
            }
            _ => {}
        }
    }
    for login in all.values() {
        outcomes.count(login);
        measured.add(login);
    }
    (measured, outcomes)
}

impl Login {
    fn shown_late(&self) -> bool {
        self.shown.zip(self.planned_push).is_some_and(|(shown, planned)| shown > planned)
    }
}

impl Measured {
    fn add(&mut self, login: &Login) {
        if login.probed {
            return;
        }
        let mut add = |latencies: fn(&mut Self) -> &mut Latencies, from: Option<u64>, to: Option<u64>| {
            if let (Some(from), Some(to)) = (from, to) {
                latencies(self).add_between(from, to);
            }
        };
        add(|measured| &mut measured.code, login.planned_open, login.shown);
        add(|measured| &mut measured.push, login.pushed, login.delivered);
        // Nobody scans a code that is not there yet.
        let planned = login.planned_push.max(login.shown.filter(|_| login.shown_late()));
        add(|measured| &mut measured.push_planned, planned, login.delivered);
        if !login.shown_late() {
            add(|measured| &mut measured.late, login.planned_push, login.pushed);
        }
    }
}

impl Outcomes {
    fn count(&mut self, login: &Login) {
        self.begun += 1;
        self.shown += u64::from(login.shown.is_some());
        self.shown_late += u64::from(login.shown_late());
        self.accepted += u64::from(login.accepted);
        self.refused += u64::from(login.answered && !login.accepted);
        self.delivered += u64::from(login.delivered.is_some());
        self.redeemed += u64::from(login.redeemed);
        self.open += u64::from(login.open);
        self.probed += u64::from(login.probed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Digest, Event, Header, Probe};

    #[test]
    fn latencies_count_from_the_plan_and_from_the_push() {
        let (session, qr, code) = (Some(Digest::of("s")), Digest::of("q"), Digest::of("c"));
        let (openid, scene) = ("o1".to_owned(), "scene".to_owned());
        let pushed = |due_us| {
            let (openid, scene) = (openid.clone(), scene.clone());
            What::Pushed { scan: 1, attempt: 1, callback: 0, openid, scene, qr, due_us }
        };
        let whats = [
            (100, What::Opening { gateway: 0, resuming: false, due_us: Some(50) }),
            (200, What::Opened),
            (350, What::Shown { session: Digest::of("s"), qr }),
            (1_030, pushed(Some(1_000))),
            (1_530, What::Delivered { session, code }),
            (1_600, What::Delivered { session, code }),
            (2_030, What::Answered { scan: 1, attempt: 1, answer: Answer::Accepted(1) }),
        ];
        let mut events: Vec<_> =
            whats.iter().map(|(at_us, what)| Event { at_us: *at_us, login: 7, what: what.clone() }).collect();
        // The same, made difficult: it counts as a login, and its times count for nothing.
        events.push(Event { at_us: 0, login: 8, what: What::Probed { probe: Probe::Rival } });
        events.extend(whats.iter().map(|(at, what)| Event { at_us: at * 9, login: 8, what: what.clone() }));
        // Somebody else's business.
        events.extend(whats.iter().map(|(at, what)| Event { at_us: at * 9, login: 6, what: what.clone() }));
        let history = History { header: Header::new("", 9_999), events };
        let (measured, outcomes) = measure(&history, &(7..9));
        let p50 = |latencies: &Latencies| (latencies.summary().count, latencies.summary().p50.round());
        assert_eq!(p50(&measured.code), (1, 300.0));
        assert_eq!(p50(&measured.push_planned), (1, 530.0));
        assert_eq!(p50(&measured.push), (1, 500.0));
        assert_eq!(p50(&measured.late), (1, 30.0));
        assert_eq!(p50(&measured.answer).0, 1);
        let Outcomes { begun, accepted, delivered, doubles, probed, .. } = outcomes;
        assert_eq!([begun, accepted, delivered, doubles, probed], [2, 2, 2, 2, 1]);
    }
}
