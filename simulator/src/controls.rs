//! What tests and the phone page ask of the simulator itself. Every answer is JSON; a refusal is
//! `{"error":"…","message":"…"}`, where `error` is `malformed` (400), `unknown_content` (404), `foreign_page` (403), or
//! `no_randomness` (500).
//!
//! | call | in | out |
//! |---|---|---|
//! | `POST /simulator/scan` | [`scan::Scan`] | [`Outcome`] |
//! | `POST /simulator/scenes` | [`scenes::Scans`] | [`scenes::Scenes`] |
//! | `POST /simulator/push` | [`raw::RawPush`] | [`Outcome`] |
//! | `POST /simulator/verify` | nothing | whether the console would accept the callback URL |
//! | `GET`, `POST`, `DELETE /simulator/faults` | [`faults::Update`] | the faults in force |
//! | `POST /simulator/clock` | `{"advance_seconds":300}` | `{"ahead_seconds":300}` |
//! | `GET /simulator/codes` | nothing | the newest live QR codes, at most 20 |
//! | `POST /simulator/code` | `{"content":"…"}` | `{"scene":"…","ticket":"…"}` |
//! | `GET /simulator/log` | nothing | counters and the last 1000 calls and pushes |

mod raw;
mod scan;
mod scenes;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::codes::{Code, Found};
use crate::push::delivery::Delivery;
use crate::push::envelope::{self, Tampered};
use crate::push::message::Message;
use crate::push::verification::{self, Verification};
use crate::{Simulator, api, clock, faults, random};

/// Room for a message that is larger than the account's server accepts.
const BODY_MAX: usize = 256 * 1024;
/// Codes that the phone page offers.
const CODES_SHOWN: usize = 20;
/// Furthest step of the clock: a year.
const ADVANCE_MAX: u64 = 366 * 86_400;

/// What a scan or another act came to:
/// `{"openid":"o…","event":"SCAN","not_pushed":null,"attempts":[{"copy":1,"number":1,"status":200,"verdict":"reply",
/// "reason":null,"elapsed_ms":3}],"shown":"…","fault":false}`.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Who acted; made up if nobody was named.
    openid: String,
    /// The event, or for a message its MsgType; null when the platform had nothing to push.
    event: Option<String>,
    not_pushed: Option<NotPushed>,
    /// Every request with its verdict, what the phone shows, and whether that is the fault line.
    #[serde(flatten)]
    delivery: Delivery,
}

/// Why the platform pushed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NotPushed {
    /// The QR code was over. That the platform pushes nothing then is an assumption.
    Expired,
    /// The person saw the follow page and went away.
    NotFollowed,
    /// The account's server failed too often (`mark_fail_after`).
    MarkFail,
    /// Pushes are held, and nobody released this one for ten minutes.
    Held,
}

/// Why a control did nothing.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Malformed(String),
    #[error("no QR code of this simulator holds this text, or it was over an hour ago")]
    UnknownContent,
    #[error("a page of another site must not use the simulator")]
    ForeignPage,
    #[error(transparent)]
    Randomness(#[from] random::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookUp {
    content: String,
}

pub(crate) fn router() -> Router<Simulator> {
    Router::new()
        .route("/simulator/scan", post(scan::scan))
        .route("/simulator/scenes", post(scenes::scenes))
        .route("/simulator/push", post(raw::push))
        .route("/simulator/verify", post(verify))
        .route("/simulator/faults", get(show_faults).post(update_faults).delete(reset_faults))
        .route("/simulator/clock", post(advance_clock))
        .route("/simulator/codes", get(codes))
        .route("/simulator/code", post(code))
        .route("/simulator/log", get(log))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(refuse_foreign_pages))
}

/// A developer's browser must not act for any page that happens to be open in it.
async fn refuse_foreign_pages(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if request.method() != Method::GET && site == Some(b"cross-site") {
        return Problem::ForeignPage.into_response();
    }
    next.run(request).await
}

async fn verify(State(simulator): State<Simulator>) -> Result<Json<Verification>, Problem> {
    Ok(Json(verification::verify(simulator.account(), &simulator.inner.pusher).await?))
}

async fn show_faults(State(simulator): State<Simulator>) -> Json<faults::Settings> {
    Json(simulator.faults().settings())
}

