//! Made-up pages: what is excused by a failover is a violation without one.

use bench::history::{Digest, Header};

use super::super::outages::Outage;
use super::super::schedule::{Fault, Kind, RedisFault};
use super::*;

const KINDS: [Kind; 3] = [Kind::Single, Kind::Sentinel, Kind::Cluster];
const SECOND: u64 = 1_000_000;

/// With a failover that begins at the time 0, if there can be one.
fn sessions(kind: Kind, whats: impl IntoIterator<Item = (u64, What)>) -> Sessions {
    let fault = Fault::Redis(RedisFault::FailOver(1));
    judged(kind, &[Outage { fault, from_us: 0, until_us: SECOND }], whats)
}

fn judged(kind: Kind, all: &[Outage], whats: impl IntoIterator<Item = (u64, What)>) -> Sessions {
    let events = whats.into_iter().map(|(at_us, what)| Event { at_us, login: 1, what });
    let history = History { header: Header::new("2026-11-22T08:30:00Z", 1), events: events.collect() };
    Sessions::of(&history, &Outages { kind, all })
}

fn opening(resuming: bool) -> What {
    What::Opening { gateway: 0, resuming, due_us: None }
}

fn shown() -> What {
    What::Shown { session: Digest::of("session"), qr: Digest::of("qr") }
}

fn told(error: &str) -> What {
    What::Told { error: error.to_owned() }
}

fn success() -> What {
    What::Delivered { session: None, code: Digest::of("code") }
}

#[test]
fn a_page_with_one_socket_is_never_sent_away() {
    for kind in KINDS {
        let events = [(1, opening(true)), (2, What::Opened), (3, shown()), (4, told("replaced"))];
        let found = sessions(kind, events);
        assert_eq!((found.sent_away.len(), found.overtaken), (1, 0));
        assert_eq!(found.violations().count(), 1);
    }
}

/// An attempt that was given up as these tell, another one that was answered, and the news that somebody else has the session.
fn overtaken(given_up: impl IntoIterator<Item = (u64, What)>, after: u64) -> Vec<(u64, What)> {
    let at = 11 * SECOND;
    let then = [(at, opening(true)), (at, What::Opened), (at, shown()), (at + after, told("replaced"))];
    given_up.into_iter().chain(then).collect()
}

#[test]
fn after_a_failover_an_attempt_that_was_given_up_just_before_may_have_taken_it() {
    let given_up = || [(1, opening(true)), (2, What::Opened), (3, What::Away)];
    let found = |kind, after| {
        let found = sessions(kind, overtaken(given_up(), after));
        (found.sent_away.len(), found.overtaken)
    };
    for kind in [Kind::Sentinel, Kind::Cluster] {
        assert_eq!(found(kind, 1), (0, 1));
        assert_eq!(found(kind, 60 * SECOND), (1, 0));
        // Without a failover it takes nothing.
        assert_eq!(judged(kind, &[], overtaken(given_up(), 1)).sent_away.len(), 1);
    }
    assert_eq!(found(Kind::Single, 1), (1, 0));
    // One that was answered was not given up.
    let answered =
        [(1, opening(true)), (2, shown()), (3, What::Away), (4, opening(true)), (5, told("replaced"))];
    assert_eq!(sessions(Kind::Sentinel, answered).sent_away.len(), 1);
}

#[test]
fn an_attempt_that_no_gateway_saw_takes_nothing() {
    let refused = |status, at_us| [(1, opening(true)), (at_us, What::Refused { status })];
    let fault = Fault::Redis(RedisFault::FailOver(1));
    let all = [Outage { fault, from_us: 0, until_us: 11 * SECOND }];
    let found = |status, at_us| judged(Kind::Sentinel, &all, overtaken(refused(status, at_us), 1)).overtaken;
    assert_eq!([found(Some(502), 2), found(Some(502), 10 * SECOND), found(None, 2)], [0, 0, 0]);
    // It had no answer, for the network was held: the gateway may have got the request.
    assert_eq!(found(None, 10 * SECOND), 1);
}

#[test]
fn the_gateway_that_shows_a_code_must_not_forget_its_session() {
    for kind in KINDS {
        let events = [(1, opening(false)), (2, What::Opened), (3, shown()), (4, told("unknown_session"))];
        assert_eq!(sessions(kind, events).forgotten.len(), 1);
    }
}

#[test]
fn only_a_failover_takes_back_a_success() {
    let taken_back = || [(1, opening(true)), (2, shown()), (3, success()), (4, told("unknown_session"))];
    for kind in [Kind::Sentinel, Kind::Cluster] {
        assert_eq!(sessions(kind, taken_back()).violations().count(), 0);
        assert_eq!(judged(kind, &[], taken_back()).forgotten.len(), 1);
    }
    assert_eq!(sessions(Kind::Single, taken_back()).forgotten.len(), 1);
}

#[test]
fn only_a_failover_may_lose_a_session_and_only_while_nobody_holds_it() {
    let left_at = |at_us| {
        let then = [(at_us, What::Away), (at_us + 1, opening(true)), (at_us + 2, told("unknown_session"))];
        [(1, shown())].into_iter().chain(then)
    };
    // Its gateway was there for long after the failover, and has not written it again.
    assert_eq!(sessions(Kind::Sentinel, left_at(30 * SECOND)).lost.len(), 1);
    let resumed = || left_at(2);
    let (single, sentinel) = (sessions(Kind::Single, resumed()), sessions(Kind::Sentinel, resumed()));
    assert_eq!((single.lost.len(), single.gone, single.violations().count()), (1, 0, 1));
    assert_eq!((sentinel.lost.len(), sentinel.gone, sentinel.violations().count()), (0, 1, 0));
    assert_eq!(judged(Kind::Sentinel, &[], resumed()).lost.len(), 1);
}
