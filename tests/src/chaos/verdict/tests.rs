//! Made-up runs: what a failover excuses, and that nothing else does.

use bench::history::{Header, Redemption};

use super::super::outages::Outage;
use super::super::schedule::{Fault, Kind, RedisFault};
use super::*;

const SECOND: u64 = 1_000_000;

fn history(whats: impl IntoIterator<Item = (u64, What)>) -> History {
    let events = whats.into_iter().map(|(at_us, what)| Event { at_us, login: 1, what });
    History { header: Header::new("2026-11-22T08:30:00Z", 60 * SECOND), events: events.collect() }
}

/// The verdict on a run with writes that are waited for, with or without a failover in its first second.
fn verdict(kind: Kind, fails_over: bool, whats: &[(u64, What)]) -> Verdict {
    verdict_with(kind, kind.replicas(), fails_over, whats)
}

fn verdict_with(kind: Kind, replication_wait: u8, fails_over: bool, whats: &[(u64, What)]) -> Verdict {
    let outage =
        Outage { fault: Fault::Redis(RedisFault::FailOverToThePast(1)), from_us: 0, until_us: SECOND };
    let outages = fails_over.then_some(outage).into_iter().collect();
    let record = Record { kind, seed: 1, logins: 1, rate: 1.0, replication_wait, outages };
    Verdict::of(&record, &history(whats.iter().cloned()), PathBuf::new())
}

/// Asserts that a failover excuses this, and that it is a violation without one, or with one server.
fn only_a_failover_excuses(whats: &[(u64, What)], row: impl Fn(&Verdict) -> usize) {
    for kind in [Kind::Sentinel, Kind::Cluster] {
        let excused = verdict(kind, true, whats);
        assert!(excused.is_good() && row(&excused) == 1, "{excused}");
        let without = verdict(kind, false, whats);
        assert!(!without.is_good() && row(&without) == 0, "{without}");
    }
    assert!(!verdict(Kind::Single, true, whats).is_good());
}

fn shown(qr: &str) -> What {
    What::Shown { session: Digest::of("session"), qr: Digest::of(qr) }
}

fn pushed(scan: u64, attempt: u8, openid: &str, qr: &str) -> What {
    let (openid, scene, qr) = (openid.to_owned(), format!("scene of {qr}"), Digest::of(qr));
    What::Pushed { scan, attempt, callback: 0, openid, scene, qr, due_us: None }
}

fn answered(scan: u64, attempt: u8, answer: Answer) -> What {
    What::Answered { scan, attempt, answer }
}

fn delivered() -> What {
    What::Delivered { session: Some(Digest::of("session")), code: Digest::of("code") }
}

fn redeemed(outcome: Redemption) -> [(u64, What); 2] {
    let code = Digest::of("code");
    let begins = What::Redeeming { code, attempt: 1, gateway: 0 };
    [(300, begins), (301, What::Redeemed { code, attempt: 1, outcome })]
}

fn identity(openid: &str) -> Redemption {
    Redemption::Identity { openid: openid.to_owned(), count: 1 }
}

#[test]
fn a_replaced_code_is_good_again_only_after_a_failover() {
    let mut rival = vec![(1, What::Opened), (2, shown("q1")), (3, What::Refreshing), (4, shown("q2"))];
    rival.extend([
        (5, pushed(1, 1, "rival", "q1")),
        (6, answered(1, 1, Answer::Accepted(1))),
        (7, delivered()),
    ]);
    rival.extend(redeemed(identity("rival")));
    only_a_failover_excuses(&rival, |verdict| verdict.set_back);
    // Scanned when the failover is long over.
    for (at_us, what) in &mut rival {
        if !matches!(what, What::Opened | What::Shown { .. } | What::Refreshing) {
            *at_us += 30 * SECOND;
        }
    }
    assert!(!verdict(Kind::Sentinel, true, &rival).is_good());

    let again = [(1, What::Opened), (2, shown("q1")), (3, shown("q2")), (4, shown("q1"))];
    only_a_failover_excuses(&again, |verdict| verdict.set_back);
    // One that was long over when the newer code came.
    let late = [(1, What::Opened), (2, shown("q1")), (30 * SECOND, shown("q2")), (31 * SECOND, shown("q1"))];
    assert!(!verdict(Kind::Sentinel, true, &late).is_good());
}

/// Attempts of one scan with these answers, and then the login as it should be.
fn answers(answers: &[Answer]) -> Vec<(u64, What)> {
    let mut whats = vec![(1, What::Opened), (2, shown("q1"))];
    for (answer, attempt) in answers.iter().zip(1_u8..) {
        let at_us = 10 * u64::from(attempt);
        whats.push((at_us, pushed(1, attempt, "o1", "q1")));
        whats.push((at_us + 1, answered(1, attempt, answer.clone())));
    }
    whats.push((200, delivered()));
    whats.extend(redeemed(identity("o1")));
    whats
}

