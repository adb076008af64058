//! The operators' listener: is the process up, may it be given work.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde::Serialize;

/// What keeps a program from being ready; empty when it is.
pub type Obstacles = Vec<&'static str>;

/// The body of `/readyz`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// What is wrong, each a word an operator can search for. May be non-empty on a ready program.
    wrong: Obstacles,
}

/// What a program answers when it is asked whether it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether it can be given work.
    pub ready: bool,
    /// What is wrong, whether or not that keeps it from being ready.
    pub wrong: Obstacles,
}

/// `GET /livez` (200 while the process answers at all) and `GET /readyz` (200 or 503, and in either case what is
/// wrong). `report` must answer at once: it is asked for its present knowledge, not to find out.
pub fn router(report: impl Fn() -> Report + Send + Sync + 'static) -> Router {
    let report = Arc::new(report);
    let readyz = move || {
        let Report { ready, wrong } = report();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        async move { (status, Json(Readiness { ready, wrong })) }
    };
    Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(readyz))
}
