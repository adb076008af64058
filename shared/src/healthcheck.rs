//! `--healthcheck`: a program asks the one that runs with the same settings whether it is ready, and ends with the
//! answer. For container engines, in images that have neither a shell nor an HTTP client.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time;

use crate::serve::reachable;
use crate::settings::complain;

/// For connecting, asking and the answer; what answers at all, answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Room for the head of an answer and a long list of what is wrong.
const ANSWER_MAX: u64 = 8 * 1024;

/// The flag that turns a program's start into a question to the one that runs.
#[derive(Clone, Copy, Debug, Default, Args)]
#[group(skip)]
pub struct HealthcheckSettings {
    /// Asks the program that runs with this ADMIN_LISTEN whether it is ready, and ends: with 0 if it is, else with 1 and
    /// a line that says why
    #[arg(long)]
    pub healthcheck: bool,
}

/// Why a program does not count as healthy.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error("nobody answers at {0}: {1}")]
    Silent(SocketAddr, io::Error),
    #[error("not ready: {0}")]
    NotReady(String),
    #[error("what answers at {0} is no program of ours")]
    Foreign(SocketAddr),
}

/// Asks `GET /readyz` of the program whose operators' listener is `admin`, where `admin` may mean all addresses. Takes two
/// seconds at most.
pub async fn ask(admin: SocketAddr) -> ExitCode {
    match readiness(reachable(admin), PATIENCE).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(unhealthy) => {
            complain(&unhealthy);
            ExitCode::FAILURE
        }
    }
}

async fn readiness(admin: SocketAddr, patience: Duration) -> Result<(), Unhealthy> {
    let answer = time::timeout(patience, exchange(admin)).await;
    let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let answer = answer.map_err(|error| Unhealthy::Silent(admin, error))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(Unhealthy::Foreign(admin))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("503") => Err(Unhealthy::NotReady(body.trim().to_owned())),
        _ => Err(Unhealthy::Foreign(admin)),
    }
}

/// One request over one connection. HTTP/1.0, so that the answer's end is the connection's.
async fn exchange(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(format!("GET /readyz HTTP/1.0\r\nhost: {admin}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::admin::{self, Report};

    async fn asked(report: Report) -> Result<(), Unhealthy> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = admin::router("test", move || report.clone(), Vec::new);
        let server = tokio::spawn(async { axum::serve(listener, router).await });
        let answer = readiness(address, PATIENCE).await;
        server.abort();
        answer
    }

    #[tokio::test]
    async fn ready_is_healthy_whatever_else_is_wrong() {
        asked(Report { ready: true, wrong: vec!["backplane"] }).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_wrong_is_told() {
        let unhealthy = asked(Report { ready: false, wrong: vec!["backplane"] }).await.unwrap_err();
        assert_eq!(unhealthy.to_string(), r#"not ready: {"ready":false,"wrong":["backplane"]}"#);
    }

    #[tokio::test]
    async fn nobody_there_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(readiness(address, PATIENCE).await, Err(Unhealthy::Silent(..))));
    }

    #[tokio::test]
    async fn who_accepts_and_never_answers_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = readiness(listener.local_addr().unwrap(), Duration::from_millis(50)).await;
        assert!(answer.unwrap_err().to_string().contains("timed out"));
    }

    #[tokio::test]
    async fn another_program_on_the_port_is_unhealthy() {
        for answer in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let other = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                // The question is read, for closing before would be a reset.
                let mut question = [0; 1024];
                let _ = stream.read(&mut question).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
            assert!(matches!(readiness(address, PATIENCE).await, Err(Unhealthy::Foreign(_))), "{answer}");
            other.await.unwrap();
        }
    }
}
