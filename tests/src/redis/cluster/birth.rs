//! How the nodes of a cluster come into the world.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::child::Child;
use crate::loopback::{self, address};
use crate::redis::secured;
use crate::tls::Certificate;

pub(super) const PRIMARIES: u16 = 3;
pub(super) const SLOTS: u16 = 16_384;

/// What a cluster is made of.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) has_replicas: bool,
    /// As before Redis 7.
    pub(super) lacks_sharded_notices: bool,
    /// Before each node is a network that all come through who ask for its data.
    pub(super) has_networks: bool,
    /// All speak TLS, among each other as well.
    pub(super) certificate: Option<Certificate>,
}

/// Where the nodes are, and what they are born with.
#[derive(Debug)]
pub(super) struct Birth {
    plan: Plan,
    first_port: u16,
    directory: TempDir,
}

impl Birth {
    /// Writes down for every node what it knows of the others, which saves the seconds of a meeting.
    pub(super) fn of(plan: Plan) -> Self {
        let number = if plan.has_replicas { 2 * PRIMARIES } else { PRIMARIES };
        let (first_port, directory) = (loopback::ports(3 * number), tempfile::tempdir().unwrap());
        let birth = Self { plan, first_port, directory };
        for node in 0..number {
            let known = birth.directory.path().join(format!("nodes-{node}.conf"));
            std::fs::write(known, birth.everybody(node)).unwrap();
        }
        birth
    }

    /// How many nodes there are.
    pub(super) fn number(&self) -> u16 {
        if self.plan.has_replicas { 2 * PRIMARIES } else { PRIMARIES }
    }

    pub(super) fn port(&self, node: u16) -> u16 {
        self.first_port + node
    }

    /// Where the others and the clients are told that it is.
    pub(super) fn announced(&self, node: u16) -> u16 {
        if self.plan.has_networks { self.port(node) + 2 * self.number() } else { self.port(node) }
    }

    fn bus(&self, node: u16) -> u16 {
        self.port(node) + self.number()
    }

    /// The certificate that all have, if they have one.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.plan.certificate.as_ref()
    }

    /// Starts a node, for the first time or again.
    pub(super) fn start(&self, node: u16) -> Child {
        let (port, ip) = (self.port(node).to_string(), address().to_string());
        Child::start("redis-server", |command| {
            command.args(["--bind", &ip, "--protected-mode", "no"]);
            // Else the nodes would call each other 127.0.0.1, where their packets seem to come from.
            command.args(["--bind-source-addr", &ip, "--cluster-announce-ip", &ip]);
            command.args(["--cluster-port", &self.bus(node).to_string(), "--cluster-enabled", "yes"]);
            match self.certificate() {
                None => command.args(["--port", &port]),
                Some(certificate) => {
                    command.args(["--port", "0", "--tls-port", &port, "--tls-cluster", "yes"]);
                    command.args(secured::server_arguments(certificate))
                }
            };
            if self.plan.has_networks {
                command.args(["--cluster-announce-port", &self.announced(node).to_string()]);
                command.args(["--cluster-announce-bus-port", &self.bus(node).to_string()]);
            }
            // A failover begins after it; where nothing fails over, a busy machine must not look like a failure.
            let timeout = if self.plan.has_replicas { "1500" } else { "5000" };
            command.args(["--cluster-node-timeout", timeout, "--cluster-replica-validity-factor", "0"]);
            command.args(["--repl-diskless-sync-delay", "0", "--save", "", "--appendonly", "no"]);
            if self.plan.lacks_sharded_notices {
                for name in ["spublish", "ssubscribe", "sunsubscribe"] {
                    command.args(["--rename-command", name, ""]);
                }
            }
            command.args(["--cluster-config-file", &format!("nodes-{node}.conf")]);
            command.args(["--dbfilename", &format!("{node}.rdb")]).arg("--dir").arg(self.directory.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        })
    }

    /// `redis-cli` that asks this node.
    pub(super) fn redis_cli(&self, node: u16) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-h", &address().to_string(), "-p", &self.port(node).to_string()]);
        if let Some(certificate) = self.certificate() {
            command.args(secured::client_arguments(certificate));
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What `node` knows at its birth, in the form in which a node remembers it.
    fn everybody(&self, node: u16) -> String {
        let line = |each: u16| {
            let (name, myself) = (each + 1, if each == node { "myself," } else { "" });
            let at = format!("{}:{}@{}", address(), self.announced(each), self.bus(each));
            if each >= PRIMARIES {
                let primary = name - PRIMARIES;
                return format!("{name:040x} {at} {myself}slave {primary:040x} 0 0 {primary} connected\n");
            }
            let share = SLOTS / PRIMARIES;
            let (first, last) =
                (share * each, if each + 1 == PRIMARIES { SLOTS - 1 } else { share * (each + 1) - 1 });
            format!("{name:040x} {at} {myself}master - 0 0 {name} connected {first}-{last}\n")
        };
        let lines: String = (0..self.number()).map(line).collect();
        format!("{lines}vars currentEpoch {PRIMARIES} lastVoteEpoch 0\n")
    }
}
