//! A replica of a server, with a network of its own in between.

use super::RedisServer;
use crate::patience::until;
use crate::relay::Relay;

/// A server that has what another one has.
#[derive(Debug)]
pub struct RedisFollower {
    server: RedisServer,
    _link: Relay,
}

impl RedisFollower {
    /// Starts a replica of `primary`, and waits until it has everything.
    pub async fn of(primary: &RedisServer) -> Self {
        let (server, link) = (RedisServer::start().await, primary.another_relay().await);
        assert_eq!(primary.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).await, "OK");
        let (host, port) = (link.address().ip().to_string(), link.address().port().to_string());
        assert_eq!(server.ask(&["REPLICAOF", &host, &port]).await, "OK");
        let follower = Self { server, _link: link };
        follower.has_all_of(primary).await;
        follower
    }

    /// Waits until it has said that it has what `primary` has written by now.
    pub async fn has_all_of(&self, primary: &RedisServer) {
        let told = async || primary.ask(&["INFO", "replication"]).await;
        let number = |text: &str, after: &str| {
            let digits = text.split_once(after)?.1.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<u64>().ok()
        };
        let written = number(&told().await, "master_repl_offset:").unwrap();
        until("the replica to have everything", async || {
            let told = told().await;
            told.contains("state=online") && number(&told, ",offset=").is_some_and(|has| has >= written)
        })
        .await;
    }

    /// Makes it hang: it acknowledges nothing any more.
    pub fn pause(&mut self) {
        self.server.pause();
    }

    /// Ends what [`Self::pause`] began.
    pub fn unpause(&mut self) {
        self.server.unpause();
    }
}
