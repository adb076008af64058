//! Redis Cluster: three primaries on loopback, and a replica of each where the test wants them.

mod birth;

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use shared::settings::Secret;
use tokio::process::Command;
use tokio::time;

use self::birth::{Birth, PRIMARIES, Plan, SLOTS};
use super::{answer, secured};
use crate::child::Child;
use crate::loopback::address;
use crate::patience::{eventually_within, until};
use crate::relay::{Relay, Target};
use crate::tls::Certificate;

/// What a failover takes at the most: until the primary counts as down, an election, and slow machines.
const FAILOVER: Duration = Duration::from_secs(60);
/// What moving thousands of slots takes at the most.
const RESHARDING: Duration = Duration::from_secs(90);
/// For a node's answer, which a stopped one never gives.
const ANSWER: Duration = Duration::from_secs(2);

/// Three primaries that share the slots.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Child>,
    networks: Vec<Relay>,
    birth: Birth,
}

/// A slot on its way from one primary to another, as `redis-cli --cluster reshard` moves it.
#[derive(Debug)]
pub struct Migration<'c> {
    cluster: &'c RedisCluster,
    slot: String,
    from: u16,
    to: u16,
}

impl RedisCluster {
    /// Starts a cluster without replicas and waits until every node serves.
    pub async fn start() -> Self {
        Self::start_nodes(Plan::default()).await
    }

    /// As [`Self::start`], of servers that have no sharded pub/sub, as before Redis 7.
    pub async fn start_without_sharded_notices() -> Self {
        Self::start_nodes(Plan { lacks_sharded_notices: true, ..Plan::default() }).await
    }

    /// Starts a cluster with a replica of each primary, and waits until a failover would succeed.
    pub async fn start_with_replicas() -> Self {
        let cluster = Self::start_nodes(Plan { has_replicas: true, ..Plan::default() }).await;
        cluster.is_whole().await;
        cluster
    }

    /// As [`Self::start_with_replicas`], with a network before each node, which clients and replicas come through.
    pub async fn start_behind_networks() -> Self {
        let plan = Plan { has_replicas: true, has_networks: true, ..Plan::default() };
        let cluster = Self::start_nodes(plan).await;
        cluster.is_whole().await;
        cluster
    }

    /// Waits until every node serves, and each primary's replica follows it.
    pub async fn is_whole(&self) {
        for node in 0..self.birth.number() {
            eventually_within(FAILOVER, "a node to serve or to follow", async || {
                let serves = self.try_ask(node, &["cluster", "info"]).await.contains("cluster_state:ok");
                let told = self.try_ask(node, &["info", "replication"]).await;
                let has = |what: &str| told.contains(what);
                let follows = has("role:slave") && has("master_link_status:up");
                (serves && (follows || has("connected_slaves:1"))).then_some(())
            })
            .await;
        }
    }

    /// The networks before the nodes, where there are any.
    #[must_use]
    pub fn networks(&self) -> &[Relay] {
        &self.networks
    }

    /// As [`Self::start`], with TLS everywhere and nothing else.
    pub async fn start_secured() -> Self {
        Self::start_nodes(Plan { certificate: Some(secured::certificate()), ..Plan::default() }).await
    }

    async fn start_nodes(plan: Plan) -> Self {
        let has_networks = plan.has_networks;
        let birth = Birth::of(plan);
        let mut networks = Vec::new();
        for node in 0..birth.number() * u16::from(has_networks) {
            let target = Target::Tcp((address(), birth.port(node)).into());
            networks.push(Relay::at((address(), birth.announced(node)).into(), target).await);
        }
        let nodes = (0..birth.number()).map(|node| birth.start(node)).collect();
        let cluster = Self { nodes, networks, birth };
        for node in 0..cluster.birth.number() {
            until("the cluster to serve", async || {
                // The first commands of a node that has only just begun to listen may be refused.
                cluster.try_ask(node, &["cluster", "info"]).await.contains("cluster_state:ok")
            })
            .await;
        }
        cluster
    }

    /// The URL that names every primary.
    #[must_use]
    pub fn url(&self) -> Secret {
        let [first, second, third] =
            [0, 1, 2].map(|node| format!("{}:{}", address(), self.birth.announced(node)));
        let scheme = if self.birth.certificate().is_some() { "rediss" } else { "redis" };
        Secret::new(format!("{scheme}-cluster://{first}?node={second}&node={third}"))
    }

