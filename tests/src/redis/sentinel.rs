//! A primary, a replica, and three Sentinels that watch over them, on loopback.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use shared::settings::Secret;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time;

use super::answer;
use crate::child::Child;
use crate::loopback::{self, address};
use crate::patience::{LOOK_EVERY, until, within_time};
use crate::relay::{Relay, Target};

const SENTINELS: u16 = 3;
const NAME: &str = "mymaster";
/// What a failover takes at the most: a second until the primary counts as down, an election, and slow machines.
const FAILOVER: std::time::Duration = std::time::Duration::from_secs(60);

/// For a server's answer.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(2);

/// Two servers, one of which is the primary at a time.
#[derive(Debug)]
pub struct RedisSentinel {
    ports: Ports,
    servers: [Child; 2],
    networks: Vec<Relay>,
    _sentinels: Vec<Child>,
    _directory: TempDir,
}

/// Where the servers are: the first two are the Redis servers, the others the Sentinels.
#[derive(Clone, Copy, Debug)]
struct Ports {
    first: u16,
    /// What everybody is told of the Redis servers, which is where the networks before them listen.
    announced: u16,
}

impl RedisSentinel {
    /// Starts everything, and waits until a failover would succeed.
    pub async fn start() -> Self {
        let first = loopback::ports(2 + SENTINELS);
        Self::start_at(Ports { first, announced: first }, Vec::new()).await
    }

    /// As [`Self::start`], with a network before each of the two servers, which all come through: clients, Sentinels, and
    /// the other server.
    pub async fn start_behind_networks() -> Self {
        let ports = Ports { first: loopback::ports(2 + SENTINELS), announced: loopback::ports(2) };
        let mut networks = Vec::new();
        for server in 0..2 {
            let target = Target::Tcp((address(), ports.first + server).into());
            networks.push(Relay::at((address(), ports.announced + server).into(), target).await);
        }
        Self::start_at(ports, networks).await
    }

    async fn start_at(ports: Ports, networks: Vec<Relay>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for server in 0..2 {
            std::fs::create_dir(ports.directory(server, directory.path())).unwrap();
        }
        let servers = [(0, None), (1, Some(0))].map(|(server, of)| ports.start(server, of, directory.path()));
        let stack = Self { ports, servers, networks, _sentinels: Vec::new(), _directory: directory };
        until("the replica to follow", async || stack.follows(1).await).await;
        let sentinels =
            (0..SENTINELS).map(|number| start_sentinel(number, ports, stack._directory.path())).collect();
        let stack = Self { _sentinels: sentinels, ..stack };
        stack.is_whole().await;
        stack
    }

    /// Waits until a failover would succeed.
    pub async fn is_whole(&self) {
        within_time(FAILOVER, "the Sentinels to know each other, and the replica to follow", async {
            while !self.is_complete().await || !self.follows(1 - self.primary().await).await {
                time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
    }

    async fn follows(&self, server: usize) -> bool {
        let told = self.try_ask(u16::try_from(server).unwrap(), &["info", "replication"]).await;
        told.contains("role:slave") && told.contains("master_link_status:up")
    }

    /// The networks before the two servers, where there are any.
    #[must_use]
    pub fn networks(&self) -> &[Relay] {
        &self.networks
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
            [2, 3, 4].map(|number| format!("{}:{}", address(), self.ports.first + number));
        Secret::new(format!(
            "redis-sentinel://{first}/0?sentinelServiceName={NAME}&node={second}&node={third}"
        ))
    }

    /// Which of the two servers the first Sentinel takes for the primary.
    pub async fn primary(&self) -> usize {
        let told = self.try_ask(2, &["sentinel", "get-master-addr-by-name", NAME]).await;
        usize::from(told.lines().nth(1) != Some(&self.ports.announced.to_string()))
    }

    /// Kills the primary, and waits until the other server is it.
    pub async fn fail_over(&mut self) {
        let old = self.primary().await;
        self.servers[old].kill();
        self.is_primary(1 - old).await;
    }

    /// Makes the primary hang without closing anything, and waits until the other server is it.
    pub async fn fail_over_by_hanging(&mut self) {
        let old = self.pause().await;
        self.is_primary(1 - old).await;
    }

    /// Has the two servers change places, as before maintenance. Nothing ends.
    pub async fn change_places(&self) {
        let old = self.primary().await;
        let asked = answer(self.redis_cli(2), &["sentinel", "failover", NAME]).await;
        assert_eq!(asked, "OK");
        self.is_primary(1 - old).await;
    }

    /// Makes the primary hang, for less time than a failover takes to begin. Returns which it is.
    pub async fn pause(&mut self) -> usize {
        let primary = self.primary().await;
        self.servers[primary].signal(Signal::SIGSTOP);
        primary
    }

    /// Has whoever died or hangs go on, and waits until the server that isn't the primary follows the one that is.
    pub async fn bring_back(&mut self) {
        let primary = self.primary().await;
        let ports = self.ports;
        for (number, server) in (0..).zip(&mut self.servers) {
            server.signal(Signal::SIGCONT);
            if !server.is_running() {
                *server = ports.start(number, Some(primary), self._directory.path());
            }
        }
        self.is_whole().await;
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

    /// The replica has all that was written so far, and acknowledges nothing more; its connection stays.
    pub async fn hold_replication(&mut self) {
        self.replica_has_all().await;
        let replica = 1 - self.primary().await;
        self.servers[replica].signal(Signal::SIGSTOP);
    }

    /// Keeps from the replica what is written from about now on.
    pub async fn fall_behind(&mut self) {
        let primary = self.primary().await;
        self.servers[1 - primary].signal(Signal::SIGSTOP);
        self.try_ask(u16::try_from(primary).unwrap(), &["client", "kill", "type", "replica"]).await;
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
                time::sleep(LOOK_EVERY).await;
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
        let port = (self.ports.first + number).to_string();
        command.args(["-h", &address().to_string(), "-p", &port]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl Ports {
    fn directory(self, server: u16, directory: &Path) -> PathBuf {
        directory.join((self.first + server).to_string())
    }

    /// Starts a Redis server, for the first time or again.
    fn start(self, server: u16, follows: Option<usize>, directory: &Path) -> Child {
        let (ip, port, known) = (address().to_string(), self.first + server, self.announced + server);
        Child::start("redis-server", |command| {
            command.args(["--bind", &ip, "--protected-mode", "no", "--port", &port.to_string()]);
            command.args(["--bind-source-addr", &ip, "--save", "", "--appendonly", "no"]);
            command.args(["--repl-diskless-sync-delay", "0", "--replica-announce-ip", &ip]);
            command.args(["--replica-announce-port", &known.to_string()]);
            if let Some(primary) = follows {
                let primary = self.announced + u16::try_from(primary).unwrap();
                command.args(["--replicaof", &ip, &primary.to_string()]);
            }
            command.arg("--dir").arg(self.directory(server, directory));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        })
    }
}

fn start_sentinel(number: u16, ports: Ports, directory: &Path) -> Child {
    let (ip, port, primary) = (address(), ports.first + 2 + number, ports.announced);
    let file = directory.join(format!("sentinel-{number}.conf"));
    let settings = format!(
        "port {port}\nbind {ip}\nbind-source-addr {ip}\nprotected-mode no\nsentinel announce-ip {ip}\n\
         sentinel monitor {NAME} {ip} {primary} 2\nsentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 6000\n"
    );
    std::fs::write(&file, settings).unwrap();
    Child::start("redis-server", |command| {
        command.arg(&file).arg("--sentinel").arg("--dir").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    })
}
