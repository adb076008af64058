//! Moves that are answered only when replicas have them too, so that a failover cannot take them back.

use std::collections::HashMap;
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fred::interfaces::{ClientLike, ClusterInterface};
use fred::types::config::Server;
use fred::types::scripts::Script;
use fred::types::{ClientState, ClusterHash, CustomCommand, FromValue, Value};
use fred::util::redis_keyslot;
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Watched};
use super::scripts::{MOVE_TIMEOUT, SETTLE_TIMEOUT, late, read};
use super::settling::settled;
use super::{COMMAND_EVENTS, MalformedUrl};
use crate::backplane::Error;
use crate::random::jittered;
use crate::settings::Secret;

/// How long the primary waits for its replicas, in milliseconds.
pub(super) const WAIT_MS: u32 = 500;
/// Moves under way at once at one primary. Where replicas lack, each keeps those behind it waiting for [`WAIT_MS`]: so many, and
/// [`TURN_TIMEOUT`], fit into [`MOVE_TIMEOUT`]. Where none lacks, each is done within a round trip or two.
const AT_ONCE: usize = 3;
/// For a move to have its turn. Later it could not be answered in time, and is not made.
const TURN_TIMEOUT: Duration = Duration::from_millis(400);
/// For a move to have a connection on which it can be sent.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two looks whether there is one.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Between two lines about the same want of replicas.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// A connection of its own, for WAIT keeps all that come behind it waiting.
#[derive(Clone, Debug)]
pub(super) struct Durable {
    connection: Connection,
    replicas: NonZeroU8,
    turns: Arc<Turns>,
    /// When the log was told last that replicas lack; `None` while none does.
    complained: Arc<Mutex<Option<Instant>>>,
}

/// The turns of each primary: in a Cluster, one that hangs or lacks replicas keeps nobody waiting but those who need it.
#[derive(Debug, Default)]
struct Turns(Mutex<HashMap<Option<Server>, Arc<Semaphore>>>);

impl Turns {
    /// Those of `primary`; `None` where there is only one.
    fn at(&self, primary: Option<Server>) -> Arc<Semaphore> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !turns.contains_key(&primary) {
            // Primaries come and go: those that nobody waits for are not kept.
            turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        turns.entry(primary).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }
}

/// A move as it is sent.
#[derive(Debug)]
struct Move {
    /// As text, which the server always knows. A hash that it does not know costs a move one more WAIT.
    script: String,
    keys: Vec<String>,
    arguments: Vec<Value>,
}

impl Move {
    /// Where it is made in a Cluster: all its keys are in one slot.
    fn slot(&self) -> Option<u16> {
        self.keys.first().map(|key| redis_keyslot(key.as_bytes()))
    }
}

impl Durable {
    /// Begins to connect, for moves that `replicas` must have.
    pub(super) fn open(
        url: &Secret,
        replicas: NonZeroU8,
        watched: Watched,
        tasks: &CancellationToken,
    ) -> Result<Self, MalformedUrl> {
        // One attempt: WAIT speaks of what its own connection has written, so it must never be said on another.
        let connection = Connection::open(url, COMMAND_EVENTS, 1, watched, tasks)?;
        Ok(Self { connection, replicas, turns: Arc::default(), complained: Arc::default() })
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.connection.is_reachable()
    }

