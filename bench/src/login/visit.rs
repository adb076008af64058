//! One login from the opening of the page to the application's welcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time;

use crate::application::Application;
use crate::browser::{self, Gateways, News, Page, Wish};
use crate::history::{Answer, Probe, What};
use crate::phone::{Phone, Scan};
use crate::random;
use crate::recorder::Recorder;

/// What a person waits before they scan again, and as much again by chance.
const SCAN_AGAIN: Duration = Duration::from_secs(2);
/// How long a page is away that is reloaded, at most.
const RELOAD: Duration = Duration::from_millis(300);

/// Everybody whom a login needs.
pub(super) struct Stage {
    pub(super) gateways: Arc<Gateways>,
    pub(super) phone: Phone,
    pub(super) application: Application,
    pub(super) recorder: Arc<Recorder>,
    pub(super) patience: Duration,
    pub(super) linger: Duration,
}

/// One login.
pub(super) struct Visit {
    pub(super) login: u64,
    /// Who.
    pub(super) openid: String,
    /// When the page was planned to open.
    pub(super) opens: Instant,
    /// Tells the planned moment of the scan, when it has come.
    pub(super) rings: oneshot::Receiver<Instant>,
    /// What makes it difficult.
    pub(super) probe: Option<Probe>,
}

impl Visit {
    pub(super) async fn make(self, stage: Arc<Stage>) {
        let Self { login, openid, opens, rings, probe } = self;
        if let Some(probe) = probe {
            stage.recorder.record(login, What::Probed { probe });
        }
        let page = browser::open(stage.gateways.clone(), stage.recorder.clone(), login, opens);
        let until = Instant::now() + stage.patience;
        let (rings, due, scanned) = (Some(rings), None, None);
        let mut person = Person { stage, page, login, openid, probe, rings, due, scanned, until };
        if let Some(code) = person.log_in().await {
            let Person { stage, .. } = &person;
            match probe {
                Some(Probe::RedeemedTwice) => stage.application.redeem_twice(login, &code).await,
                _ => drop(stage.application.redeem(login, &code).await),
            }
            time::sleep(stage.linger).await;
        }
    }
}

/// A person before a page, with a phone.
struct Person {
    stage: Arc<Stage>,
    page: Page,
    login: u64,
    openid: String,
    probe: Option<Probe>,
    /// Until the first scan: when its moment has come.
    rings: Option<oneshot::Receiver<Instant>>,
    /// The planned moment, until a push has it.
    due: Option<Instant>,
    /// The code whose scan has its final answer.
    scanned: Option<String>,
    /// Patience ends; it begins anew with the first scan, and when the phone says that it worked.
    until: Instant,
}

impl Person {
    /// Scans what the page shows until it succeeds; `None` when the patience is lost.
    async fn log_in(&mut self) -> Option<String> {
        while self.goes_on().await {}
        match &*self.page.news.borrow() {
            News::Success(code) => Some(code.clone()),
            _ => None,
        }
    }

    async fn goes_on(&mut self) -> bool {
        let news = self.page.news.borrow_and_update().clone();
        match news {
            News::Success(_) | News::Over => false,
            News::Code(code) if self.scanned.as_ref() != Some(&code) => self.scan(code).await,
            News::Code(_) | News::Nothing => self.page_moves(self.until).await,
        }
    }

    async fn scan(&mut self, shown: String) -> bool {
        let (first, mut code) = (self.rings.take(), shown);
        if first.is_some() && self.probe == Some(Probe::Refreshed) {
            let Some(newer) = self.refresh(code).await else { return false };
            code = newer;
        }
        let scan = self.stage.phone.scan(self.login, &code, &self.openid).await;
        let rival = match self.probe {
            Some(Probe::Rival) if first.is_some() => self.rival_scans(&code).await,
            _ => None,
        };
        if let Some(rings) = first {
            self.due = rings.await.ok();
            self.until = Instant::now() + self.stage.patience;
            self.pushes_for_another(rival);
            self.goes_away().await;
        }
        match scan {
            Some(scan) => self.push(scan, code).await,
            None => self.waits_before_the_next().await,
        }
    }

    /// Pushes, and meanwhile watches the page: when that moves first, the phone gets its answer all the same.
    async fn push(&mut self, scan: Scan, code: String) -> bool {
        let (stage, due) = (self.stage.clone(), self.due.take());
        let twice = due.is_some() && self.probe == Some(Probe::Repeat);
        let mut pushing = tokio::spawn(async move {
            if twice { stage.phone.push_twice(&scan, due).await } else { stage.phone.push(&scan, due).await }
        });
        let answer = tokio::select! {
            moved = self.page.news.changed() => return moved.is_ok(),
            answer = &mut pushing => answer.unwrap_or(Answer::None),
        };
        match answer {
            Answer::Accepted(_) => self.until = Instant::now() + self.stage.patience,
            Answer::Used => {}
            Answer::Busy | Answer::Other | Answer::Bad(_) | Answer::None => {
                return self.waits_before_the_next().await;
            }
        }
        self.scanned = Some(code);
        true
    }

    /// Waits until the page shows something else; whether it does in time.
    async fn page_moves(&mut self, until: Instant) -> bool {
        matches!(time::timeout_at(until.into(), self.page.news.changed()).await, Ok(Ok(())))
    }

    async fn waits_before_the_next(&mut self) -> bool {
        let pause = SCAN_AGAIN + SCAN_AGAIN.mul_f64(random::fraction());
        self.page_moves(self.until.min(Instant::now() + pause)).await;
        Instant::now() < self.until
    }

    /// The page is away in the moment of the scan.
    async fn goes_away(&self) {
        if self.probe == Some(Probe::Away) {
            // Fails for a page that the server has ended.
            let _ = self.page.wishes.send(Wish::Reload(RELOAD.mul_f64(random::fraction()))).await;
        }
    }

    /// Gets a newer code; then somebody scans the old one.
    async fn refresh(&mut self, old: String) -> Option<String> {
        self.page.wishes.send(Wish::Refresh).await.ok()?;
        let newer = |news: &News| matches!(news, News::Code(code) if *code != old);
        let shown =
            time::timeout_at(self.until.into(), self.page.news.wait_for(newer)).await.ok()?.ok()?.clone();
        self.pushes_for_another(self.rival_scans(&old).await);
        match shown {
            News::Code(code) => Some(code),
            _ => None,
        }
    }

    /// Somebody else points a phone at the code.
    async fn rival_scans(&self, code: &str) -> Option<Scan> {
        let rival = format!("{}-rival{}", self.openid, self.login);
        self.stage.phone.scan(self.login, code, &rival).await
    }

    fn pushes_for_another(&self, scan: Option<Scan>) {
        let stage = self.stage.clone();
        if let Some(scan) = scan {
            tokio::spawn(async move { stage.phone.push(&scan, None).await });
        }
    }
}
