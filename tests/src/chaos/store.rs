//! Redis of three kinds, broken in the same words.

use std::time::Duration;

use tokio::time;

use super::schedule::RedisFault;
use crate::redis::{RedisCluster, RedisSentinel, RedisServer};
use crate::relay::Relay;

/// Redis, and the networks that lead to it.
#[derive(Debug)]
pub enum Store {
    /// One server, with a network for each program.
    Single {
        /// The server.
        server: RedisServer,
        /// By program, gateways first.
        networks: Vec<Relay>,
    },
    /// With a network before each of the two servers.
    Sentinel(RedisSentinel),
    /// With a network before each node.
    Cluster(RedisCluster),
}

impl Store {
    /// One of the networks.
    #[must_use]
    pub fn network(&self, number: usize) -> Option<&Relay> {
        match self {
            Self::Single { networks, .. } => networks.get(number),
            Self::Sentinel(sentinel) => sentinel.networks().get(number),
            Self::Cluster(cluster) => cluster.networks().get(number),
        }
    }

    /// Breaks it for `time`, and returns when it is whole again.
    pub async fn suffer(&mut self, fault: RedisFault, lasting: Duration) {
        match self {
            Self::Single { server, .. } => single(server, fault, lasting).await,
            Self::Sentinel(sentinel) => sentinel_suffers(sentinel, fault, lasting).await,
            Self::Cluster(cluster) => cluster_suffers(cluster, fault, lasting).await,
        }
    }

    /// Waits until a failover would succeed, where there can be one.
    pub async fn is_whole(&self) {
        match self {
            Self::Single { .. } => {}
            Self::Sentinel(sentinel) => sentinel.is_whole().await,
            Self::Cluster(cluster) => cluster.is_whole().await,
        }
    }
}

fn dropped(fault: RedisFault) -> [&'static str; 4] {
    let of = if fault == RedisFault::DropSubscriptions { "pubsub" } else { "normal" };
    ["client", "kill", "type", of]
}

async fn single(server: &mut RedisServer, fault: RedisFault, lasting: Duration) {
    match fault {
        RedisFault::Restart => {
            server.kill();
            time::sleep(lasting).await;
            server.restart().await;
        }
        RedisFault::Hang(_) => {
            server.pause();
            time::sleep(lasting).await;
            server.unpause();
        }
        _ => drop(server.ask(&dropped(fault)).await),
    }
}

async fn sentinel_suffers(sentinel: &mut RedisSentinel, fault: RedisFault, lasting: Duration) {
    match fault {
        RedisFault::Hang(_) => {
            sentinel.pause().await;
            time::sleep(lasting).await;
        }
        RedisFault::FailOver(_) | RedisFault::Restart => {
            sentinel.fail_over().await;
            time::sleep(lasting).await;
        }
        RedisFault::FailOverByHanging(_) => {
            sentinel.fail_over_by_hanging().await;
            time::sleep(lasting).await;
        }
        RedisFault::FailOverToThePast(_) => {
            sentinel.fall_behind().await;
            time::sleep(lasting).await;
            sentinel.fail_over_to_the_past().await;
        }
        RedisFault::ChangePlaces(_) => sentinel.change_places().await,
        _ => drop(sentinel.ask(&dropped(fault)).await),
    }
    sentinel.bring_back().await;
}

async fn cluster_suffers(cluster: &mut RedisCluster, fault: RedisFault, lasting: Duration) {
    let node = match fault {
        RedisFault::Hang(who) => {
            let node = cluster.pause(&who.to_string()).await;
            time::sleep(lasting).await;
            cluster.unpause(node);
            None
        }
        RedisFault::FailOver(who) => Some(cluster.fail_over(&who.to_string()).await),
        RedisFault::FailOverByHanging(who) => Some(cluster.fail_over_by_hanging(&who.to_string()).await),
        RedisFault::FailOverToThePast(who) => {
            Some(cluster.fail_over_to_the_past(&who.to_string(), lasting).await)
        }
        RedisFault::ChangePlaces(who) => {
            cluster.change_places(&who.to_string()).await;
            None
        }
        _ => {
            cluster.ask_each(&dropped(fault)).await;
            None
        }
    };
    if let Some(node) = node {
        time::sleep(lasting).await;
        cluster.bring_back(node).await;
    }
    cluster.is_whole().await;
}