    /// Makes one move, which writes something where it finds a record, even when it is repeated or refused. Its answer is
    /// given only when the replicas have what it rests on (the lack of a record is nothing they could have): a primary without them may have been cut off, or have been
    /// followed by another, and then knows neither what it will have lost nor what has happened since.
    pub(super) async fn evaluate<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<Value>,
    ) -> Result<R, Error> {
        let script = script.lua().map(ToString::to_string).unwrap_or_default();
        let (answer, copies) = self.take_turn(Move { script, keys, arguments }).await?;
        if copies >= u64::from(self.replicas.get()) {
            read(answer)
        } else {
            Err(Error::TooFewReplicas(copies))
        }
    }

    /// Who serves a slot, as far as it is known; `None` outside a Cluster.
    fn primary_of(&self, slot: Option<u16>) -> Option<Server> {
        self.connection.client().cached_cluster_state()?.get_server(slot?).cloned()
    }

    async fn take_turn(&self, made: Move) -> Result<(Value, u64), Error> {
        let deadline = Instant::now() + MOVE_TIMEOUT;
        time::timeout(CONNECTION_TIMEOUT, self.connected()).await.map_err(|_| late())?;
        let turns = self.turns.at(self.primary_of(made.slot()));
        // The semaphore itself is never closed.
        let turn = time::timeout(TURN_TIMEOUT, turns.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Error::Crowded) };
        let this = self.clone();
        // In a task of its own: the server is busy with the move for as long as it is, were nobody waiting for it any more.
        let answered = tokio::spawn(async move {
            let answered = settled(SETTLE_TIMEOUT, || this.attempt(&made)).await;
            drop(turn);
            answered
        });
        match time::timeout_at(deadline, answered).await {
            Ok(Ok(answered)) => answered,
            // It never panics; the process is going.
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }

    /// Waits until what is sent is sent at once. The library keeps what is sent while there is no connection, and sends a
    /// pipeline whenever there is one again, though nobody waits for it any more: a person who was told to scan again would be
    /// logged in after all, and a code be spent that its application was told is good.
    async fn connected(&self) {
        while self.connection.client().state() != ClientState::Connected {
            time::sleep(jittered(LOOK_AGAIN)).await;
        }
    }

    /// Sends a move and WAIT together, so that they are of one connection. The answer, and how many replicas have it. A move
    /// that a Cluster sends elsewhere fails: its WAIT has been said at the wrong place, so both must be sent again.
    async fn attempt(&self, made: &Move) -> Result<(Value, u64), Error> {
        let Move { script, keys, arguments } = made;
        let slot = made.slot().map_or(ClusterHash::FirstKey, ClusterHash::Custom);
        let both = self.connection.client().pipeline();
        let mut words: Vec<Value> = vec![script.as_str().into(), keys.len().to_string().into()];
        words.extend(keys.iter().map(|key| Value::from(key.as_str())));
        words.extend(arguments.iter().cloned());
        // The library's pipelines have no scripts of their own.
        let evaluate = CustomCommand::new_static("EVAL", slot.clone(), false);
        both.custom::<(), _>(evaluate, words).await.map_err(Error::Unavailable)?;
        let wait = CustomCommand::new_static("WAIT", slot, false);
        let words = vec![self.replicas.to_string(), WAIT_MS.to_string()];
        both.custom::<(), _>(wait, words).await.map_err(Error::Unavailable)?;
        let mut answers = both.try_all::<Value>().await.into_iter();
        let answer = answers.next().ok_or(Error::Nonsense("a move"))?.map_err(Error::Unavailable)?;
        let copies = answers.next().ok_or(Error::Nonsense("WAIT"))?.map_err(Error::Unavailable)?;
        // WAIT keeps a look of the watchdog waiting, too.
        self.connection.answered();
        let copies: u64 = copies.convert().map_err(|_| Error::Nonsense("WAIT"))?;
        self.complain(copies);
        Ok((answer, copies))
    }

    /// Tells the log that replicas lack, once in a while, and that they lack no more.
    fn complain(&self, copies: u64) {
        let wanted = u64::from(self.replicas.get());
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if copies >= wanted {
            if complained.take().is_some() {
                tracing::info!(copies, wanted, "enough replicas of Redis have what is written again");
            }
        } else if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::warn!(
                copies,
                wanted,
                "too few replicas of Redis have what is written, so logins are not answered: look after the \
                 replicas, or see REPLICATION_WAIT"
            );
        }
    }
}
