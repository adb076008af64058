//! The login that a connection has: what happens to it, and what its trace tells of that.

use shared::backplane::{Change, LoginWatch};
use shared::login::SessionId;
use shared::traces::{Span, Traces};
use tokio::time::{self, Instant};

use crate::metrics::{After, Waiting};

/// A login that this connection has.
pub(super) struct Login {
    pub(super) session: SessionId,
    pub(super) watch: LoginWatch,
    /// When the page's code is over; `None` once it is, or once it does not matter any more.
    pub(super) code_ends: Option<Instant>,
    pub(super) scanned: bool,
    /// Counts it for as long as it waits.
    pub(super) waits: Option<Waiting>,
    /// From here on until the page leaves.
    page: Span,
    /// From when a code is shown until it is of no use any more.
    wait: Span,
}

/// What happens to the login.
pub(super) enum Event {
    Changed(Change),
    CodeOver,
}

impl Login {
    pub(super) fn new(
        session: SessionId,
        watch: LoginWatch,
        waits: Option<Waiting>,
        traces: &Traces,
        began: Instant,
    ) -> Self {
        let page = traces.part(watch.login(), "page").since(began);
        Self { session, watch, code_ends: None, scanned: false, waits, page, wait: Span::none() }
    }

    /// Waits for the next thing that happens. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        match self.code_ends {
            None => Event::Changed(self.watch.changed().await),
            Some(ends) => tokio::select! {
                change = self.watch.changed() => Event::Changed(change),
                () = time::sleep_until(ends) => Event::CodeOver,
            },
        }
    }

    /// Its page shows a code.
    pub(super) fn shown(&mut self, traces: &Traces, after: After) {
        self.waited("refreshed");
        self.wait = traces.part(self.watch.login(), "wait");
        self.wait.put("after", after.name());
    }

    /// The code that its page shows is of no use any more.
    pub(super) fn waited(&mut self, outcome: &'static str) {
        let mut wait = std::mem::take(&mut self.wait);
        wait.put("outcome", outcome);
    }

    /// Its page has gone.
    pub(super) fn left(mut self, ending: &'static str) {
        self.waited("left");
        self.page.put("ending", ending);
    }
}
