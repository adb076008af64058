//! A primary, a replica, and three Sentinels that watch over them, on loopback.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use shared::settings::Secret;
use tempfile::TempDir;
use tokio::process::Command;

use super::answer;
use crate::child::Child;
use crate::loopback::{self, address};
use crate::patience::{until, within_time};

const SENTINELS: u16 = 3;
const NAME: &str = "mymaster";
/// What a failover takes at the most: a second until the primary counts as down, an election, and slow machines.
const FAILOVER: std::time::Duration = std::time::Duration::from_secs(30);

/// For a server's answer.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(2);

/// Two servers, one of which is the primary at a time.
#[derive(Debug)]
pub struct RedisSentinel {
    first_port: u16,
    servers: [Child; 2],
    _sentinels: Vec<Child>,
    _directory: TempDir,
}

impl RedisSentinel {
    /// Starts everything, and waits until a failover would succeed.
    pub async fn start() -> Self {
        let first_port = loopback::ports(2 + SENTINELS);
        let directory = tempfile::tempdir().unwrap();
        let primary = start_server(first_port, None, directory.path());
        let replica = start_server(first_port + 1, Some(first_port), directory.path());
        let stack =
            Self { first_port, servers: [primary, replica], _sentinels: Vec::new(), _directory: directory };
        until("the replica to follow", async || {
            stack.try_ask(1, &["info", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        let sentinels = (0..SENTINELS)
            .map(|number| start_sentinel(number, first_port, stack._directory.path()))
            .collect();
        let stack = Self { _sentinels: sentinels, ..stack };
        within_time(FAILOVER, "the Sentinels to know each other", async {
            while !stack.is_complete().await {
                tokio::task::yield_now().await;
            }
        })
        .await;
        stack
    }

    async fn is_complete(&self) -> bool {
        for sentinel in 2..2 + SENTINELS {
            let known = self.try_ask(sentinel, &["sentinel", "master", NAME]).await;
            let lines: Vec<&str> = known.lines().collect();
            let is = |what: &str, value: &str| lines.windows(2).any(|pair| pair == [what, value]);
            if !(is("num-other-sentinels", "2") && is("num-slaves", "1") && is("flags", "master")) {
                return false;
            }
        }
        true
    }

    /// The URL that names every Sentinel.
    #[must_use]
    pub fn url(&self) -> Secret {
        let [first, second, third] =
            [2, 3, 4].map(|number| format!("{}:{}", address(), self.first_port + number));
        Secret::new(format!(
            "redis-sentinel://{first}/0?sentinelServiceName={NAME}&node={second}&node={third}"
        ))
    }

    /// Which of the two servers the first Sentinel takes for the primary.
    pub async fn primary(&self) -> usize {
        let told = self.try_ask(2, &["sentinel", "get-master-addr-by-name", NAME]).await;
        usize::from(told.lines().nth(1) != Some(&self.first_port.to_string()))
    }

    /// Kills the primary, and waits until the other server is it.
    pub async fn fail_over(&mut self) {
        let old = self.primary().await;
        self.servers[old].kill();
        self.is_primary(1 - old).await;
    }

    /// Makes the primary hang without closing anything, and waits until the other server is it.
    pub async fn fail_over_by_hanging(&mut self) {
        let old = self.primary().await;
        self.servers[old].signal(Signal::SIGSTOP);
        self.is_primary(1 - old).await;
    }

    /// Waits until the replica has all that the primary has written.
    async fn replica_has_all(&self) {
        let offset = async |server: usize, name: &str| {
            let told = self.try_ask(u16::try_from(server).unwrap(), &["info", "replication"]).await;
            told.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let primary = self.primary().await;
        until("the replica to be as far as the primary", async || {
            let written = offset(primary, "master_repl_offset:").await;
            written.is_some() && written == offset(1 - primary, "slave_repl_offset:").await
        })
        .await;
    }

    /// Keeps what the primary writes from the replica, as a broken link does: what is answered from now on is lost at the
    /// next failover.
    pub async fn stop_replicating(&mut self) {
        self.replica_has_all().await;
        let replica = 1 - self.primary().await;
        self.servers[replica].signal(Signal::SIGSTOP);
        // A stopped process still reads, when it goes on, what its connection has received.
        assert_eq!(self.ask(&["client", "kill", "type", "replica"]).await, "1");
    }

    /// Kills the primary, lets the replica go on without what it missed, and waits until it is the primary.
    pub async fn fail_over_to_the_past(&mut self) {
        let old = self.primary().await;
        self.servers[old].kill();
        self.servers[1 - old].signal(Signal::SIGCONT);
        self.is_primary(1 - old).await;
    }

    async fn is_primary(&self, server: usize) {
        let number = u16::try_from(server).unwrap();
        within_time(FAILOVER, "a failover", async {
            while self.primary().await != server
                || !self.try_ask(number, &["info", "replication"]).await.contains("role:master")
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Asks the present primary, by `redis-cli`.
    pub async fn ask(&self, question: &[&str]) -> String {
        answer(self.redis_cli(u16::try_from(self.primary().await).unwrap()), question).await
    }

    async fn try_ask(&self, number: u16, question: &[&str]) -> String {
        // A server that hangs answers nothing.
        let output = tokio::time::timeout(ANSWER, self.redis_cli(number).args(question).output()).await;
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.unwrap().stdout).into_owned(),
        )
    }

    fn redis_cli(&self, number: u16) -> Command {
        let mut command = Command::new("redis-cli");
        let port = (self.first_port + number).to_string();
        command.args(["-h", &address().to_string(), "-p", &port]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn start_server(port: u16, follows: Option<u16>, directory: &Path) -> Child {
    let directory = directory.join(port.to_string());
    std::fs::create_dir(&directory).unwrap();
    Child::start("redis-server", |command| {
        command.args([
            "--bind",
            &address().to_string(),
            "--protected-mode",
            "no",
            "--port",
            &port.to_string(),
        ]);
        command.args(["--bind-source-addr", &address().to_string(), "--save", "", "--appendonly", "no"]);
        command.args(["--repl-diskless-sync-delay", "0", "--replica-announce-ip", &address().to_string()]);
        if let Some(primary) = follows {
            command.args(["--replicaof", &address().to_string(), &primary.to_string()]);
        }
        command.arg("--dir").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    })
}

fn start_sentinel(number: u16, first_port: u16, directory: &Path) -> Child {
    let (ip, port) = (address(), first_port + 2 + number);
    let file = directory.join(format!("sentinel-{number}.conf"));
    let settings = format!(
        "port {port}\nbind {ip}\nbind-source-addr {ip}\nprotected-mode no\nsentinel announce-ip {ip}\n\
         sentinel monitor {NAME} {ip} {first_port} 2\nsentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 6000\n"
    );
    std::fs::write(&file, settings).unwrap();
    Child::start("redis-server", |command| {
        command.arg(&file).arg("--sentinel").arg("--dir").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    })
}
