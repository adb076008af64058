//! Redis, real and broken on command.

mod cluster;
mod follower;
mod monitor;
mod secured;
mod sentinel;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use shared::settings::Secret;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;

pub use self::cluster::{Migration, RedisCluster};
pub use self::follower::RedisFollower;
pub use self::monitor::RedisMonitor;
pub use self::secured::SecuredRedis;
pub use self::sentinel::RedisSentinel;
use crate::child::Child;
use crate::patience::{until, within};
use crate::relay::{Relay, Target};

/// Whether a server's data survives its death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing survives.
    Memory,
    /// Every write is on disk before it is answered.
    EveryWrite,
}

/// A server on a Unix socket in a directory of its own, behind a relay: no port is ever guessed.
#[derive(Debug)]
pub struct RedisServer {
    directory: TempDir,
    durability: Durability,
    server: Option<Child>,
    relay: Relay,
}

impl RedisServer {
    /// Starts a server that forgets everything when it dies.
    pub async fn start() -> Self {
        let mut server = Self::absent(Durability::Memory).await;
        server.restart().await;
        server
    }

    /// Starts a server whose answered writes survive its death.
    pub async fn start_durable() -> Self {
        let mut server = Self::absent(Durability::EveryWrite).await;
        server.restart().await;
        server
    }

    /// The place of a server that is not there yet: its URL is good, and [`Self::restart`] brings it up.
    pub async fn absent(durability: Durability) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let relay = Relay::to(Target::Unix(socket_in(directory.path()))).await;
        Self { directory, durability, server: None, relay }
    }

    /// Kills the server if it is there, as a crash does, and starts another one on its data.
    pub async fn restart(&mut self) {
        self.kill();
        let directory = self.directory.path();
        let appends = if self.durability == Durability::EveryWrite { "yes" } else { "no" };
        let server = Child::start("redis-server", |command| {
            command.args(["--port", "0", "--save", "", "--appendfsync", "always", "--appendonly", appends]);
            command.arg("--unixsocket").arg(socket_in(directory)).arg("--dir").arg(directory);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        });
        let server = self.server.insert(server);
        let socket = socket_in(directory);
        until("Redis to answer", async || {
            assert!(server.is_running(), "redis-server ended at its start");
            answers(&socket).await
        })
        .await;
    }

    /// Kills the server, as a crash does.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Makes the server hang: its connections stay open, and nothing is answered.
    pub fn pause(&mut self) {
        self.running().signal(Signal::SIGSTOP);
    }

    /// Ends what [`Self::pause`] began.
    pub fn unpause(&mut self) {
        self.running().signal(Signal::SIGCONT);
    }

    fn running(&mut self) -> &mut Child {
        self.server.as_mut().expect("the test started Redis")
    }

    /// The network between the server and whoever uses [`Self::url`].
    #[must_use]
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Another network to the same server, which breaks apart from the first.
    pub async fn another_relay(&self) -> Relay {
        Relay::to(Target::Unix(socket_in(self.directory.path()))).await
    }

    /// The server behind its relay.
    #[must_use]
    pub fn url(&self) -> Secret {
        url_through(&self.relay)
    }

    /// The server itself, which no relay keeps anybody from.
    #[must_use]
    pub fn socket_url(&self) -> Secret {
        Secret::new(format!("redis+unix://{}", socket_in(self.directory.path()).display()))
    }

    /// Asks the server itself, by `redis-cli`, and returns what it prints.
    pub async fn ask(&self, question: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(socket_in(self.directory.path()));
        answer(command, question).await
    }
}

/// A server's URL by way of `relay`.
#[must_use]
pub fn url_through(relay: &Relay) -> Secret {
    Secret::new(format!("redis://{}/", relay.address()))
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("redis.sock")
}

/// Whether a server answers on the socket, and has loaded its data.
async fn answers(socket: &Path) -> bool {
    let ping = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).await?;
        std::io::Result::Ok(reply == *b"+PONG\r\n")
    };
    ping.await.unwrap_or(false)
}

async fn answer(mut command: Command, question: &[&str]) -> String {
    let output = command.args(question).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within("redis-cli", output).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "redis-cli: {text}");
    text.trim_end().to_owned()
}