    /// What whoever connects must trust, where TLS is spoken.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.birth.certificate()
    }

    /// Asks the cluster, by `redis-cli`, which finds the node that has the key.
    pub async fn ask(&self, question: &[&str]) -> String {
        let mut command = self.birth.redis_cli(0);
        command.arg("-c");
        answer(command, question).await
    }

    /// Asks every node by itself, and returns all that they print.
    pub async fn ask_each(&self, question: &[&str]) -> String {
        let mut answers = Vec::new();
        for node in 0..self.birth.number() {
            answers.push(answer(self.birth.redis_cli(node), question).await);
        }
        answers.join("\n")
    }

    /// Asks the primary that has `key` by itself, and returns what it prints.
    pub async fn ask_primary_of(&self, key: &str, question: &[&str]) -> String {
        let primary = self.primary_of(&self.slot_of(key).await).await;
        answer(self.birth.redis_cli(primary), question).await
    }

    /// Kills the primary that has `key`, and waits until its replica serves in its place. Returns who died.
    pub async fn fail_over(&mut self, key: &str) -> u16 {
        let (slot, old) = self.slot_and_primary(key).await;
        self.nodes[usize::from(old)].kill();
        self.another_serves(&slot, old).await;
        old
    }

    /// Makes the primary that has `key` hang without closing anything, and waits until its replica serves in its place.
    /// Returns who hangs.
    pub async fn fail_over_by_hanging(&mut self, key: &str) -> u16 {
        let (slot, old) = self.slot_and_primary(key).await;
        self.nodes[usize::from(old)].signal(Signal::SIGSTOP);
        self.another_serves(&slot, old).await;
        old
    }

    /// Makes the primary that has `key` hang. Returns which it is.
    pub async fn pause(&mut self, key: &str) -> u16 {
        let (_, primary) = self.slot_and_primary(key).await;
        self.nodes[usize::from(primary)].signal(Signal::SIGSTOP);
        primary
    }

    /// Ends what [`Self::pause`] or [`Self::stop_replicating`] began.
    pub fn unpause(&mut self, node: u16) {
        self.nodes[usize::from(node)].signal(Signal::SIGCONT);
    }

    /// Has a node that died or hangs go on, and waits until it follows whoever serves in its place.
    pub async fn bring_back(&mut self, node: u16) {
        let child = &mut self.nodes[usize::from(node)];
        child.signal(Signal::SIGCONT);
        if !child.is_running() {
            *child = self.birth.start(node);
        }
        eventually_within(FAILOVER, "a node to follow", async || {
            let follows = self.try_ask(node, &["info", "replication"]).await;
            (follows.contains("role:slave") && follows.contains("master_link_status:up")).then_some(())
        })
        .await;
    }

    /// Keeps from the replica that follows the primary of `key` what is written from now on, until it goes on. Returns which it
    /// is.
    pub async fn stop_replicating(&mut self, key: &str) -> u16 {
        let (_, primary) = self.slot_and_primary(key).await;
        let replica = if primary < PRIMARIES { primary + PRIMARIES } else { primary - PRIMARIES };
        self.nodes[usize::from(replica)].signal(Signal::SIGSTOP);
        assert_eq!(answer(self.birth.redis_cli(primary), &["client", "kill", "type", "replica"]).await, "1");
        replica
    }

    /// Keeps from the replica of the primary that has `key` what is written for so long, kills that primary, and waits until the
    /// replica serves in its place. Returns who died.
    pub async fn fail_over_to_the_past(&mut self, key: &str, behind: Duration) -> u16 {
        let (slot, old) = self.slot_and_primary(key).await;
        let replica = if old < PRIMARIES { old + PRIMARIES } else { old - PRIMARIES };
        self.nodes[usize::from(replica)].signal(Signal::SIGSTOP);
        self.try_ask(old, &["client", "kill", "type", "replica"]).await;
        time::sleep(behind).await;
        self.nodes[usize::from(old)].kill();
        self.nodes[usize::from(replica)].signal(Signal::SIGCONT);
        self.another_serves(&slot, old).await;
        old
    }

    /// Lets the primary that has `key` and its replica change places, as before maintenance. Nothing ends.
    pub async fn change_places(&self, key: &str) {
        let (slot, old) = self.slot_and_primary(key).await;
        let replica = if old < PRIMARIES { old + PRIMARIES } else { old - PRIMARIES };
        assert_eq!(answer(self.birth.redis_cli(replica), &["cluster", "failover"]).await, "OK");
        self.another_serves(&slot, old).await;
    }

    /// Begins to move the slot of `key` to another primary; its keys stay where they are.
    pub async fn begin_to_migrate(&self, key: &str) -> Migration<'_> {
        let (slot, from) = self.slot_and_primary(key).await;
        let to = (from + 1) % PRIMARIES;
        let (from_name, to_name) = (self.name(from).await, self.name(to).await);
        let set = async |node: u16, what: &[&str]| {
            let question = [&["cluster", "setslot", &slot], what].concat();
            assert_eq!(answer(self.birth.redis_cli(node), &question).await, "OK");
        };
        set(to, &["importing", &from_name]).await;
        set(from, &["migrating", &to_name]).await;
        Migration { cluster: self, slot, from, to }
    }

    /// Moves the slot of `key` to another primary, and all that is in it.
    pub async fn migrate(&self, key: &str) {
        let migration = self.begin_to_migrate(key).await;
        migration.end().await;
    }

    /// Has the primary of `key`, in whose slot there are no keys, believe for a moment that another has the slot: it ends the
    /// sharded subscriptions there.
    pub async fn give_away_for_a_moment(&self, key: &str) {
        let (slot, primary) = self.slot_and_primary(key).await;
        let (itself, another) = (self.name(primary).await, self.name((primary + 1) % PRIMARIES).await);
        for name in [another, itself] {
            let question = ["cluster", "setslot", &slot, "node", &name];
            assert_eq!(answer(self.birth.redis_cli(primary), &question).await, "OK");
        }
    }

    /// Moves all slots of the primary that has `key` to another one, one by one: nobody has a reason to ask it any more.
    pub async fn empty_the_primary_of(&self, key: &str) {
        let (_, from) = self.slot_and_primary(key).await;
        let to = (from + 1) % PRIMARIES;
        let (from_at, to_at) = (self.name(from).await, self.name(to).await);
        let mut command = Command::new("redis-cli");
        let slots = (SLOTS / PRIMARIES + 1).to_string();
        command.args(["--cluster", "reshard", &format!("{}:{}", address(), self.birth.port(0))]);
        command.args(["--cluster-from", &from_at, "--cluster-to", &to_at, "--cluster-slots", &slots]);
        let output = tokio::time::timeout(
            RESHARDING,
            command.arg("--cluster-yes").stdin(Stdio::null()).kill_on_drop(true).output(),
        );
        let output = output.await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    async fn slot_of(&self, key: &str) -> String {
        let mut answered = String::new();
        for node in 0..self.birth.number() {
            answered = self.try_ask(node, &["cluster", "keyslot", key]).await;
            if !answered.is_empty() {
                break;
            }
        }
        answered.trim().to_owned()
    }

    async fn slot_and_primary(&self, key: &str) -> (String, u16) {
        let slot = self.slot_of(key).await;
        let primary = self.primary_of(&slot).await;
        (slot, primary)
    }

    /// The node that says of itself that it serves `slot`.
    async fn primary_of(&self, slot: &str) -> u16 {
        eventually_within(FAILOVER, "a primary to have the slot", async || {
            for node in 0..self.birth.number() {
                if self.has(node, slot).await {
                    return Some(node);
                }
            }
            None
        })
        .await
    }

    async fn another_serves(&self, slot: &str, old: u16) {
        eventually_within(FAILOVER, "another primary to serve", async || {
            for node in 0..self.birth.number() {
                if node != old && self.has(node, slot).await {
                    let info = self.try_ask(node, &["cluster", "info"]).await;
                    return info.contains("cluster_state:ok").then_some(());
                }
            }
            None
        })
        .await;
    }

    async fn has(&self, node: u16, slot: &str) -> bool {
        let slot: u16 = slot.parse().unwrap();
        let known = self.try_ask(node, &["cluster", "nodes"]).await;
        let Some(myself) = known.lines().find(|line| line.contains("myself,master")) else { return false };
        myself.split(' ').skip(8).filter(|slots| !slots.starts_with('[')).any(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            (first.parse().unwrap()..=last.parse().unwrap()).contains(&slot)
        })
    }

    async fn name(&self, node: u16) -> String {
        answer(self.birth.redis_cli(node), &["cluster", "myid"]).await
    }

    async fn try_ask(&self, node: u16, question: &[&str]) -> String {
        let output = tokio::time::timeout(ANSWER, self.birth.redis_cli(node).args(question).output()).await;
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.unwrap().stdout).into_owned(),
        )
    }
}

impl Migration<'_> {
    /// Moves one key.
    pub async fn move_key(&self, key: &str) {
        let port = (self.cluster.birth.port(self.to)).to_string();
        let question = ["migrate", &address().to_string(), &port, key, "0", "5000"];
        let answered = answer(self.cluster.birth.redis_cli(self.from), &question).await;
        assert!(["OK", "NOKEY"].contains(&answered.as_str()), "{answered}");
    }

    /// Moves the keys that are left, and has everybody know where the slot is now.
    pub async fn end(self) {
        let keys = answer(
            self.cluster.birth.redis_cli(self.from),
            &["cluster", "getkeysinslot", &self.slot, "1000"],
        )
        .await;
        for key in keys.lines().filter(|key| !key.is_empty()) {
            self.move_key(key).await;
        }
        let to = self.cluster.name(self.to).await;
        let others = (0..PRIMARIES).filter(|node| *node != self.to);
        for node in std::iter::once(self.to).chain(others) {
            let question = ["cluster", "setslot", &self.slot, "node", &to];
            assert_eq!(answer(self.cluster.birth.redis_cli(node), &question).await, "OK");
        }
    }
}
