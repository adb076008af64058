//! What pages were told of their sessions: that another connection has one, or that nobody knows it. The checker judges
//! logins, and a page that is told so shows another code, or does not come back.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::history::{Event, History, What};

use super::outages::Outages;

/// How long an attempt to resume that was given up can be on its way: an outage, and the time of a move.
const OVERTAKING: Duration = Duration::from_secs(15);
/// An attempt that got no answer for so long was held on its way, and may have come to a gateway; one that failed before that was
/// refused, and came to none.
const HELD: Duration = Duration::from_secs(5);

/// What pages were told.
#[derive(Debug, Default)]
pub struct Sessions {
    /// That another connection has their session. Each page has one socket at a time, so that is never true; and they don't
    /// come back, so the checker cannot call their logins lost.
    pub sent_away: Vec<Event>,
    /// The same, to pages that had given up an attempt to resume just before, where a failover since then can have set the record
    /// back to what that attempt had read. Without one an attempt that was overtaken takes nothing.
    pub overtaken: usize,
    /// That their session is unknown, on the socket on which they had been shown its code. Their gateway lives and knows the
    /// session, so it has to write it again where a failover has lost it. After the success it is the same, but that a failover
    /// may take back the claim.
    pub forgotten: Vec<Event>,
    /// That the session that they resume is unknown, although no failover has come since the socket ended on which a gateway
    /// held it. One that came before is that gateway's business, which writes the session again.
    pub lost: Vec<Event>,
    /// The same, where a failover can have lost it since then: its gateway had ended, or the page was away. And sessions of which
    /// a failover took back the success.
    pub gone: usize,
}

/// What a page has come to.
#[derive(Default)]
struct Page {
    /// It offers its session, and has no answer yet.
    resuming: bool,
    /// This socket has shown a code.
    waiting: bool,
    /// This socket has told the success.
    succeeded: bool,
    /// When the attempt began, and whether it has its socket.
    opening_us: u64,
    opened: bool,
    /// When it last gave up an attempt to resume that a gateway may have seen.
    given_up_us: Option<u64>,
    /// When it was last shown a code, or its success; and when it lost the socket on which it was.
    answered_us: u64,
    held_until_us: u64,
}

impl Sessions {
    /// Reads them from a history.
    #[must_use]
    pub fn of(history: &History, outages: &Outages<'_>) -> Self {
        let (mut sessions, mut pages) = (Self::default(), BTreeMap::new());
        for event in &history.events {
            let page: &mut Page = pages.entry(event.login).or_default();
            match &event.what {
                What::Told { error } if error == "replaced" => {
                    if page.was_overtaken(event.at_us, outages) {
                        sessions.overtaken += 1;
                    } else {
                        sessions.sent_away.push(event.clone());
                    }
                }
                What::Told { error } if error == "unknown_session" => {
                    sessions.add_unknown(page, event, outages);
                    (page.resuming, page.waiting, page.succeeded) = (false, false, false);
                }
                what => page.sees(event.at_us, what),
            }
        }
        sessions
    }

    fn add_unknown(&mut self, page: &Page, event: &Event, outages: &Outages<'_>) {
        let since_us = if page.resuming { page.held_until_us } else { page.answered_us };
        let excused = outages.failover_within(since_us, event.at_us);
        if page.waiting || (page.succeeded && !excused) {
            self.forgotten.push(event.clone());
        } else if (page.resuming || page.succeeded) && excused {
            self.gone += 1;
        } else if page.resuming {
            self.lost.push(event.clone());
        }
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

impl Page {
    fn sees(&mut self, at_us: u64, what: &What) {
        match what {
            What::Opening { resuming, .. } => {
                (self.resuming, self.waiting, self.succeeded) = (*resuming, false, false);
                (self.opening_us, self.opened) = (at_us, false);
            }
            What::Opened => self.opened = true,
            What::Shown { .. } => {
                (self.resuming, self.waiting, self.answered_us) = (false, true, at_us);
            }
            What::Delivered { .. } => {
                (self.resuming, self.waiting, self.succeeded) = (false, false, true);
                self.answered_us = at_us;
            }
            What::Away | What::Closed { .. } => self.gives_up(at_us, self.opened),
            What::Refused { status } => {
                let held = u128::from(at_us - self.opening_us) >= HELD.as_micros();
                self.gives_up(at_us, status.is_none() && held);
            }
            _ => {}
        }
    }

    /// A gateway may have seen the attempt, and go on with it.
    fn gives_up(&mut self, at_us: u64, seen: bool) {
        if self.resuming && seen {
            self.given_up_us = Some(at_us);
        }
        if self.waiting || self.succeeded {
            self.held_until_us = at_us;
        }
        (self.resuming, self.waiting, self.succeeded, self.opened) = (false, false, false, false);
    }

    fn was_overtaken(&self, at_us: u64, outages: &Outages<'_>) -> bool {
        self.given_up_us.is_some_and(|given_up_us| {
            let late = u128::from(at_us - given_up_us) < OVERTAKING.as_micros();
            late && outages.failover_within(given_up_us, at_us)
        })
    }
}

#[cfg(test)]
mod tests;
