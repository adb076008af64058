//! Which pages may open a session.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;

/// An origin as RFC 6454 writes it: scheme, host, and the port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

/// Not an origin.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAnOrigin;

impl fmt::Display for NotAnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an origin such as https://app.example.com")
    }
}

impl std::error::Error for NotAnOrigin {}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let (scheme, authority, own_port) = match text.split_once("://").ok_or(NotAnOrigin)? {
            ("https", authority) => ("https", authority, 443),
            ("http", authority) => ("http", authority, 80),
            _ => return Err(NotAnOrigin),
        };
        let (host, port) = split_authority(authority).ok_or(NotAnOrigin)?;
        Ok(Self { scheme, host, port: port.unwrap_or(own_port) })
    }
}

/// Host in lower case and port, where there is one; `None` for anything else, user names, paths and queries included.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    if authority.contains(['/', '?', '#', '@', '\\', '*']) {
        return None;
    }
    let authority: Authority = authority.parse().ok()?;
    // The parser drops what stands between a bracket and the port, and takes a sign for a part of the port.
    let port = match authority.as_str().strip_prefix(authority.host())? {
        "" => None,
        port => {
            let digits = port.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?;
            Some(digits.parse().ok()?)
        }
    };
    Some((authority.host().to_ascii_lowercase(), port))
}

/// Whether a request may open a session. Without an `Origin` it is no browser's, and is let in; `null`, which a sandboxed
/// frame or a file sends, is nobody's origin. With an empty list only the gateway's own pages may.
#[must_use]
pub fn is_allowed(headers: &HeaderMap, allowed: &[Origin]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, another) = (origins.next(), origins.next());
    let Some(origin) = origin else { return true };
    let origin = origin.to_str().ok().and_then(|text| text.parse::<Origin>().ok());
    let (Some(origin), None) = (origin, another) else { return false };
    if !allowed.is_empty() {
        return allowed.contains(&origin);
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(split_authority);
    let own_port = if origin.scheme == "https" { 443 } else { 80 };
    host.is_some_and(|(host, port)| host == origin.host && port.unwrap_or(own_port) == origin.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origin: &str, host: &str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        headers.insert(HOST, host.parse().unwrap());
        let allowed: Vec<Origin> = allowed.iter().map(|origin| origin.parse().unwrap()).collect();
        is_allowed(&headers, &allowed)
    }

    #[test]
    fn b1_only_the_own_origin_by_default() {
        assert!(allows("https://login.example.com", "login.example.com", &[]));
        assert!(allows("https://LOGIN.example.com:443", "login.example.com", &[]));
        assert!(allows("http://127.0.0.1:8080", "127.0.0.1:8080", &[]));
        assert!(allows("http://[::1]:8080", "[::1]:8080", &[]));
        for foreign in [
            "null",
            "https://evil.example",
            "https://login.example.com.evil.example",
            "https://evillogin.example.com",
            "https://login.example.com:8443",
            "https://login.example.com@evil.example",
            "https://login.example.com/",
            "file://",
            "login.example.com",
            "",
        ] {
            assert!(!allows(foreign, "login.example.com", &[]), "{foreign}");
        }
    }

    #[test]
    fn b1_a_list_is_exact() {
        let list = ["https://app.example.com", "http://localhost:3000"];
        assert!(allows("https://app.example.com", "login.example.com", &list));
        assert!(allows("http://localhost:3000", "login.example.com", &list));
        for foreign in ["http://app.example.com", "https://sub.app.example.com", "http://localhost", "null"] {
            assert!(!allows(foreign, "login.example.com", &list), "{foreign}");
        }
    }

    #[test]
    fn no_origin_is_no_browser_and_two_are_nobody() {
        let mut headers = HeaderMap::new();
        assert!(is_allowed(&headers, &[]));
        headers.append(HOST, "a.example".parse().unwrap());
        headers.append(ORIGIN, "https://a.example".parse().unwrap());
        headers.append(ORIGIN, "https://a.example".parse().unwrap());
        assert!(!is_allowed(&headers, &[]));
    }

    #[test]
    fn a_list_of_nonsense_is_refused() {
        for wrong in [
            "*",
            "https://*.example.com",
            "example.com",
            "https://",
            "https://a b",
            "ws://a.example",
            "https://[::1]x",
            "https://[::1]x:8443",
            "https://a:+8443",
            "https://a:",
            "https://a:65536",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
