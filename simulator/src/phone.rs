//! The page that is the phone, and what a QR code leads to.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::Simulator;

const PAGE: &str = include_str!("phone/phone.html");
const STYLE: &str = include_str!("phone/phone.css");
const SCRIPT: &str = include_str!("phone/phone.js");
const TEXTS: &str = include_str!("phone/texts.js");
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
/// Where the page has the text of the code that it was opened with.
const CONTENT: &str = "{{content}}";
/// The page loads its own files and talks to this simulator, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

pub(crate) fn router() -> Router<Simulator> {
    Router::new()
        .route("/simulator", get(|| async { Redirect::to("simulator/phone") }))
        .route("/simulator/phone", get(|| async { page(StatusCode::OK, "") }))
        .route("/simulator/phone.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/simulator/phone.js", get(|| async { file(JAVASCRIPT, SCRIPT) }))
        .route("/simulator/phone-texts.js", get(|| async { file(JAVASCRIPT, TEXTS) }))
        .route("/q/{id}", get(open))
}

/// What a phone's own camera finds in the QR code: the phone page, with the code at hand. An unknown code is 404, and the
/// same page without it.
async fn open(State(simulator): State<Simulator>, Path(id): Path<String>) -> Response {
    let content = simulator.codes().content(&id);
    match content {
        Some(content) => page(StatusCode::OK, &content),
        None => page(StatusCode::NOT_FOUND, ""),
    }
}

fn page(status: StatusCode, content: &str) -> Response {
    (status, file("text/html; charset=utf-8", PAGE.replace(CONTENT, &escaped(content)))).into_response()
}

fn file(kind: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

/// For an attribute in double quotes; the public URL is a setting, and could hold anything that a URL can.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
