//! A history as it is told: one event after the other, a millisecond apart.

use crate::history::{Answer, Digest, Event, Header, History, Redemption, What};

#[derive(Default)]
pub(super) struct Story {
    events: Vec<Event>,
    now_us: u64,
    scans: u64,
}

pub(super) fn digest(name: &str) -> Digest {
    Digest::of(name)
}

impl Story {
    pub(super) fn history(&self) -> History {
        let header = Header::new("2026-11-22T00:00:00Z", self.now_us);
        History { header, events: self.events.clone() }
    }

    pub(super) fn waits(&mut self, seconds: u64) -> &mut Self {
        self.now_us += seconds * 1_000_000;
        self
    }

    pub(super) fn says(&mut self, login: u64, what: What) -> &mut Self {
        self.now_us += 1000;
        self.events.push(Event { at_us: self.now_us, login, what });
        self
    }

    pub(super) fn opens(&mut self, login: u64) -> &mut Self {
        self.says(login, What::Opening { gateway: 0, resuming: false, due_us: None })
            .says(login, What::Opened)
    }

    pub(super) fn shows(&mut self, login: u64, session: &str, qr: &str) -> &mut Self {
        let there = self.events.iter().any(|event| event.login == login && event.what == What::Opened);
        if !there {
            self.opens(login);
        }
        self.says(login, What::Shown { session: digest(session), qr: digest(qr) })
    }

    /// A push that the test numbers itself; the scene is that of the code.
    pub(super) fn pushes(&mut self, scan: u64, login: u64, openid: &str, qr: &str) -> &mut Self {
        self.scans = self.scans.max(scan);
        self.attempts(scan, 1, login, openid, qr)
    }

    pub(super) fn attempts(
        &mut self,
        scan: u64,
        attempt: u8,
        login: u64,
        openid: &str,
        qr: &str,
    ) -> &mut Self {
        let (openid, scene) = (openid.to_owned(), format!("scene of {qr}"));
        let qr = digest(qr);
        self.says(login, What::Pushed { scan, attempt, callback: 0, openid, scene, qr, due_us: None })
    }

    pub(super) fn answers(&mut self, scan: u64, login: u64, answer: Answer) -> &mut Self {
        self.says(login, What::Answered { scan, attempt: 1, answer })
    }

    /// A scan with one attempt.
    pub(super) fn scans(&mut self, login: u64, openid: &str, qr: &str, answer: Answer) -> &mut Self {
        let scan = self.scans + 1;
        self.pushes(scan, login, openid, qr).answers(scan, login, answer)
    }

    pub(super) fn delivers(&mut self, login: u64, session: &str, code: &str) -> &mut Self {
        self.says(login, What::Delivered { session: Some(digest(session)), code: digest(code) })
    }

    pub(super) fn redeems(&mut self, login: u64, code: &str, attempt: u8, outcome: Redemption) -> &mut Self {
        let code = digest(code);
        self.says(login, What::Redeeming { code, attempt, gateway: 0 });
        self.says(login, What::Redeemed { code, attempt, outcome })
    }

    /// A login as it should be, of session `s…`, code `q…` and one-time code `c…`.
    pub(super) fn whole(&mut self, login: u64, openid: &str, count: u64) {
        let [session, qr, code] = ["s", "q", "c"].map(|letter| format!("{letter}{login}"));
        let identity = Redemption::Identity { openid: openid.to_owned(), count };
        self.shows(login, &session, &qr).scans(login, openid, &qr, Answer::Accepted(count));
        self.delivers(login, &session, &code).redeems(login, &code, 1, identity);
    }
}
