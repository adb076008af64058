//! The hosted page and the element, embedded in the binary.

use axum::Router;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use shared::metrics::Counters;

/// Nothing but our own files, sockets to ourselves, and pictures that came with a message; framed by nobody.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The element is one file for whoever fetches it, so that a page never mixes parts of two releases.
const ELEMENT: &str = concat!(
    include_str!("page/scan-login/link.js"),
    include_str!("page/scan-login/view.js"),
    include_str!("page/scan-login.js"),
);
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
/// Pages come from the binary: what was cached is asked for again, so that an update shows at once.
const REVALIDATE: &str = "no-cache";

/// `/`, its parts, and the element for other people's pages.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(fetched: &Counters) -> Router<S> {
    let (pages, elements) = (fetched.clone(), fetched.clone());
    let page = move || {
        pages.rise("page");
        async { file(HTML, include_str!("page/page.html")) }
    };
    let element = move || {
        elements.rise("element");
        element()
    };
    Router::new()
        .route("/", get(page))
        .route("/page.css", get(|| async { file(CSS, include_str!("page/page.css")) }))
        .route("/page.js", get(|| async { file(JAVASCRIPT, include_str!("page/page.js")) }))
        .route("/sdk/scan-login.js", get(element))
}

/// For any origin: a module script is fetched with CORS.
async fn element() -> Response {
    let cross_origin =
        [(ACCESS_CONTROL_ALLOW_ORIGIN.as_str(), "*"), ("cross-origin-resource-policy", "cross-origin")];
    (cross_origin, file(JAVASCRIPT, ELEMENT)).into_response()
}

fn file(content_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, REVALIDATE),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, body).into_response()
}
