//! What pages were told of their sessions: that another connection has one, or that nobody knows it. The checker judges
//! logins, and a page that is told so shows another code, or does not come back.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::history::{Event, History, What};

use super::schedule::Kind;

/// How long an attempt to resume that was given up can be on its way: an outage, and the time of a move.
const OVERTAKING: Duration = Duration::from_secs(15);

/// What pages were told.
#[derive(Debug, Default)]
pub struct Sessions {
    /// That another connection has their session. Each page has one socket at a time, so that is never true; and they don't
    /// come back, so the checker cannot call their logins lost.
    pub sent_away: Vec<Event>,
    /// The same, to pages that had given up an attempt to resume just before, where a failover can have set the record back to
    /// what that attempt had read. Without one an attempt that was overtaken takes nothing.
    pub overtaken: usize,
    /// That their session is unknown, on the socket on which they had been shown its code. Their gateway lives and knows the
    /// session, so it has to write it again where a failover has lost it.
    pub forgotten: Vec<Event>,
    /// That the session that they resume is unknown, although Redis had answered and loses nothing.
    pub lost: Vec<Event>,
    /// The same, where a failover can have lost it while nobody held it: its gateway had ended, or the page was away.
    pub gone: usize,
}

/// What a page has come to.
#[derive(Default)]
struct Page {
    /// It offers its session, and has no answer yet.
    resuming: bool,
    /// This socket has shown a code.
    waiting: bool,
    given_up_us: Option<u64>,
}

impl Sessions {
    /// Reads them from a history.
    #[must_use]
    pub fn of(history: &History, kind: Kind) -> Self {
        let (mut sessions, mut pages) = (Self::default(), BTreeMap::new());
        for event in &history.events {
            let page: &mut Page = pages.entry(event.login).or_default();
            match &event.what {
                What::Opening { resuming, .. } => (page.resuming, page.waiting) = (*resuming, false),
                What::Shown { .. } => (page.resuming, page.waiting) = (false, true),
                What::Delivered { .. } => (page.resuming, page.waiting) = (false, false),
                What::Away | What::Closed { .. } | What::Refused { .. } => {
                    if page.resuming {
                        page.given_up_us = Some(event.at_us);
                    }
                    (page.resuming, page.waiting) = (false, false);
                }
                What::Told { error } if error == "replaced" => {
                    let late = |at_us| u128::from(event.at_us - at_us) < OVERTAKING.as_micros();
                    match page.given_up_us {
                        Some(at_us) if kind != Kind::Single && late(at_us) => sessions.overtaken += 1,
                        _ => sessions.sent_away.push(event.clone()),
                    }
                }
                What::Told { error } if error == "unknown_session" => {
                    match (page.waiting, page.resuming) {
                        (true, _) => sessions.forgotten.push(event.clone()),
                        (_, true) if kind == Kind::Single => sessions.lost.push(event.clone()),
                        (_, true) => sessions.gone += 1,
                        // It had its success on this socket: a claim that a failover took back.
                        _ => {}
                    }
                    (page.resuming, page.waiting) = (false, false);
                }
                _ => {}
            }
        }
        sessions
    }

    /// What must not have happened, and where.
    pub fn violations(&self) -> impl Iterator<Item = (&'static str, &Event)> {
        let all = [
            ("another connection has its session", &self.sent_away),
            ("its session is unknown, to the gateway that had shown its code", &self.forgotten),
            ("the session that it resumed is unknown", &self.lost),
        ];
        all.into_iter().flat_map(|(what, events)| events.iter().map(move |event| (what, event)))
    }
}

#[cfg(test)]
mod tests {
    use bench::history::{Digest, Header};

    use super::*;

    fn sessions(kind: Kind, whats: impl IntoIterator<Item = (u64, What)>) -> Sessions {
        let events = whats.into_iter().map(|(at_us, what)| Event { at_us, login: 1, what });
        let history = History { header: Header::new("2026-11-22T08:30:00Z", 1), events: events.collect() };
        Sessions::of(&history, kind)
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

    #[test]
    fn a_page_with_one_socket_is_never_sent_away() {
        let events = [(1, opening(true)), (2, What::Opened), (3, shown()), (4, told("replaced"))];
        let found = sessions(Kind::Single, events);
        assert_eq!((found.sent_away.len(), found.overtaken), (1, 0));
        assert_eq!(found.violations().count(), 1);
    }

    #[test]
    fn after_a_failover_an_attempt_that_was_given_up_just_before_may_have_taken_it() {
        let found = |kind, after: u64| {
            let given_up = [(1, opening(true)), (2, What::Opened), (3, What::Away)];
            let then = [(4, opening(true)), (5, What::Opened), (6, shown()), (6 + after, told("replaced"))];
            let found = sessions(kind, given_up.into_iter().chain(then));
            (found.sent_away.len(), found.overtaken)
        };
        for kind in [Kind::Sentinel, Kind::Cluster] {
            assert_eq!(found(kind, 1), (0, 1));
            assert_eq!(found(kind, 60_000_000), (1, 0));
        }
        assert_eq!(found(Kind::Single, 1), (1, 0));
        // One that was answered was not given up.
        let answered =
            [(1, opening(true)), (2, shown()), (3, What::Away), (4, opening(true)), (5, told("replaced"))];
        assert_eq!(sessions(Kind::Sentinel, answered).sent_away.len(), 1);
    }

    #[test]
    fn the_gateway_that_shows_a_code_must_not_forget_its_session() {
        for kind in [Kind::Single, Kind::Sentinel, Kind::Cluster] {
            let events = [(1, opening(false)), (2, What::Opened), (3, shown()), (4, told("unknown_session"))];
            assert_eq!(sessions(kind, events).forgotten.len(), 1);
            let success = What::Delivered { session: None, code: Digest::of("code") };
            let taken_back = [(1, opening(true)), (2, shown()), (3, success), (4, told("unknown_session"))];
            assert_eq!(sessions(kind, taken_back).violations().count(), 0);
        }
    }

    #[test]
    fn only_a_failover_may_lose_a_session_and_only_with_its_gateway() {
        let resumed = || [(1, shown()), (2, opening(true)), (3, told("unknown_session"))];
        let (single, sentinel) = (sessions(Kind::Single, resumed()), sessions(Kind::Sentinel, resumed()));
        assert_eq!((single.lost.len(), single.gone, single.violations().count()), (1, 0, 1));
        assert_eq!((sentinel.lost.len(), sentinel.gone, sentinel.violations().count()), (0, 1, 0));
    }
}
