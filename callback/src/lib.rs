//! Receives the WeChat platform's calls, claims scenes, and answers the phone.
//!
//! A call goes through [`signature`], [`cipher`], [`xml`] and [`message`], which are pure functions, then makes its
//! move on the backplane, and ends in a [`reply`]. What is not authentic changes nothing; what is gets exactly 200
//! before the platform gives up waiting, whatever the backplane does.

mod answer;
pub mod cipher;
mod config;
mod error;
mod log;
pub mod message;
mod metrics;
mod push;
mod replay;
pub mod reply;
mod request;
pub mod settings;
pub mod signature;
mod unfollow;
pub mod xml;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::proto::MetricFamily;
use shared::admin::Report;
use shared::backplane::{Backplane, MessageHash};
use shared::client::{Client, TrustedProxies};
use shared::traces::{Span, Traces};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::answer::{Outcome, Unanswered};
pub use crate::config::{Config, Mode};
use crate::error::Error;
use crate::log::Lines;
use crate::message::Kind;
use crate::metrics::Metrics;
use crate::push::Push;
use crate::replay::Guard;
use crate::request::Query;
use crate::unfollow::{Unfollow, Unfollows};

/// The platform waits for 5 s (docs/wechat.md, "Delivery"), the contract promises 4.5 s; the rest is for the way.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(4200);
/// The platform's are numbers of 19 digits (docs/wechat.md, "Delivery").
const ECHOSTR_MAX: usize = 1024;

/// The account's server, as the platform knows it. Clones are the same one.
#[derive(Clone)]
pub struct Callback {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    backplane: Backplane,
    /// In plain mode; where the signature covers the message there is no need of one.
    guard: Option<Arc<Guard>>,
    unfollows: Unfollows,
    /// What tells the backplane of calls that came while it was away.
    tasks: TaskTracker,
    draining: AtomicBool,
    proxies: TrustedProxies,
    lines: Lines,
    metrics: Metrics,
    traces: Traces,
}

impl Callback {
    /// Makes one that tells of its logins to `traces`. Nothing runs in the background but what tells the backplane of calls that came while it was away: of
    /// unfollows and, in plain mode, of signatures.
    #[must_use]
    pub fn new(config: Config, backplane: Backplane, traces: Traces) -> Self {
        let (life, tasks) = (config.signature_life(), TaskTracker::new());
        let guard = matches!(config.mode, Mode::Plain).then(|| {
            tracing::warn!(
                "the message mode is plain: whoever sits between the platform and here can forge pushes; not for \
                 production"
            );
            Guard::new(backplane.clone(), life, tasks.clone())
        });
        let unfollows = Unfollows::new(backplane.clone(), life, tasks.clone());
        let (draining, lines, metrics) = Default::default();
        let proxies = config.proxies.trusted();
        let inner =
            Inner { config, backplane, guard, unfollows, tasks, draining, proxies, lines, metrics, traces };
        Self { inner: Arc::new(inner) }
    }

    /// `GET` and `POST /wechat/callback`, for merging with others.
    pub fn router(&self) -> Router {
        Router::new().route("/wechat/callback", get(verify).post(receive)).with_state(self.clone())
    }

    /// From now on it is not ready; calls are answered all the same.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Ends when the backplane was told of all that came while it was away; the caller bounds that time. No call may be
    /// under way.
    pub async fn leave(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Ready unless it drains: it has a true answer for the phone without its backplane too.
    #[must_use]
    pub fn report(&self) -> Report {
        let draining = self.inner.draining.load(Ordering::Relaxed);
        let unreachable = !self.inner.backplane.is_reachable();
        let wrong = [(draining, "draining"), (unreachable, "backplane_unreachable")];
        Report {
            ready: !draining,
            wrong: wrong.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect(),
        }
    }

    /// What operators see of it, but for its backplane.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricFamily> {
        self.inner.metrics.families()
    }

    /// The echostr of an authentic verification. It moves nothing, so it is told without the backplane too.
    async fn verify(&self, uri: &Uri, started: Instant) -> Result<String, Error> {
        let config = &self.inner.config;
        let query = Query::read(uri)?;
        query.authenticate(&config.token, config.max_skew)?;
        let message = uri.query().unwrap_or_default();
        let _ = self.believe(&query, message.as_bytes(), started + ANSWER_TIMEOUT).await?;
        query.echostr.filter(|echostr| echostr.len() <= ECHOSTR_MAX).ok_or(Error::Echostr)
    }

