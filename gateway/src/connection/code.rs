//! How a connection comes to a login and to its QR codes: a new session, one that it resumes, a newer code.

use std::fmt;
use std::time::Duration;

use shared::backplane::{self, Budget, Exhausted, Resumed};
use shared::login::{Deadlines, QrCode, RecordId, Refresh, Scene, SessionId};
use shared::traces::{Span, Traces};
use tokio::time::{self, Instant};

use super::login::Login;
use super::{Connection, Ending, RETRY_AFTER};
use crate::metrics::After;
use crate::protocol::{ErrorCode, ServerMessage, whole_seconds};
use crate::wechat;

/// For a QR code, its place in the limits and all; from the platform with a new token and a second try if it must be. The
/// record is written within 2 s after it, so a page hears something within the 10 s after which the element gives a silent
/// connection up.
const QR_CODE_TIMEOUT: Duration = Duration::from_secs(8);

impl Connection<'_> {
    /// Opens a new session and shows its first code.
    pub(super) async fn begin(&mut self) -> Result<(), Ending> {
        let session = SessionId::random();
        let asked = Instant::now();
        let Some((code, mut span)) = self.make_code(&session, Traces::login).await? else { return Ok(()) };
        let content = code.content.clone();
        let (deadlines, life) = (self.deadlines(asked), self.gateway.settings().session_ttl);
        let opened = self.gateway.backplane().open(&session, code, deadlines, life);
        match span.call("open_record").over(opened).await {
            Ok(watch) => {
                tracing::info!(login = %watch.login(), replica = self.gateway.replica(), "login opened");
                let metrics = &self.gateway.0.metrics;
                metrics.opened.inc();
                let waits = Some(metrics.waits());
                self.login = Some(Login::new(session, watch, waits, self.gateway.traces(), asked));
                self.moved();
                self.show(&content, asked + self.gateway.settings().scene_ttl, After::Open).await
            }
            Err(error) => {
                span.fail("backplane_unavailable");
                self.backplane_failed(&error).await
            }
        }
    }

    /// Takes a session over from wherever it was.
    pub(super) async fn resume(&mut self, session: Option<SessionId>) -> Result<(), Ending> {
        let Some(session) = session else { return self.unknown_session().await };
        let asked = Instant::now();
        let backplane = self.gateway.backplane();
        let found = match backplane.owner(&session).await {
            // It came back elsewhere: this attempt would take the session from that one.
            Ok(Some(_)) if self.browser.has_left().await => return Err(Ending::Left),
            Ok(Some(before)) => backplane.resume(&session, before).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let (watch, resumed) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return self.unknown_session().await,
            // By a later connection of the same browser, most likely. If it is this one that is still there, it comes back.
            Err(backplane::Error::Overtaken) => {
                tracing::debug!(login = %session.record_id(), "resumed by another connection meanwhile");
                self.gateway.0.metrics.resumed.rise("overtaken");
                return Err(Ending::TryLater);
            }
            Err(error) => {
                // Only what is unknown waits for replicas.
                if let backplane::Error::TooFewReplicas(_) | backplane::Error::Crowded = error {
                    self.gateway.visits().count_unknown(self.client);
                }
                self.backplane_failed(&error).await?;
                // Staying would end in a new session at the next refresh, and a scan made meanwhile would be lost.
                return Err(Ending::TryLater);
            }
        };
        tracing::info!(login = %watch.login(), replica = self.gateway.replica(), "login resumed");
        let metrics = &self.gateway.0.metrics;
        let waits = matches!(resumed, Resumed::Waiting { .. }).then(|| metrics.waits());
        let mut span = self.gateway.traces().request(watch.login(), "resume").since(asked);
        self.login = Some(Login::new(session, watch, waits, self.gateway.traces(), asked));
        self.moved();
        let state = match resumed {
            Resumed::Scanned => "scanned",
            Resumed::Waiting { shown_for, .. } if shown_for.is_zero() => "expired",
            Resumed::Waiting { .. } => "waiting",
        };
        metrics.resumed.rise(state);
        span.put("state", state);
        match resumed {
            Resumed::Scanned => self.succeed(After::Resume).await,
            Resumed::Waiting { shown_for, .. } if shown_for.is_zero() => {
                Ok(self.browser.send(&ServerMessage::Expired).await?)
            }
            Resumed::Waiting { content, shown_for } => {
                self.show(&content, asked + shown_for, After::Resume).await
            }
        }
    }

    /// Shows a new code in the place of the present one, or whatever the session has come to meanwhile.
    pub(super) async fn refresh(&mut self) -> Result<(), Ending> {
        let Some(login) = &self.login else { return self.begin().await };
        if login.scanned {
            return self.succeed(After::Refresh).await;
        }
        let session = login.session.clone();
        let asked = Instant::now();
        let Some((code, mut span)) = self.make_code(&session, refreshing).await? else { return Ok(()) };
        let content = code.content.clone();
        let deadlines = self.deadlines(asked);
        let Some(login) = &self.login else { return Ok(()) };
        let refreshed = self.gateway.backplane().refresh(&login.watch, code, deadlines);
        match span.call("replace_code").over(refreshed).await {
            Ok(Refresh::Replaced) => {
                self.moved();
                self.show(&content, asked + self.gateway.settings().scene_ttl, After::Refresh).await
            }
            Ok(Refresh::AlreadyScanned) => self.succeed(After::Refresh).await,
            Ok(Refresh::NotOwner) => self.replaced().await,
            Ok(Refresh::Gone) => {
                self.gone();
                self.begin().await
            }
            Err(error) => {
                span.fail("backplane_unavailable");
                // The code on the page may be dead now: it must not look alive.
                if let Some(login) = &mut self.login {
                    login.code_ends = None;
                    login.waited("unknown");
                }
                self.browser.send(&ServerMessage::Expired).await?;
                self.backplane_failed(&error).await
            }
        }
    }

    /// Asks the platform for a QR code; `None` if the browser was told that there is none. From when the platform is
    /// asked on there is a span for it, which is returned with the code.
    async fn make_code(
        &mut self,
        session: &SessionId,
        request: fn(&Traces, RecordId) -> Span,
    ) -> Result<Option<(QrCode, Span)>, Ending> {
        let asked = Instant::now();
        if !self.gateway.backplane().is_reachable() {
            self.refuse(ErrorCode::BackplaneUnavailable, Some(RETRY_AFTER)).await?;
            return Ok(None);
        }
        if let Some((code, until)) = self.refused
            && let Some(wait) = until.checked_duration_since(Instant::now())
        {
            self.refuse(code, Some(wait)).await?;
            return Ok(None);
        }
        let budgets = self.gateway.settings().qr_limits.budgets(self.client);
        let taken = match self.gateway.backplane().take(&budgets).await {
            Ok(taken) => taken,
            Err(Exhausted { budget, retry_after }) => {
                self.log_limited(budgets.get(budget).map_or("", Budget::name), retry_after);
                self.refuse_until(ErrorCode::RateLimited, retry_after).await?;
                return Ok(None);
            }
        };
        let scene = Scene::random(session);
        let lifetime = self.gateway.settings().scene_ttl;
        let mut span = request(self.gateway.traces(), scene.login()).since(asked);
        let made = self.gateway.platform().create_qr_code(&scene, lifetime);
        let made = span.call("make_qr_code").over(made);
        let retry_after = match time::timeout_at(asked + QR_CODE_TIMEOUT, made).await {
            Ok(Ok(code)) => return Ok(Some((code, span))),
            Ok(Err(error)) => {
                // Of calls the platform's client tells operators, once and not for each login.
                tracing::debug!(login = %session.record_id(), %error, "no QR code");
                if let wechat::Error::Crowded = error {
                    self.log_too_slow(&error);
                }
                if error.made_nothing() {
                    self.gateway.backplane().give_back(taken).await;
                }
                error.retry_after()
            }
            Err(_) => {
                let (login, limit_s) = (session.record_id(), QR_CODE_TIMEOUT.as_secs());
                tracing::debug!(%login, limit_s, "no QR code in time");
                // None of its calls may have failed, and then the platform's client has nothing to tell.
                self.log_too_slow(format_args!("its calls were not over within {limit_s} s"));
                RETRY_AFTER
            }
        };
        span.fail("platform_unavailable");
        self.refuse_until(ErrorCode::PlatformUnavailable, retry_after).await?;
        Ok(None)
    }

    /// The page's time counts from before the platform was asked, so that it is over before the code is.
    fn deadlines(&self, asked: Instant) -> Deadlines {
        let claimable = self.gateway.settings().scene_ttl;
        Deadlines { shown: claimable.saturating_sub(asked.elapsed()), claimable }
    }

    /// Refuses a QR code, and will do so again until `retry_after` has passed: asking on costs nobody anything.
    async fn refuse_until(&mut self, code: ErrorCode, retry_after: Duration) -> Result<(), Ending> {
        self.refused = Some((code, Instant::now() + retry_after));
        self.refuse(code, Some(retry_after)).await
    }

    fn log_limited(&self, limit: &str, retry_after: Duration) {
        if let Some(suppressed) = self.gateway.0.refusals.admit(std::time::Instant::now()) {
            let (retry_after_s, see) = (whole_seconds(retry_after), "see QR_LIMIT_… and TRUSTED_PROXIES");
            tracing::warn!(limit, client = %self.client, retry_after_s, suppressed, see, "no QR code: too many");
        }
    }

    fn log_too_slow(&self, error: impl fmt::Display) {
        if let Some(suppressed) = self.gateway.0.refusals.admit(std::time::Instant::now()) {
            tracing::warn!(%error, suppressed, "no QR code: the WeChat API is too slow");
        }
    }
}

fn refreshing(traces: &Traces, login: RecordId) -> Span {
    traces.request(login, "refresh")
}
