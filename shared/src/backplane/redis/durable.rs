//! Moves that are answered only when replicas have them too, so that a failover cannot take them back.

use std::num::NonZeroU8;

use fred::interfaces::ClientLike;
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand, FromValue, Value};
use fred::util::redis_keyslot;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::scripts::{MOVE_TIMEOUT, SETTLE_TIMEOUT, late, read};
use super::settling::settled;
use super::{COMMAND_EVENTS, MalformedUrl};
use crate::backplane::Error;
use crate::settings::Secret;

/// How long the primary waits for its replicas, in milliseconds. A script that the server does not know yet is waited for
/// twice within the time of a move.
pub(super) const WAIT_MS: u32 = 500;

/// A connection of its own, for WAIT keeps all that come behind it waiting.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    connection: Connection,
    replicas: NonZeroU8,
}

impl Durable {
    /// Begins to connect, for moves that `replicas` must have.
    pub(super) fn open(
        url: &Secret,
        replicas: NonZeroU8,
        tasks: &CancellationToken,
    ) -> Result<Self, MalformedUrl> {
        // One attempt: WAIT speaks of what its own connection has written, so it must never be said on another.
        Ok(Self { connection: Connection::open(url, COMMAND_EVENTS, 1, tasks)?, replicas })
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.connection.is_reachable()
    }

    /// Makes one move, which writes something even when it is repeated.
    pub(super) async fn evaluate<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Value>,
    ) -> Result<R, Error> {
        let evaluated = settled(SETTLE_TIMEOUT, || async {
            match self.attempt(script, keys.clone(), arguments.clone(), true).await {
                Err(Error::Unavailable(error)) if error.details().starts_with("NOSCRIPT") => {
                    self.attempt(script, keys.clone(), arguments.clone(), false).await
                }
                answer => answer,
            }
        });
        read(time::timeout(MOVE_TIMEOUT, evaluated).await.unwrap_or_else(|_| Err(late()))?)
    }

    /// Sends a move and WAIT together, so that they are of one connection. A move that a Cluster sends elsewhere fails: its
    /// WAIT has been said at the wrong place, so both must be sent again.
    async fn attempt(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Value>,
        is_known: bool,
    ) -> Result<Value, Error> {
        let slot = keys
            .first()
            .map_or(ClusterHash::FirstKey, |key| ClusterHash::Custom(redis_keyslot(key.as_bytes())));
        let both = self.connection.client().pipeline();
        // The library's pipelines have no scripts of their own.
        let (name, text) = match is_known {
            true => ("EVALSHA", script.sha1().clone()),
            false => ("EVAL", script.lua().cloned().unwrap_or_default()),
        };
        let mut words: Vec<Value> = vec![text.into(), keys.len().to_string().into()];
        words.extend(keys.into_iter().map(Value::from));
        words.extend(arguments);
        let evaluate = CustomCommand::new_static(name, slot.clone(), false);
        both.custom::<(), _>(evaluate, words).await.map_err(Error::Unavailable)?;
        let wait = CustomCommand::new_static("WAIT", slot, false);
        let words = vec![self.replicas.to_string(), WAIT_MS.to_string()];
        both.custom::<(), _>(wait, words).await.map_err(Error::Unavailable)?;
        let mut answers = both.try_all::<Value>().await.into_iter();
        let answer = answers.next().ok_or(Error::Nonsense("a move"))?.map_err(Error::Unavailable)?;
        let copies = answers.next().ok_or(Error::Nonsense("WAIT"))?.map_err(Error::Unavailable)?;
        let copies: u64 = copies.convert().map_err(|_| Error::Nonsense("WAIT"))?;
        if copies >= u64::from(self.replicas.get()) { Ok(answer) } else { Err(Error::TooFewReplicas(copies)) }
    }
}
