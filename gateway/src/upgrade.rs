//! `GET /ws`: who is let in, and with which request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{HOST, HeaderName, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use shared::login::SessionId;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::browser::Browser;
use crate::connection::{self, Request};
use crate::protocol::{RESUME_PREFIX, SUBPROTOCOL, TOO_OFTEN, whole_seconds};
use crate::{Gateway, origin};

/// Seconds after which a browser that found no room may try again.
const FULL_RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Characters of a stranger's header that go into a log line.
const SHOWN_MAX: usize = 200;

/// Refuses foreign origins before anything is made, who comes too often, and more browsers than there is room for; the
/// rest become WebSockets.
pub(crate) async fn upgrade(
    State(gateway): State<Gateway>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: HttpRequest<Body>,
) -> Response {
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let headers = request.headers();
    let metrics = &gateway.0.metrics;
    if !origin::is_allowed(headers, &gateway.settings().allowed_origins) {
        metrics.not_connected.rise("origin");
        if let Some(suppressed) = gateway.0.refusals.admit(Instant::now()) {
            let (origin, host) = (shown(headers, &ORIGIN), shown(headers, &HOST));
            let see = "see ALLOWED_ORIGINS, and whether a proxy changes Host";
            tracing::warn!(origin, host, suppressed, see, "refused a page of a foreign origin");
        }
        return (StatusCode::FORBIDDEN, "this origin may not open a session\n").into_response();
    }
    let mut answer = match create_response_with_body(&request, Body::empty) {
        Ok(answer) => answer,
        Err(error) => {
            metrics.not_connected.rise("handshake");
            let why = format!("not a WebSocket handshake: {error}\n");
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
    };
    let Some(on_upgrade) = on_upgrade else {
        metrics.not_connected.rise("handshake");
        return (StatusCode::UPGRADE_REQUIRED, "this connection cannot be upgraded\n").into_response();
    };
    if gateway.departure().is_leaving() {
        metrics.not_connected.rise("leaving");
        return full("this replica is going away\n");
    }
    let client = gateway.0.proxies.client(peer.ip(), headers);
    if let Err(retry_after) = gateway.visits().admit(client) {
        metrics.not_connected.rise("too_often");
        if let Some(suppressed) = gateway.0.refusals.admit(Instant::now()) {
            tracing::warn!(%client, suppressed, "refused a client that connects too often");
        }
        return too_often(retry_after);
    }
    let Ok(place) = gateway.0.browsers.clone().try_acquire_owned() else {
        metrics.not_connected.rise("full");
        if let Some(suppressed) = gateway.0.refusals.admit(Instant::now()) {
            let limit = gateway.settings().max_connections;
            tracing::warn!(limit, suppressed, "refused a browser: no more room, see MAX_CONNECTIONS");
        }
        return full("no more room for browsers\n");
    };
    if offered(headers).any(|protocol| protocol == SUBPROTOCOL) {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    let wish = requested(headers);
    metrics.connected.rise(wish.name());
    let tracked = gateway.0.connections.token();
    tokio::spawn(async move {
        // Fails when the browser has left meanwhile.
        if let Ok(upgraded) = on_upgrade.await {
            connection::run(&gateway, Browser::new(upgraded).await, client, wish).await;
        }
        drop((tracked, place));
    });
    answer
}

/// The subprotocols that a browser offers, in any number of headers.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

/// Reads the subprotocols: the secret of a session to resume is one of them.
fn requested(headers: &HeaderMap) -> Request {
    match offered(headers).filter_map(|protocol| protocol.strip_prefix(RESUME_PREFIX)).next() {
        Some(session) => Request::Resume(SessionId::parse(session)),
        None => Request::Begin,
    }
}

/// A header as it may stand in a log line: short, on one line.
fn shown(headers: &HeaderMap, name: &HeaderName) -> String {
    let text = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    text.unwrap_or_default().chars().take(SHOWN_MAX).flat_map(char::escape_default).collect()
}

fn full(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, FULL_RETRY_AFTER)], why).into_response()
}

fn too_often(retry_after: Duration) -> Response {
    let seconds = HeaderValue::from(whole_seconds(retry_after));
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], TOO_OFTEN).into_response()
}
