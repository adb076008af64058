//! `POST /api/redeem`: the application's server turns the one-time code into who logged in.

mod spending;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::backplane;
use shared::login::{Code, Scan};
use shared::settings::Secret;
use shared::traces::Span;
use subtle::ConstantTimeEq;
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::{self, Instant};

use self::spending::spend;
use crate::Gateway;
use crate::wechat::Person;

/// The largest request; a code has 65 characters.
pub(crate) const REQUEST_MAX: usize = 4096;
/// For the request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// What passes at most between counting a login and spending its code: the number must be remembered that much longer.
const COUNTED_BEFORE: Duration = Duration::from_secs(15);
/// For looking the person up: nice to have, so not worth an application's time-out.
const PERSON_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds after which an application may try again while the backplane is away.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("3");

/// Who logged in.
#[derive(Serialize)]
struct Identity {
    openid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
    nickname: String,
    login_count: u64,
    /// RFC 3339, UTC.
    scanned_at: String,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("redeeming is off: set REDEEM_SECRET at the gateway")]
    Off,
    #[error("the bearer token is missing or wrong")]
    Unauthorized,
    #[error("expected a JSON object with the text field \"code\"")]
    Malformed,
    #[error("the request is too large")]
    TooLarge,
    #[error("the request did not arrive in time")]
    Slow,
    #[error("the code is unknown, not yet scanned, or used")]
    NoSuchCode,
    #[error(transparent)]
    Backplane(#[from] backplane::Error),
    #[error("the code may be spent")]
    Lost(#[source] RecvError),
}

/// What a request may come to, as it is counted.
pub(crate) const OUTCOMES: &[&str] = &[
    "redeemed",
    "off",
    "unauthorized",
    "malformed",
    "too_large",
    "slow",
    "no_such_code",
    "backplane_unavailable",
    "lost",
];

impl Error {
    /// One of [`OUTCOMES`].
    fn name(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unauthorized => "unauthorized",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::NoSuchCode => "no_such_code",
            Self::Backplane(_) => "backplane_unavailable",
            Self::Lost(_) => "lost",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let (status, header) = match &self {
            Self::Off => (StatusCode::NOT_FOUND, None),
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))))
            }
            Self::Malformed => (StatusCode::BAD_REQUEST, None),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, None),
            Self::Lost(error) => {
                tracing::error!(%error, "a redeeming broke, which is a defect");
                (StatusCode::INTERNAL_SERVER_ERROR, None)
            }
            Self::NoSuchCode => (StatusCode::GONE, None),
            Self::Backplane(error) => {
                tracing::warn!(%error, cause = shared::telemetry::causes(error), "code not redeemed");
                (StatusCode::SERVICE_UNAVAILABLE, Some((RETRY_AFTER, RETRY_AFTER_S)))
            }
        };
        let mut response = (status, Json(Body { error: self.to_string() })).into_response();
        response.headers_mut().extend(header);
        response
    }
}

/// Answers a request, and counts what it came to.
pub(crate) async fn redeem(State(gateway): State<Gateway>, request: Request) -> Result<Response, Error> {
    let (began, timer) = (Instant::now(), gateway.0.metrics.redeem_duration.start_timer());
    let (mut span, outcome) = match read(&gateway, request).await {
        Ok(code) => {
            let span = gateway.traces().request(code.login(), "redeem").since(began);
            let outcome = answer(&gateway, code, &span).await;
            (span, outcome)
        }
        Err(error) => (Span::none(), Err(error)),
    };
    timer.observe_duration();
    let name = outcome.as_ref().err().map_or("redeemed", Error::name);
    gateway.0.metrics.redeems.rise(name);
    span.put("outcome", name);
    if let Err(Error::Backplane(_) | Error::Lost(_)) = outcome {
        span.fail(name);
    }
    outcome
}

/// The code that an application asks about.
async fn read(gateway: &Gateway, request: Request) -> Result<Code, Error> {
    authorize(request.headers(), gateway.settings().redeem_secret.as_ref())?;
    let body =
        time::timeout(REQUEST_TIMEOUT, Bytes::from_request(request, &())).await.map_err(|_| Error::Slow)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::Malformed,
    })?;
    let request: Map<String, Value> = serde_json::from_slice(&body).map_err(|_| Error::Malformed)?;
    let code = request.get("code").and_then(Value::as_str).ok_or(Error::Malformed)?;
    Code::parse(code).ok_or(Error::NoSuchCode)
}

/// Answers with the identity, once. The person is looked up before the code is spent, so that a failure in between
/// leaves the code good.
async fn answer(gateway: &Gateway, code: Code, span: &Span) -> Result<Response, Error> {
    let (backplane, login) = (gateway.backplane(), code.login());
    let found = span.call("look_up_code").over(backplane.redeemable(&code)).await?;
    let (scan, life) = found.ok_or(Error::NoSuchCode)?;
    let counted = backplane.login_count(&scan.by, login, life + COUNTED_BEFORE);
    let (person, login_count) = tokio::join!(
        look_up(gateway, &scan, span.call("look_up_person")),
        span.call("count_login").over(counted)
    );
    let login_count = login_count?;
    // In a task of its own: a client that leaves must not tear it in two.
    let (answer, spent) = oneshot::channel();
    gateway.0.connections.spawn(spend(gateway.clone(), code, answer));
    let spent = async { spent.await.map_err(Error::Lost)?.map_err(Error::from) };
    let scan = span.call("spend_code").over(spent).await?.ok_or(Error::NoSuchCode)?;
    tracing::info!(%login, replica = gateway.replica(), "login redeemed");
    let identity = Identity {
        openid: scan.by.expose().to_owned(),
        unionid: person.unionid,
        nickname: person.nickname.unwrap_or_else(|| gateway.settings().display_name.clone()),
        login_count,
        scanned_at: rfc3339(scan.at.0),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(identity)).into_response())
}

/// In constant time, whatever is wrong with the token.
fn authorize(headers: &HeaderMap, secret: Option<&Secret>) -> Result<(), Error> {
    let secret = secret.ok_or(Error::Off)?;
    let (scheme, token) = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .ok_or(Error::Unauthorized)?;
    let right = bool::from(token.trim().as_bytes().ct_eq(secret.expose().as_bytes()));
    if right && scheme.eq_ignore_ascii_case("bearer") { Ok(()) } else { Err(Error::Unauthorized) }
}

async fn look_up(gateway: &Gateway, scan: &Scan, span: Span) -> Person {
    let person = span.over(gateway.platform().person(&scan.by));
    match time::timeout(PERSON_TIMEOUT, person).await {
        Ok(Ok(person)) => person,
        Ok(Err(error)) => {
            // The platform's client tells operators, once and not for each login.
            tracing::debug!(%error, "person not looked up, redeeming without unionid");
            Person::default()
        }
        Err(_) => {
            let limit_s = PERSON_TIMEOUT.as_secs();
            tracing::debug!(limit_s, "person not looked up in time, redeeming without unionid");
            Person::default()
        }
    }
}

fn rfc3339(millis: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or_else(SystemTime::now);
    humantime::format_rfc3339_millis(at).to_string()
}
