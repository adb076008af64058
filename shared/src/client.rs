//! Whose request it is: the peer's, or what a trusted proxy says of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use clap::Args;
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Hops that are looked at; nobody has as many proxies.
const HOPS_MAX: usize = 32;

/// The address of somebody outside. Many people may share one, and one person may have many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// An IPv4 address that came by way of IPv6 is an IPv4 address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// What one client has: an IPv4 address, or the /64 that every IPv6 host chooses its addresses from.
    #[must_use]
    pub fn addresses(self) -> IpNet {
        self.block(32, 64)
    }

    /// What one network has: a /24, or the /48 that a site gets.
    #[must_use]
    pub fn network(self) -> IpNet {
        self.block(24, 48)
    }

    fn block(self, v4: u8, v6: u8) -> IpNet {
        let prefix = if self.0.is_ipv4() { v4 } else { v6 };
        IpNet::new(self.0, prefix).unwrap_or_else(|_| self.0.into()).trunc()
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of `TRUSTED_PROXIES`: a block such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy(IpNet);

/// Not a block of addresses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a block of addresses such as 10.0.0.0/8")]
pub struct NotABlock;

impl FromStr for Proxy {
    type Err = NotABlock;

    fn from_str(text: &str) -> Result<Self, NotABlock> {
        let text = text.trim();
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Self).map_err(|_| NotABlock)
    }
}

/// What a program behind a proxy must be told.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct ProxySettings {
    /// The blocks of addresses, such as 10.0.0.0/8, whose X-Forwarded-For is believed, separated by commas; nobody's if
    /// not set
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "BLOCKS", value_delimiter = ',')]
    pub trusted_proxies: Vec<Proxy>,
}

impl ProxySettings {
    /// Whom to believe.
    #[must_use]
    pub fn trusted(&self) -> TrustedProxies {
        TrustedProxies { blocks: self.trusted_proxies.clone(), warned: AtomicBool::default() }
    }
}

/// Proxies whose word is taken for whom they forward.
#[derive(Debug, Default)]
pub struct TrustedProxies {
    blocks: Vec<Proxy>,
    /// Whether somebody who is not among them was warned of.
    warned: AtomicBool,
}

impl TrustedProxies {
    /// Who made a request: the last address on its way that is no trusted proxy's. What stands before that one, anybody
    /// may have written.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = Client::new(peer);
        if !headers.contains_key(FORWARDED_FOR) {
            return client;
        }
        if !self.trusts(client) {
            if !self.warned.swap(true, Ordering::Relaxed) {
                let see = "see TRUSTED_PROXIES: all that come through this proxy count as one client";
                tracing::warn!(proxy = %client, see, "a forwarded address is not believed");
            }
            return client;
        }
        // Several headers are one list, in their order (RFC 9110, section 5.3).
        let values: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        // Each hop by itself: what a client sent before the proxy's word may be any bytes.
        let hops = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS_MAX) {
            let Some(address) = std::str::from_utf8(hop).ok().and_then(|hop| address(hop.trim())) else {
                break;
            };
            client = Client::new(address);
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, client: Client) -> bool {
        self.blocks.iter().any(|block| block.0.contains(&client.0))
    }
}

/// An address as proxies write it: with or without the port that it came from.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    hop.parse().ok().or_else(bracketed).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        client_of_bytes(trusted, peer, &forwarded.iter().map(|value| value.as_bytes()).collect::<Vec<_>>())
    }

    fn client_of_bytes(trusted: &[&str], peer: &str, forwarded: &[&[u8]]) -> String {
        let settings =
            ProxySettings { trusted_proxies: trusted.iter().map(|block| block.parse().unwrap()).collect() };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(value).unwrap());
        }
        settings.trusted().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        assert_eq!(client(&[], "10.0.0.1", &["203.0.113.7"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxys_counts() {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.9"];
        for (forwarded, is) in [
            (vec!["203.0.113.7"], "203.0.113.7"),
            (vec!["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
            (vec!["1.1.1.1, 203.0.113.7 ,10.2.3.4,192.0.2.9"], "203.0.113.7"),
            (vec!["1.1.1.1", "203.0.113.7", "10.2.3.4"], "203.0.113.7"),
            (vec!["203.0.113.7:5678"], "203.0.113.7"),
            (vec!["[2001:db8:2::7]:5678, 2001:db8:1::1"], "2001:db8:2::7"),
            (vec!["[2001:db8:2::7]"], "2001:db8:2::7"),
            (vec!["::ffff:203.0.113.7"], "203.0.113.7"),
            (vec!["10.2.3.4"], "10.2.3.4"),
            // What cannot be read is not skipped: what stands before it is not to be believed.
            (vec!["1.1.1.1, unknown, 10.2.3.4"], "10.2.3.4"),
            (vec!["1.1.1.1, "], "10.0.0.1"),
            (vec![""], "10.0.0.1"),
        ] {
            assert_eq!(client(&trusted, "10.0.0.1", &forwarded), is, "{forwarded:?}");
        }
        assert_eq!(client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn bytes_that_nobody_can_read_spoil_no_address_behind_them() {
        for (forwarded, is) in [
            (&[&b"\x80, 203.0.113.7"[..]][..], "203.0.113.7"),
            (&[b"\xe5\xbe\xae,203.0.113.7 , 10.2.3.4"], "203.0.113.7"),
            (&[b"\x80", b"203.0.113.7"], "203.0.113.7"),
            (&[b"1.1.1.1, \x80, 10.2.3.4"], "10.2.3.4"),
            (&[b"203.0.113.7\x80"], "10.0.0.1"),
        ] {
            assert_eq!(client_of_bytes(&["10.0.0.0/8"], "10.0.0.1", forwarded), is, "{forwarded:?}");
        }
    }

    #[test]
    fn a_client_is_an_address_or_a_64_and_a_network_a_24_or_a_48() {
        let blocks = |address: &str| {
            let client = Client::new(address.parse().unwrap());
            (client.addresses().to_string(), client.network().to_string())
        };
        assert_eq!(blocks("203.0.113.7"), ("203.0.113.7/32".to_owned(), "203.0.113.0/24".to_owned()));
        assert_eq!(blocks("::ffff:203.0.113.7"), blocks("203.0.113.7"));
        assert_eq!(
            blocks("2001:db8:1:2:3::4"),
            ("2001:db8:1:2::/64".to_owned(), "2001:db8:1::/48".to_owned())
        );
    }

    #[test]
    fn a_block_is_read_strictly() {
        assert_eq!("192.0.2.1".parse::<Proxy>(), "192.0.2.1/32".parse());
        for bad in ["", "proxy.example", "10.0.0.0/33", "10.0.0/8", "*"] {
            assert_eq!(bad.parse::<Proxy>(), Err(NotABlock), "{bad}");
        }
    }
}