#[test]
fn what_was_refused_first_was_set_back_and_what_was_accepted_first_was_not() {
    let first = answers(&[Answer::Used, Answer::Accepted(1)]);
    only_a_failover_excuses(&first, |verdict| verdict.set_back);
    for changed in [
        answers(&[Answer::Accepted(1), Answer::Used]),
        answers(&[Answer::Used, Answer::Accepted(1), Answer::Used]),
    ] {
        let changed = verdict(Kind::Sentinel, true, &changed);
        assert!(!changed.is_good(), "{changed}");
    }
}

#[test]
fn a_success_is_taken_back_only_from_a_page_whose_phone_was_never_told() {
    let begin = |answer| {
        let mut whats = vec![(1, What::Opened), (2, shown("q1")), (3, pushed(1, 1, "o1", "q1"))];
        whats.extend([(4, answered(1, 1, answer)), (5, delivered())]);
        whats.extend(redeemed(Redemption::Refused(410)));
        whats
    };
    only_a_failover_excuses(&begin(Answer::Busy), |verdict| verdict.told_too_soon);
    assert!(!verdict(Kind::Sentinel, true, &begin(Answer::Accepted(1))).is_good());
    // The phone is told only when the application has been refused.
    let mut later = begin(Answer::None);
    later.extend([(400, pushed(1, 2, "o1", "q1")), (401, answered(1, 2, Answer::Accepted(1)))]);
    let later = verdict(Kind::Sentinel, true, &later);
    assert!(!later.is_good() && later.told_too_soon == 0, "{later}");
}

#[test]
fn a_login_whose_page_was_told_that_it_is_unknown_is_lost_whatever_fails_over() {
    let mut whats = vec![(1, What::Opened), (2, shown("q1")), (3, pushed(1, 1, "o1", "q1"))];
    whats.extend([(4, answered(1, 1, Answer::Accepted(1))), (5, What::Away)]);
    whats.push((6, What::Opening { gateway: 0, resuming: true, due_us: None }));
    whats.extend([
        (7, What::Opened),
        (8, What::Told { error: "unknown_session".to_owned() }),
        (9, What::Left),
    ]);
    let waited = verdict(Kind::Sentinel, true, &whats);
    assert!(!waited.is_good() && waited.unjudged == 0, "{waited}");
}

#[test]
fn without_waiting_for_replicas_a_failover_takes_back_what_was_answered_near_it_and_nothing_else() {
    let lost_at = |at_us| {
        let mut whats = vec![(at_us, What::Opened), (at_us + 1, shown("q1"))];
        whats.extend([
            (at_us + 2, pushed(1, 1, "o1", "q1")),
            (at_us + 3, answered(1, 1, Answer::Accepted(1))),
        ]);
        whats
    };
    let found = |kind, fails_over, at_us| {
        let verdict = verdict_with(kind, 0, fails_over, &lost_at(at_us));
        (verdict.taken_back.len(), verdict.violations.len())
    };
    for kind in [Kind::Sentinel, Kind::Cluster] {
        assert_eq!(found(kind, true, 0), (1, 0));
        assert_eq!(found(kind, true, 30 * SECOND), (0, 1));
        assert_eq!(found(kind, false, 0), (0, 1));
    }
    assert_eq!(found(Kind::Single, true, 0), (0, 1));
}

#[test]
fn a_run_in_which_too_little_happened_proves_nothing() {
    let mut whole = answers(&[Answer::Accepted(1)]);
    assert!(!verdict(Kind::Single, false, &whole).is_a_test(), "nobody came back");
    let resumes = What::Opening { gateway: 0, resuming: true, due_us: None };
    whole.splice(2..2, [(3, What::Away), (4, resumes), (5, What::Opened)]);
    let tested = verdict(Kind::Single, false, &whole);
    assert!(tested.is_good() && tested.is_a_test(), "{tested}");
    let is_delivered = |(_, what): &(u64, What)| matches!(what, What::Delivered { .. });
    whole.truncate(whole.iter().position(is_delivered).unwrap());
    assert!(!verdict(Kind::Single, false, &whole).is_a_test(), "nobody was logged in");
    // A page that was told "logged in" by a primary that died.
    let mut excused = whole.clone();
    excused.retain(|(_, what)| !matches!(what, What::Answered { .. }));
    excused.push((200, delivered()));
    excused.extend(redeemed(Redemption::Refused(410)));
    let excused = verdict(Kind::Sentinel, true, &excused);
    assert!(excused.is_good() && !excused.is_a_test(), "{excused}");
}

#[test]
fn a_failover_can_change_who_scanned_but_names_nobody_who_did_not() {
    let finding = |openid: &str| Finding {
        violation: Violation::WrongIdentity { code: Digest::of("code"), openid: openid.to_owned() },
        proof: history([(1, pushed(1, 1, "o1", "q1"))]).events,
    };
    assert!(can_be_taken_back(&finding("o1")) && !can_be_taken_back(&finding("o2")));
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let record = verdict(Kind::Cluster, true, &[]);
    assert!(record.command.contains("--redis cluster --seed 1"), "{}", record.command);
    let fault = Fault::Redis(RedisFault::ChangePlaces(7));
    let outages = vec![Outage { fault, from_us: 1, until_us: 2 }];
    let kind = Kind::Cluster;
    let record = Record { kind, seed: 7, logins: 3, rate: 1.5, replication_wait: 1, outages };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}
