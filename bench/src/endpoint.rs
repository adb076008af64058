//! Where something listens: an http URL, resolved once.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

/// An http URL. The driver speaks no TLS: it talks to what stands behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
    path: String,
    address: SocketAddr,
}

/// Why a text is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another scheme, or parts that have no place here.
    #[error("it begins with http:// and has no user, query or fragment")]
    Malformed,
    /// The host has no address.
    #[error("its host cannot be resolved")]
    Unresolved,
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let rest = text.strip_prefix("http://").ok_or(Error::Malformed)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let printable = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || !printable || rest.contains(['@', '?', '#']) {
            return Err(Error::Malformed);
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let resolved = match has_port {
            true => authority.to_socket_addrs(),
            false => format!("{authority}:80").to_socket_addrs(),
        };
        let mut addresses = resolved.map_err(|_| Error::Unresolved)?;
        let address = addresses.next().ok_or(Error::Unresolved)?;
        Ok(Self { authority: authority.to_owned(), path: path.trim_end_matches('/').to_owned(), address })
    }
}

impl Endpoint {
    /// The endpoint of a server that listens at `address`.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { authority: address.to_string(), path: String::new(), address }
    }

    /// What a `Host` header says.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path below which everything is, without a slash at the end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same with `path`, unless it has one.
    #[must_use]
    pub fn or_path(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }

    /// Whether nobody but this machine can be meant.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_url_is_split_and_resolved() {
        let endpoint: Endpoint = "http://127.0.0.1:8081/wechat/callback".parse().unwrap();
        assert_eq!((endpoint.authority(), endpoint.path()), ("127.0.0.1:8081", "/wechat/callback"));
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:8081/wechat/callback");
        assert!(endpoint.is_loopback());
        let bare: Endpoint = "http://203.0.113.7/".parse().unwrap();
        assert_eq!((bare.address().port(), bare.path(), bare.is_loopback()), (80, "", false));
        assert_eq!(bare.or_path("/wechat/callback").path(), "/wechat/callback");
        assert_eq!("http://[::1]:8080".parse::<Endpoint>().unwrap().address().port(), 8080);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "127.0.0.1:80", "https://127.0.0.1", "http://", "http://u@h", "http://h/?q", "http://h/ x"]
        {
            assert!(matches!(text.parse::<Endpoint>(), Err(Error::Malformed)), "{text}");
        }
    }
}
