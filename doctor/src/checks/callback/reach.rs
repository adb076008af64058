//! From a URL to an open connection: name, addresses, port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use reqwest::Url;
use tokio::net::{TcpStream, lookup_host};
use tokio::time;

use super::NAME;
use crate::outside::PATIENCE;
use crate::report::Finding;
use crate::settings::Deployment;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Looks the name up, and connects to every address behind it: the platform may take any of them.
pub(super) async fn check(deployment: &Deployment, url: &Url) -> Vec<Finding> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let found = time::timeout(PATIENCE, lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect(),
        Ok(Err(_)) => Vec::new(),
        Err(_) => {
            let found = format!("{host}: the name servers do not answer");
            return vec![Finding::fail(NAME, found, "check DNS: the platform waits for 5 s as well")];
        }
    };
    if addresses.is_empty() {
        let found = format!("{host}: no such name");
        return vec![Finding::fail(NAME, found, "check PUBLIC_URL, and the name's A and AAAA records")];
    }
    let tried = join_all(addresses.iter().map(|address| connect(*address))).await;
    let mut findings = connections(host, port, &addresses, &tried);
    if !findings.iter().any(Finding::is_fail) {
        findings.extend(unsuitable(deployment, url, port, &addresses));
    }
    findings
}

async fn connect(address: SocketAddr) -> Result<(), String> {
    match time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err("refused".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 5 s".to_owned()),
    }
}

fn connections(
    host: &str,
    port: u16,
    addresses: &[SocketAddr],
    tried: &[Result<(), String>],
) -> Vec<Finding> {
    let open: Vec<String> = addresses
        .iter()
        .zip(tried)
        .filter(|(_, tried)| tried.is_ok())
        .map(|(address, _)| address.ip().to_string())
        .collect();
    let closed: Vec<String> = addresses
        .iter()
        .zip(tried)
        .filter_map(|(address, tried)| Some(format!("{} ({})", address.ip(), tried.as_ref().err()?)))
        .collect();
    let closed = closed.join(", ");
    if open.is_empty() {
        let remedy =
            "start the proxy in front, and open the port in every firewall before it (security group)";
        return vec![Finding::fail(NAME, format!("{host}: nobody answers on port {port}: {closed}"), remedy)];
    }
    let mut findings =
        vec![Finding::ok(NAME, format!("{host}, port {port}, is open at {}", open.join(", ")))];
    if !closed.is_empty() {
        let found = format!("{host} has addresses that do not answer on port {port} from here: {closed}");
        let remedy =
            "the platform may take any of them: remove their A or AAAA record, or open the port there";
        findings.push(Finding::warn(NAME, found, remedy));
    }
    findings
}

/// What connects from here, and would not suit the platform or its people. A simulator takes everything.
fn unsuitable(deployment: &Deployment, url: &Url, port: u16, addresses: &[SocketAddr]) -> Vec<Finding> {
    let simulated = deployment.api_base.as_ref().is_ok_and(|base| base.starts_with("http://"));
    if simulated || addresses.iter().all(|address| address.ip().is_loopback()) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if !matches!(port, 80 | 443) {
        let found = format!("port {port}: the platform calls ports 80 and 443 only");
        findings.push(Finding::warn(NAME, found, "let a proxy listen on 443 and pass /wechat/callback on"));
    }
    if let Some(address) = addresses.iter().find(|address| is_private(address.ip())) {
        let found =
            format!("{} is an address of a private network, which the platform cannot reach", address.ip());
        let remedy =
            "is this the name as the internet sees it? Run doctor from outside, or change its A record";
        findings.push(Finding::warn(NAME, found, remedy));
    }
    if url.scheme() == "http" {
        let found = "http: whoever is on the way can read codes and sessions, and take logins over";
        findings.push(Finding::warn(
            NAME,
            found,
            "put TLS in front (https://), and change the URL in the console",
        ));
    }
    findings
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    fn statuses(tried: &[Result<(), String>]) -> Vec<Status> {
        let addresses: Vec<SocketAddr> =
            ["203.0.113.7:443", "[2001:db8::7]:443"].iter().map(|text| text.parse().unwrap()).collect();
        connections("login.example.com", 443, &addresses, tried)
            .iter()
            .map(|finding| finding.status)
            .collect()
    }

    #[test]
    fn an_address_that_does_not_answer_is_a_warning_unless_it_is_the_last() {
        let no = || Err("refused".to_owned());
        assert_eq!(statuses(&[Ok(()), Ok(())]), [Status::Ok]);
        assert_eq!(statuses(&[Ok(()), no()]), [Status::Ok, Status::Warn]);
        assert_eq!(statuses(&[no(), no()]), [Status::Fail]);
    }

    #[test]
    fn what_does_not_suit_the_platform_is_a_warning_unless_it_is_simulated() {
        let found = |api_base: &str, url: &str, address: &str| -> String {
            let deployment = Deployment { api_base: Ok(api_base.to_owned()), ..Deployment::unknown() };
            let url: Url = url.parse().unwrap();
            let port = url.port_or_known_default().unwrap();
            let findings =
                unsuitable(&deployment, &url, port, &[SocketAddr::new(address.parse().unwrap(), port)]);
            assert!(findings.iter().all(|finding| finding.status == Status::Warn), "{findings:?}");
            findings.into_iter().map(|finding| finding.found).collect::<Vec<_>>().join("; ")
        };
        let (real, simulator) = ("https://api.weixin.qq.com", "http://simulator:8082");
        assert_eq!(found(real, "https://login.example.com", "203.0.113.7"), "");
        assert!(found(real, "https://login.example.com:8443", "203.0.113.7").contains("port 8443"));
        assert!(
            found(real, "https://login.example.com", "10.0.0.5")
                .contains("10.0.0.5 is an address of a private")
        );
        assert!(found(real, "http://login.example.com", "203.0.113.7").contains("http: whoever"));
        assert_eq!(found(simulator, "http://login.example.com:8080", "10.0.0.5"), "");
        assert_eq!(found(real, "http://localhost:8080", "127.0.0.1"), "");
    }

    #[test]
    fn private_addresses_are_known() {
        for private in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.1", "169.254.0.1", "fd00::1", "::1"]
        {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["203.0.113.7", "2001:db8::7"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
