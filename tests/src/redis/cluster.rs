//! Redis Cluster: three primaries on loopback.

use std::path::Path;
use std::process::Stdio;

use shared::settings::Secret;
use tempfile::TempDir;
use tokio::process::Command;

use super::answer;
use crate::child::Child;
use crate::loopback::{self, address};
use crate::patience::until;

const NODES: u16 = 3;
const SLOTS: u16 = 16_384;

/// Three primaries that share the slots.
#[derive(Debug)]
pub struct RedisCluster {
    first_port: u16,
    _nodes: Vec<Child>,
    _directory: TempDir,
}

impl RedisCluster {
    /// Starts a cluster and waits until every node serves.
    ///
    /// The nodes are born knowing each other, which saves the seconds of a meeting.
    pub async fn start() -> Self {
        let first_port = loopback::ports(2 * NODES);
        let directory = tempfile::tempdir().unwrap();
        let nodes = (0..NODES).map(|node| start_node(node, first_port, directory.path())).collect();
        let cluster = Self { first_port, _nodes: nodes, _directory: directory };
        for node in 0..NODES {
            until("the cluster to serve", async || {
                // The first commands of a node that has only just begun to listen may be refused.
                cluster.try_ask(node, &["cluster", "info"]).await.contains("cluster_state:ok")
            })
            .await;
        }
        cluster
    }

    /// The URL that names every node.
    #[must_use]
    pub fn url(&self) -> Secret {
        let [first, second, third] =
            [0, 1, 2].map(|node| format!("{}:{}", address(), self.first_port + node));
        Secret::new(format!("redis-cluster://{first}?node={second}&node={third}"))
    }

    /// Asks the cluster, by `redis-cli`, which finds the node that has the key.
    pub async fn ask(&self, question: &[&str]) -> String {
        let mut command = self.redis_cli(0);
        command.arg("-c");
        answer(command, question).await
    }

    /// Asks every node by itself, and returns all that they print.
    pub async fn ask_each(&self, question: &[&str]) -> String {
        let mut answers = Vec::new();
        for node in 0..NODES {
            answers.push(answer(self.redis_cli(node), question).await);
        }
        answers.join("\n")
    }

    async fn try_ask(&self, node: u16, question: &[&str]) -> String {
        let output = self.redis_cli(node).args(question).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn redis_cli(&self, node: u16) -> Command {
        let mut command = Command::new("redis-cli");
        let port = (self.first_port + node).to_string();
        command.args(["-h", &address().to_string(), "-p", &port]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn start_node(node: u16, first_port: u16, directory: &Path) -> Child {
    let known = format!("nodes-{node}.conf");
    std::fs::write(directory.join(&known), everybody(node, first_port)).unwrap();
    let port = first_port + node;
    Child::start("redis-server", |command| {
        command.args(["--bind", &address().to_string(), "--protected-mode", "no"]);
        // Else the nodes would call each other 127.0.0.1, where their packets seem to come from.
        command.args(["--bind-source-addr", &address().to_string()]);
        command.args(["--cluster-announce-ip", &address().to_string()]);
        command.args(["--port", &port.to_string(), "--cluster-port", &bus(port).to_string()]);
        command.args(["--cluster-enabled", "yes", "--cluster-config-file", &known]);
        command.args(["--cluster-node-timeout", "5000", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    })
}

/// The port of the bus of the node that listens on `port`.
fn bus(port: u16) -> u16 {
    port + NODES
}

/// What `node` knows at its birth, in the form in which a node remembers it.
fn everybody(node: u16, first_port: u16) -> String {
    let line = |each: u16| {
        let (port, epoch) = (first_port + each, each + 1);
        let (first_slot, last_slot) = (
            SLOTS / NODES * each,
            if each + 1 == NODES { SLOTS - 1 } else { SLOTS / NODES * (each + 1) - 1 },
        );
        let flags = if each == node { "myself,master" } else { "master" };
        let at = format!("{}:{port}@{}", address(), bus(port));
        format!("{epoch:040x} {at} {flags} - 0 0 {epoch} connected {first_slot}-{last_slot}\n")
    };
    let lines: String = (0..NODES).map(line).collect();
    format!("{lines}vars currentEpoch {NODES} lastVoteEpoch 0\n")
}
