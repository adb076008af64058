//! Codes that were refused after a 503, which promises that they are good (docs/http-api.md): the gateway had to give them back,
//! and could not, or did not.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::history::{Digest, Event, History, Redemption, What};

use super::outages::Outages;

/// What could not be answered, and what is used: the answers to a redeem.
const UNAVAILABLE: u16 = 503;
const USED: u16 = 410;
/// So long a 503 waits for the giving back (docs/redis.md, "What cannot be answered is given back").
const GIVING_BACK: Duration = Duration::from_secs(2);

/// Codes that were lost like that.
#[derive(Debug, Default)]
pub struct GivenBack {
    /// Where Redis, or a gateway that had them in its hands, was broken so that it could not.
    pub excused: usize,
    /// Where another request has had no answer, and may have spent the code.
    pub unjudged: usize,
    /// The refusals of the others.
    pub lost: Vec<Event>,
}

/// What happened to one code so far.
#[derive(Default)]
struct Code {
    /// Attempts under way: their gateways, and when they began.
    under_way: BTreeMap<u8, (u16, u64)>,
    /// When the first 503 came.
    since_us: Option<u64>,
    /// Who said 503.
    gateways: Vec<u16>,
    /// A request without an answer may have spent it.
    may_be_spent: bool,
    /// It was redeemed, or is counted already.
    settled: bool,
}

/// Who spent a code that is refused after a 503.
enum Refused {
    ByA503,
    ByWhoKnows,
}

impl GivenBack {
    /// Finds them in a history.
    #[must_use]
    pub fn of(history: &History, outages: &Outages<'_>) -> Self {
        let (mut found, mut codes) = (Self::default(), BTreeMap::<Digest, Code>::new());
        for event in &history.events {
            match &event.what {
                What::Redeeming { code, attempt, gateway } => {
                    codes.entry(*code).or_default().under_way.insert(*attempt, (*gateway, event.at_us));
                }
                What::Redeemed { code, attempt, outcome } => {
                    let code = codes.entry(*code).or_default();
                    match code.answered(*attempt, outcome, event.at_us) {
                        None => {}
                        Some(Refused::ByA503) => found.add(code, event, outages),
                        Some(Refused::ByWhoKnows) => found.unjudged += 1,
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn add(&mut self, code: &Code, event: &Event, outages: &Outages<'_>) {
        let giving_back_us = u64::try_from(GIVING_BACK.as_micros()).unwrap_or_default();
        let since_us = code.since_us.unwrap_or(event.at_us).saturating_sub(giving_back_us);
        let broken = |gateway: &u16| outages.keep_from_giving_back(*gateway, since_us, event.at_us);
        if code.gateways.iter().any(broken) {
            self.excused += 1;
        } else {
            self.lost.push(event.clone());
        }
    }
}

impl Code {
    /// Whether this is its first refusal after a 503.
    fn answered(&mut self, attempt: u8, outcome: &Redemption, at_us: u64) -> Option<Refused> {
        let (gateway, began_us) = self.under_way.remove(&attempt).unwrap_or_default();
        match outcome {
            Redemption::Refused(UNAVAILABLE) => {
                self.since_us.get_or_insert(at_us);
                self.gateways.push(gateway);
                None
            }
            Redemption::Refused(USED) => {
                // One that began before may have met the spending that was given back afterwards.
                let after = self.since_us.is_some_and(|since_us| since_us <= began_us);
                if !after || std::mem::replace(&mut self.settled, true) {
                    return None;
                }
                let by_another = self.may_be_spent || !self.under_way.is_empty();
                Some(if by_another { Refused::ByWhoKnows } else { Refused::ByA503 })
            }
            Redemption::None | Redemption::Refused(500..) => {
                self.may_be_spent = true;
                None
            }
            Redemption::Identity { .. } => {
                self.settled = true;
                None
            }
            Redemption::Refused(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bench::history::Header;

    use super::super::outages::Outage;
    use super::super::schedule::{Fault, Kind, RedisFault, Replica};
    use super::*;

    /// A second between each two answers; the attempts go to gateways 1, 2, and so on.
    fn found(outcomes: &[Redemption], fault: Option<Fault>) -> (usize, usize, usize) {
        let code = Digest::of("code");
        let events = outcomes.iter().zip(1_u8..).flat_map(|(outcome, attempt)| {
            let at_us = 60_000_000 + u64::from(attempt) * 1_000_000;
            let begins = What::Redeeming { code, attempt, gateway: u16::from(attempt) };
            let ends = What::Redeemed { code, attempt, outcome: outcome.clone() };
            [(at_us - 1, begins), (at_us, ends)].map(|(at_us, what)| Event { at_us, login: 1, what })
        });
        let history = History { header: Header::new("2026-11-22T08:30:00Z", 1), events: events.collect() };
        let outage = |fault| Outage { fault, from_us: 57_000_000, until_us: 60_000_000 };
        let all: Vec<Outage> = fault.map(outage).into_iter().collect();
        let found = GivenBack::of(&history, &Outages { kind: Kind::Single, all: &all });
        (found.excused, found.lost.len(), found.unjudged)
    }

    #[test]
    fn a_code_is_good_after_a_503_unless_it_could_not_be_given_back() {
        let refused = [Redemption::Refused(503), Redemption::Refused(503), Redemption::Refused(410)];
        assert_eq!(found(&refused, None), (0, 1, 0));
        assert_eq!(found(&refused, Some(Fault::Kill(Replica::Gateway(3)))), (0, 1, 0));
        assert_eq!(found(&refused, Some(Fault::Redis(RedisFault::Restart))), (1, 0, 0));
        assert_eq!(found(&refused, Some(Fault::Kill(Replica::Gateway(1)))), (1, 0, 0));
    }

    #[test]
    fn what_may_have_been_spent_otherwise_is_not_counted() {
        let identity = Redemption::Identity { openid: "o1".to_owned(), count: 1 };
        let between = |before| found(&[Redemption::Refused(503), before, Redemption::Refused(410)], None);
        assert_eq!(between(identity), (0, 0, 0));
        for before in [Redemption::None, Redemption::Refused(502)] {
            assert_eq!(between(before), (0, 0, 1), "somebody may have been answered");
        }
        assert_eq!(found(&[Redemption::Refused(410)], None), (0, 0, 0));
    }
}
