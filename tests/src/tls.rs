//! Certificates, made by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use uuid::Uuid;

/// What OpenSSL's little authority wants to know. It signs whatever it is asked to.
const AUTHORITY: &str = "\
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = policy
copy_extensions = copy
unique_subject = no
[policy]
commonName = supplied
";

/// A certificate that signed itself, and its key.
#[derive(Debug)]
pub struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// For a name such as `DNS:login.example.com` or `IP:127.0.0.1`, good until the end of a year.
    #[must_use]
    pub fn until_the_end_of(year: u16, name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::write(at.join("authority"), AUTHORITY).unwrap();
        std::fs::write(at.join("index"), "").unwrap();
        let names = format!("subjectAltName={name}");
        // Two with the same name would be taken for two signatures of the same one.
        let subject = format!("/CN={}", Uuid::new_v4().simple());
        let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out request \
                       -addext basicConstraints=critical,CA:FALSE -addext";
        let named = [names.as_str(), "-subj", &subject];
        openssl(at, &request.split_whitespace().chain(named).collect::<Vec<_>>());
        let end = format!("{year}1231235959Z");
        let sign = "ca -config authority -batch -notext -selfsign -keyfile key -in request -out certificate \
                    -startdate 20200101000000Z -enddate";
        openssl(at, &sign.split_whitespace().chain([end.as_str()]).collect::<Vec<_>>());
        Self { directory }
    }

    /// The file with the certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate")
    }

    /// The file with its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key")
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").current_dir(directory).args(arguments).output().unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
