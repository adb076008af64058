//! What the platform's servers answer (docs/wechat.md). One table of calls; errors are HTTP 200 with an `errcode`.

mod call;
mod error;
mod message;
mod picture;
mod qrcode;
mod token;
mod upkeep;
mod user;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{Extensions, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time;

use crate::Simulator;
use crate::faults::CallFate;
use call::Call;
use error::Refusal;

pub(crate) use user::is_openid;

/// Far above any call's body.
const BODY_MAX: usize = 64 * 1024;
/// As recorded; clients had better go by the body (docs/wechat.md, "Rules for every call").
const CONTENT_TYPE: &str = "application/json; encoding=utf-8";
/// Whose address 40164 names when the server does not tell it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

type Handler = fn(&Simulator, &Call) -> Result<Value, Refusal>;

/// Every call there is.
const CALLS: [(&str, Handler); 8] = [
    ("/cgi-bin/token", token::classic),
    ("/cgi-bin/stable_token", token::stable),
    ("/cgi-bin/qrcode/create", qrcode::create),
    ("/cgi-bin/user/info", user::info),
    ("/cgi-bin/message/custom/send", message::send),
    ("/cgi-bin/getcallbackip", upkeep::callback_addresses),
    ("/cgi-bin/get_api_domain_ip", upkeep::api_addresses),
    ("/cgi-bin/clear_quota", upkeep::clear_quota),
];

pub(crate) fn router(simulator: &Simulator) -> Router<Simulator> {
    Router::new()
        .route("/cgi-bin/showqrcode", get(picture::show))
        .route("/cgi-bin/{*path}", any(answer))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::map_response_with_state(simulator.clone(), date))
}

/// The `Date` of an answer is the platform's time, which a test may have moved on.
async fn date(State(simulator): State<Simulator>, mut response: Response) -> Response {
    let now = UNIX_EPOCH + Duration::from_secs(simulator.now());
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Whether there is such a call, for faults that are for one path.
pub(crate) fn is_call(path: &str) -> bool {
    CALLS.iter().any(|(known, _)| *known == path)
}

async fn answer(
    State(simulator): State<Simulator>,
    method: Method,
    uri: Uri,
    extensions: Extensions,
    body: Bytes,
) -> Response {
    let found = CALLS.iter().find(|(path, _)| *path == uri.path());
    let path = found.map_or("(unknown)", |(path, _)| path);
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map_or(NOBODY, |peer| peer.0.ip());
    let call = Call::new(&method, &uri, body, peer);
    time::sleep(simulator.faults().latency()).await;
    let result = match (simulator.faults().fate(path), found) {
        (CallFate::Works, Some((_, handler))) => handler(&simulator, &call),
        (CallFate::Works, None) => Err(Refusal::INVALID_URL),
        (CallFate::Fails(errcode), _) => Err(Refusal::Code(errcode)),
        (CallFate::NotJson, _) => {
            simulator.journal().call(simulator.now(), path, None);
            return html_page();
        }
        (CallFate::Reset, _) => {
            simulator.journal().call(simulator.now(), path, None);
            return broken_connection();
        }
    };
    let errcode = result.as_ref().map_or_else(Refusal::code, |_| 0);
    let entries = {
        let mut journal = simulator.journal();
        journal.call(simulator.now(), path, Some(errcode));
        journal.counters.calls.values().sum()
    };
    tracing::debug!(path, errcode, "API call answered");
    let answer = result.unwrap_or_else(|refusal| {
        let message = format!("{} rid: {}", refusal.message(&call), request_id(simulator.now(), entries));
        json!({ "errcode": refusal.code(), "errmsg": message })
    });
    // Valid JSON that trips whoever cuts URLs out of it: a slash may arrive as `\/`.
    let text = answer.to_string().replace('/', "\\/");
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// What a proxy in between says when it is in trouble.
fn html_page() -> Response {
    let page =
        "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

/// A body that fails at its first byte makes the server give the connection up before anything is sent.
fn broken_connection() -> Response {
    let failure = || async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) };
    Body::from_stream(stream::once(failure())).into_response()
}

/// Three groups of eight digits, as behind every `errmsg`.
fn request_id(now: u64, entries: u64) -> String {
    let (low, high) = (entries & 0xffff_ffff, entries.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
    format!("{:08x}-{high:08x}-{low:08x}", now & 0xffff_ffff)
}