async fn update_faults(
    State(simulator): State<Simulator>,
    body: Bytes,
) -> Result<Json<faults::Settings>, Problem> {
    let update: faults::Update = read(&body)?;
    let revoke = update.token_revoked;
    simulator
        .faults()
        .update(update, api::is_call)
        .map_err(|invalid| Problem::Malformed(invalid.to_string()))?;
    if revoke {
        simulator.tokens().revoke();
    }
    Ok(show_faults(State(simulator)).await)
}

async fn reset_faults(State(simulator): State<Simulator>) -> Json<faults::Settings> {
    simulator.faults().reset();
    show_faults(State(simulator)).await
}

/// Moves the platform's time on, so that tokens, QR codes and message windows end without waiting.
async fn advance_clock(State(simulator): State<Simulator>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Advance { advance_seconds } = read(&body)?;
    if advance_seconds > ADVANCE_MAX {
        return Err(Problem::Malformed("advance_seconds is at most a year".to_owned()));
    }
    Ok(Json(json!({ "ahead_seconds": simulator.inner.clock.advance(advance_seconds) })))
}

/// What somebody with a phone in front of the screens would see: texts and ages, no scenes.
async fn codes(State(simulator): State<Simulator>) -> Json<Value> {
    let now = simulator.now();
    let codes = simulator.codes();
    let shown = codes
        .newest(now)
        .take(CODES_SHOWN)
        .map(|code| json!({ "content": codes.url(code), "age_seconds": now.saturating_sub(code.created) }));
    Json(json!({ "codes": shown.collect::<Vec<_>>() }))
}

/// What the platform knows about a QR code, live or not: for others that push in its place, such as a second
/// implementation of it.
async fn code(State(simulator): State<Simulator>, body: Bytes) -> Result<Json<Value>, Problem> {
    let LookUp { content } = read(&body)?;
    let code = find(&simulator, &content)?;
    let ticket = simulator.codes().ticket(&code);
    Ok(Json(json!({ "scene": code.scene.key, "ticket": ticket })))
}

async fn log(State(simulator): State<Simulator>) -> Json<Value> {
    let journal = simulator.journal();
    Json(json!({ "counters": journal.counters, "entries": journal.entries().collect::<Vec<_>>() }))
}

impl Simulator {
    /// Lets the platform push a message, as far as the faults let it.
    async fn push(
        &self,
        message: &Message,
        openid: &str,
        event: &str,
        tampered: Option<Tampered>,
    ) -> Result<Outcome, Problem> {
        let outcome = |not_pushed, delivery| Outcome {
            openid: openid.to_owned(),
            event: Some(event.to_owned()),
            not_pushed,
            delivery,
        };
        let (account, faults) = (self.account(), self.faults());
        if faults.silent(self.now()) {
            return Ok(outcome(Some(NotPushed::MarkFail), Delivery::nothing()));
        }
        if !faults.released().await {
            return Ok(outcome(Some(NotPushed::Held), Delivery::nothing()));
        }
        let push = envelope::wrap(account, message, openid, clock::system_time(), tampered)?;
        let delivery = self.inner.pusher.deliver(account, faults, openid, &push).await;
        faults.pushed(delivery.fault, self.now());
        let verdicts: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.verdict.name()).collect();
        tracing::info!(event, fault = delivery.fault, attempts = ?verdicts, "pushed");
        self.journal().push(self.now(), event.to_owned(), verdicts, delivery.fault);
        Ok(outcome(None, delivery))
    }
}

/// Reads a control's body; the refusal says what is wrong with it.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::Malformed(error.to_string()))
}

/// The QR code with this text, live or not.
fn find(simulator: &Simulator, content: &str) -> Result<Code, Problem> {
    match simulator.codes().find(content, 0) {
        Found::Live(code) => Ok(code),
        Found::Expired | Found::Unknown => Err(Problem::UnknownContent),
    }
}

/// The person of a control: named in the right shape, or made up.
fn person(openid: Option<String>) -> Result<String, Problem> {
    match openid {
        None => Ok(random::openid()?),
        Some(openid) if api::is_openid(&openid) => Ok(openid),
        Some(_) => Err(Problem::Malformed(
            "openid begins with o and has at most 64 letters, digits, dashes and underscores".to_owned(),
        )),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::UnknownContent => (StatusCode::NOT_FOUND, "unknown_content"),
            Self::ForeignPage => (StatusCode::FORBIDDEN, "foreign_page"),
            Self::Randomness(_) => (StatusCode::INTERNAL_SERVER_ERROR, "no_randomness"),
        };
        (status, Json(json!({ "error": error, "message": self.to_string() }))).into_response()
    }
}
