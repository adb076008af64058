//! Why there was no answer, in plain words.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error as TlsError};

/// Why there was no answer from outside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// This machine cannot check anybody's certificate.
    #[error("this machine has no certificates to check TLS with")]
    NoCertificates,
    /// The name has no address.
    #[error("no such name")]
    NoName,
    /// Nobody listens there.
    #[error("the connection is refused")]
    Refused,
    /// No connection, or no answer on it, as long as we wait.
    #[error("no answer in time")]
    Silent,
    /// TLS, and a certificate that is not to be believed.
    #[error("TLS: {what}")]
    Certificate {
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// No TLS where there should be.
    #[error("TLS does not work: {0}")]
    Tls(String),
    /// Anything else.
    #[error("no answer ({0})")]
    Broken(String),
}

/// How the standard library says that a name has no address; it has no other word for it.
pub(crate) const NO_NAME: &str = "failed to lookup address";

impl Failure {
    /// What the client's error comes down to.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut causes = vec![error as &(dyn StdError + 'static)];
        while let Some(cause) = causes.last().and_then(|last| beneath(*last)) {
            causes.push(cause);
        }
        if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<TlsError>()) {
            return Self::of_tls(tls);
        }
        if error.is_timeout() {
            return Self::Silent;
        }
        let io = |cause: &&(dyn StdError + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if causes.iter().find_map(io) == Some(io::ErrorKind::ConnectionRefused) {
            return Self::Refused;
        }
        // The last cause is the nearest to the matter, and never names the URL.
        let last = causes.last().map(ToString::to_string).unwrap_or_default();
        if last.contains(NO_NAME) { Self::NoName } else { Self::Broken(last) }
    }

    fn of_tls(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(error) => {
                let (what, remedy) = certificate(error);
                Self::Certificate { what, remedy }
            }
            TlsError::InvalidMessage(_) => Self::Tls("something else is spoken on this port".to_owned()),
            error => Self::Tls(error.to_string()),
        }
    }

    /// What to click or change.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NoCertificates => "install ca-certificates where doctor runs",
            Self::NoName => "check the URL, and the name's A and AAAA records",
            Self::Refused => {
                "nothing listens there, or a firewall refuses: start the proxy in front, open the port"
            }
            Self::Silent => {
                "a firewall that drops packets, a proxy that waits for a program that is down, or a program that \
                 hangs: try the URL on the machine itself, then from outside"
            }
            Self::Certificate { remedy, .. } => remedy,
            Self::Tls(_) => {
                "is it plain HTTP? Let the proxy speak TLS (1.2 or 1.3) on this port, or give an http:// URL"
            }
            Self::Broken(_) => "see the log of the proxy in front",
        }
    }
}

/// What is beneath an error; of one that the input and output layer only wraps, the error that it wraps.
fn beneath<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn certificate(error: &CertificateError) -> (String, &'static str) {
    const RENEW: &str = "renew it, and reload the proxy that serves it";
    const CLOCK: &str = "is the clock of this machine right? Otherwise get another certificate";
    const NAMES: &str = "get a certificate that names this host, and let the proxy serve it under this name";
    const CHAIN: &str = "it is self-signed, or the proxy does not send the certificates between it and a known \
                         authority: give it the full chain (fullchain.pem)";
    match error {
        CertificateError::Expired => ("the certificate has expired".to_owned(), RENEW),
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("the certificate expired on {}", date(*not_after)), RENEW)
        }
        CertificateError::NotValidYet => ("the certificate is not valid yet".to_owned(), CLOCK),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("the certificate is not valid before {}", date(*not_before)), CLOCK)
        }
        CertificateError::NotValidForName => ("the certificate is for another name".to_owned(), NAMES),
        CertificateError::NotValidForNameContext { presented, .. } => {
            (format!("the certificate is for another name ({})", names(presented)), NAMES)
        }
        CertificateError::UnknownIssuer => {
            ("the certificate is signed by nobody whom this machine knows".to_owned(), CHAIN)
        }
        CertificateError::Revoked => ("the certificate was revoked".to_owned(), RENEW),
        error => (format!("the certificate is not to be believed: {error}"), CHAIN),
    }
}

fn date(time: UnixTime) -> String {
    // The library knows no year beyond this.
    const YEAR_9999: u64 = 253_370_764_800;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs().min(YEAR_9999 - 1)))
}

/// The names as a person knows them, without what the library puts around: `DnsName("login.example.com")`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    presented.iter().take(5).map(plain).collect::<Vec<_>>().join(", ")
}
