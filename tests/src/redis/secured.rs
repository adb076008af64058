//! Redis that speaks nothing but TLS.

use std::ffi::OsString;
use std::process::Stdio;

use shared::settings::Secret;
use tempfile::TempDir;
use tokio::process::Command;

use super::answer;
use crate::child::Child;
use crate::loopback::{self, address};
use crate::patience::until;
use crate::tls::Certificate;

/// A server on loopback with a certificate for its address.
#[derive(Debug)]
pub struct SecuredRedis {
    port: u16,
    certificate: Certificate,
    _server: Child,
    _directory: TempDir,
}

impl SecuredRedis {
    /// Starts a server, and waits until it answers.
    pub async fn start() -> Self {
        let (port, directory) = (loopback::ports(1), tempfile::tempdir().unwrap());
        let certificate = certificate();
        let server = Child::start("redis-server", |command| {
            command.args(["--bind", &address().to_string(), "--protected-mode", "no"]);
            command.args(["--port", "0", "--tls-port", &port.to_string()]);
            command.args(server_arguments(&certificate));
            command.args(["--save", "", "--appendonly", "no"]).arg("--dir").arg(directory.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        });
        let redis = Self { port, certificate, _server: server, _directory: directory };
        until("Redis to answer", async || {
            redis.redis_cli().arg("ping").output().await.unwrap().stdout == b"PONG\n"
        })
        .await;
        redis
    }

    /// What whoever connects must trust.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The URL, with these credentials.
    #[must_use]
    pub fn url(&self, user: &str, password: &str) -> Secret {
        Secret::new(format!("rediss://{user}:{password}@{}:{}", address(), self.port))
    }

    /// Asks the server, by `redis-cli`, and returns what it prints.
    pub async fn ask(&self, question: &[&str]) -> String {
        answer(self.redis_cli(), question).await
    }

    fn redis_cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-h", &address().to_string(), "-p", &self.port.to_string()]);
        command.args(client_arguments(&self.certificate)).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// A certificate for all servers of this process.
pub(super) fn certificate() -> Certificate {
    Certificate::until_the_end_of(2099, &format!("IP:{}", address()))
}

/// Clients need no certificate of their own; the nodes of a cluster trust each other's.
pub(super) fn server_arguments(certificate: &Certificate) -> Vec<OsString> {
    let files = [
        ("--tls-cert-file", certificate.certificate()),
        ("--tls-key-file", certificate.key()),
        ("--tls-ca-cert-file", certificate.certificate()),
    ];
    let mut arguments = vec!["--tls-auth-clients".into(), "no".into()];
    arguments.extend(files.into_iter().flat_map(|(name, file)| [name.into(), file.into_os_string()]));
    arguments
}

/// What `redis-cli` must be told.
pub(super) fn client_arguments(certificate: &Certificate) -> Vec<OsString> {
    vec!["--tls".into(), "--cacert".into(), certificate.certificate().into_os_string()]
}
