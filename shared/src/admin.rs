//! The operators' listener: is the process up, may it be given work, what does it count.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus::proto::MetricFamily;
use serde::Serialize;

use crate::metrics::{self, Registry};

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

/// `GET /livez` (200 while the process answers at all), `GET /readyz` (200 or 503, and in either case what is wrong) and
/// `GET /metrics` (docs/metrics.md) of `program`. `report` and `families` must answer at once: they are asked for present
/// knowledge, not to find out.
pub fn router(
    program: &'static str,
    report: impl Fn() -> Report + Send + Sync + 'static,
    families: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static,
) -> Router {
    let (report, families) = (Arc::new(report), Arc::new(families));
    let own = Registry::default().with_process();
    let build = own.gauge_family("build_info", "Always 1: which program this is.", &["program", "version"]);
    build.with_label_values(&[program, env!("CARGO_PKG_VERSION")]).set(1);
    let ready = own.gauge_family("ready", "1 while /readyz answers 200, else 0.", &["program"]);
    let ready = ready.with_label_values(&[program]);
    let asked = report.clone();
    let metrics = move || {
        ready.set(asked().ready.into());
        let mut all = own.families();
        all.extend(families());
        let (content_type, text) = metrics::text(all);
        async move { ([(CONTENT_TYPE, content_type)], text) }
    };
    let readyz = move || {
        let Report { ready, wrong } = report();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        async move { (status, Json(Readiness { ready, wrong })) }
    };
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}