    /// The answer to an authentic push. The order of the checks is from cheap to dear: nothing of a stranger's body is
    /// read, and nothing is decrypted that the platform has not signed. In plain mode a signature counts as seen with
    /// whatever body came with it, were it one that is refused.
    async fn receive(&self, request: Request, started: Instant) -> Result<Response, Error> {
        let Inner { config, backplane, .. } = &*self.inner;
        let deadline = started + ANSWER_TIMEOUT;
        request::check_size(request.body())?;
        let query = Query::read(request.uri())?;
        query.authenticate(&config.token, config.max_skew)?;
        Push::check_mode(config, &query)?;
        let body = request::read(request.into_body()).await?;
        let believed = self.believe(&query, &body, deadline).await?;
        let push = Push::open(config, &query, &body)?;
        let life = config.signature_life();
        let mut span = self.span_of(&push.message.kind, started);
        let outcome = Outcome::of(&push, believed, backplane, &span, life, deadline).await;
        span.put("outcome", outcome.name());
        if outcome.unanswered().is_some() {
            span.fail("backplane_unavailable");
        }
        if let Outcome::NotForgotten(_) = outcome {
            let stamp = self.inner.guard.is_some().then(|| query.stamp(&config.token));
            let (person, message) = (push.message.from.clone(), push.hash);
            self.inner.unfollows.make_up_for(Unfollow { person, message, stamp });
        }
        self.inner.metrics.answered(&outcome, push.message.created, started);
        self.inner.lines.answered(&push, &outcome, started.into_std());
        Ok(match outcome.text(&config.replies) {
            Some(text) => {
                ([(CONTENT_TYPE, "text/xml; charset=utf-8")], push.reply(config, &text)).into_response()
            }
            None => "success".into_response(),
        })
    }

    /// The span of a push that came at `started`, if it is a scan of what could be a scene of ours.
    fn span_of(&self, kind: &Kind, started: Instant) -> Span {
        let (Kind::Scan { followed, .. }, Some(login)) = (kind, kind.login()) else { return Span::none() };
        let mut span = self.inner.traces.request(login, "callback").since(started);
        span.put("event", if *followed { "subscribe" } else { "scan" });
        span
    }

    /// Whether the signature of an authentic call is this message's. `Ok` of an error: it cannot be known now, and then
    /// nothing may be moved.
    async fn believe(
        &self,
        query: &Query,
        message: &[u8],
        deadline: Instant,
    ) -> Result<Result<(), Unanswered>, Error> {
        let Some(guard) = &self.inner.guard else { return Ok(Ok(())) };
        let stamp = query.stamp(&self.inner.config.token);
        match guard.admits(stamp, MessageHash::of(message), deadline).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Err(Error::Replayed),
            Err(why) => Ok(Err(why)),
        }
    }

    fn refuse(&self, error: Error, client: Client) -> Response {
        self.inner.metrics.refused(&error);
        self.inner.lines.refused(&error, client);
        error.into_response()
    }
}

/// The platform asks whether this address is the account's server (docs/wechat.md, "Delivery").
async fn verify(
    State(callback): State<Callback>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let client = callback.inner.proxies.client(peer.ip(), &headers);
    match callback.verify(&uri, Instant::now()).await {
        Ok(echostr) => {
            callback.inner.metrics.verifications.inc();
            callback.inner.lines.verified();
            // The signature doesn't cover the echostr: it must stay text, whatever a browser would make of it.
            ([(X_CONTENT_TYPE_OPTIONS, "nosniff")], echostr).into_response()
        }
        Err(error) => callback.refuse(error, client),
    }
}

/// The platform tells what somebody did.
async fn receive(
    State(callback): State<Callback>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let client = callback.inner.proxies.client(peer.ip(), request.headers());
    match callback.receive(request, Instant::now()).await {
        Ok(answer) => answer,
        Err(error) => callback.refuse(error, client),
    }
}
