//! Who may come in while anybody can log in as anybody: pages of this machine.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses requests that were sent to another name than this machine's own: a page of somebody else's may have its name
/// resolve to here (DNS rebinding), and would then be of the same origin as the simulated phone.
pub(crate) async fn only(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_local) {
        return next.run(request).await;
    }
    let why = "With the simulated WeChat inside, only 127.0.0.1, [::1] and localhost are served. SIMULATOR=on lifts that.\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_this_machines_own_names_are_local() {
        for local in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.1.2.3"] {
            assert!(is_local(local), "{local}");
        }
        for foreign in [
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "192.0.2.1",
            "0.0.0.0",
        ] {
            assert!(!is_local(foreign), "{foreign}");
        }
    }
}
