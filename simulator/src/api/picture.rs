//! `GET /cgi-bin/showqrcode` (docs/wechat.md, "QR codes"). The platform serves it from another host and as a JPEG; here it
//! is an SVG.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use qrcodegen::{QrCode, QrCodeEcc};

use super::NOBODY;
use super::call::Call;
use crate::codes::Found;
use crate::{Simulator, ticket};

/// White modules around the code, without which scanners may not find it.
const QUIET_ZONE: i32 = 4;

/// The picture of a live code, by its ticket; 404 for any other. A ticket that was not URL-encoded is any other: its plus
/// signs arrive as blanks.
pub(super) async fn show(State(simulator): State<Simulator>, uri: Uri) -> Response {
    let call = Call::new(&axum::http::Method::GET, &uri, axum::body::Bytes::new(), NOBODY);
    let shown = call.parameter("ticket").and_then(|ticket| {
        let url = ticket::url(ticket)?;
        let now = simulator.now();
        let codes = simulator.codes();
        let Found::Live(code) = codes.find(&url, now) else { return None };
        (codes.ticket(&code) == ticket).then_some(url)
    });
    match shown.and_then(|url| svg(&url)) {
        Some(picture) => ([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let range = 0..code.size();
    let mut path = String::new();
    for (x, y) in range.clone().flat_map(|y| range.clone().map(move |x| (x, y))) {
        if code.get_module(x, y) {
            let _ = write!(path, "M{},{}h1v1h-1z", x + QUIET_ZONE, y + QUIET_ZONE);
        }
    }
    let side = code.size() + 2 * QUIET_ZONE;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"430\" height=\"430\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0,0h{side}v{side}h-{side}z\"/><path d=\"{path}\"/></svg>"
    ))
}
