//! What an operator wants to know of a Redis, asked once, by a client of its own that does not try again.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, EventInterface, LuaInterface, PubsubInterface};
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand, Value};
use fred::util::redis_keyslot;
use tokio::time::{self, Instant};
use uuid::Uuid;

use super::connection::{self, ATTEMPTS, FirstTry};
use super::durable::WAIT_MS;
use super::keys::{Keys, login_keys};
use super::{MalformedUrl, number};
use crate::login::{RecordId, SessionId};
use crate::settings::Secret;

/// Events of the diagnosis' client.
const EVENTS: usize = 32;
/// Questions whose answers are timed.
const SAMPLES: usize = 3;
/// What the probe leaves behind, should it be unable to remove it.
const PROBE_LIFE: Duration = Duration::from_secs(10);
/// A notice to ourselves, and the client's farewell.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(1);

/// Which servers the URL speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One server.
    Single,
    /// One server at a time, which Sentinels name.
    Sentinel,
    /// Redis Cluster.
    Cluster,
}

/// What a Redis is like, and what it lets us do. Holds no secret.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What the URL says.
    pub layout: Layout,
    /// Whether the server says that it is a node of a Cluster.
    pub in_cluster: bool,
    /// Whether the server says that it is a replica, which takes no writes.
    pub replica: bool,
    /// Product and version, such as `Redis 7.0.15`; `None` where the server keeps them to itself.
    pub version: Option<String>,
    /// From a question to its answer: the shortest of a few, so that it is the way's and not a moment's.
    pub answer_time: Duration,
    /// The server's time, and ours in the middle of the asking; `None` if it was refused.
    pub times: Option<(SystemTime, SystemTime)>,
    /// What the moves need and the server refuses, in its own words; empty when all is well.
    pub refused: Vec<String>,
    /// How many replicas have what was written, as `WAIT` says, or why it says nothing. `None` where nobody waits for
    /// replicas.
    pub copies: Option<Result<u64, String>>,
    /// Whether a notice came through, and what was said if not.
    pub notices: Result<(), String>,
    /// Whether a notice came through by sharded pub/sub, and what was said if not; then notices are broadcast. `None` where
    /// there is no Cluster.
    pub sharded_notices: Option<Result<(), String>>,
    /// The `maxmemory-policy`, where the server tells it.
    pub eviction: Option<String>,
    /// Whether every write is appended to a file (AOF), where the server tells it.
    pub append_only: Option<bool>,
    /// Whether snapshots are made (RDB), where we may ask.
    pub snapshots: Option<bool>,
}

/// There is nothing to diagnose.
#[derive(Debug, thiserror::Error)]
pub enum Undiagnosed {
    /// The URL is none.
    #[error(transparent)]
    Malformed(#[from] MalformedUrl),
    /// No connection, or none that we may use. The text is the server's or the client library's, and holds no secret.
    #[error("{0}")]
    Unreachable(String),
}

impl Diagnosis {
    /// Looks at the URL alone.
    ///
    /// # Errors
    ///
    /// It is none that the client library understands.
    pub fn check(url: &Secret) -> Result<(), MalformedUrl> {
        connection::client(url, EVENTS, ATTEMPTS, FirstTry::Counts).map(drop)
    }

    /// Connects, asks and leaves. Every question has its own limit of about two seconds. `replication_wait` is how many
    /// replicas a move waits for (`REPLICATION_WAIT`).
    ///
    /// # Errors
    ///
    /// There is no connection, or nothing is answered on it.
    pub async fn of(url: &Secret, replication_wait: u8) -> Result<Self, Undiagnosed> {
        let client = connection::client(url, EVENTS, ATTEMPTS, FirstTry::Counts)?;
        let unreachable = |error: FredError| Undiagnosed::Unreachable(error.details().to_owned());
        client.init().await.map_err(unreachable)?;
        let diagnosis = Self::ask(&client, replication_wait).await.map_err(unreachable);
        // Nothing hangs on the answer.
        let _ = time::timeout(NOTICE_TIMEOUT, client.quit()).await;
        diagnosis
    }

    async fn ask(client: &Client, replication_wait: u8) -> Result<Self, FredError> {
        let answer_time = answer_time(client).await?;
        let info = Info::of(client).await;
        let is = |field: &str, value: &str| info.get(field) == Some(value);
        let login = SessionId::random().record_id();
        let (times, refused) = probe(client, login).await;
        let copies = copies(client, login, replication_wait).await;
        Ok(Self {
            layout: layout(client),
            in_cluster: is("redis_mode", "cluster") || is("cluster_enabled", "1"),
            replica: is("role", "slave"),
            version: info.version(),
            answer_time,
            times,
            refused,
            copies,
            eviction: info.get("maxmemory_policy").map(str::to_owned),
            append_only: info.get("aof_enabled").map(|enabled| enabled == "1"),
            snapshots: snapshots(client).await,
            sharded_notices: sharded_notice(client).await,
            // Last: a refused subscription leaves its error where the next answer should be.
            notices: notice(client).await,
        })
    }
}

/// The best of [`SAMPLES`]. The first may wait for a connection, and any for a busy machine.
async fn answer_time(client: &Client) -> Result<Duration, FredError> {
    let mut best = Duration::MAX;
    for _ in 0..SAMPLES {
        let asked = Instant::now();
        client.ping::<()>(None).await?;
        best = best.min(asked.elapsed());
    }
    Ok(best)
}

fn layout(client: &Client) -> Layout {
    match (client.is_clustered(), client.uses_sentinels()) {
        (true, _) => Layout::Cluster,
        (false, true) => Layout::Sentinel,
        (false, false) => Layout::Single,
    }
}

/// Runs all that the moves are made of, by its text and by its hash, as the moves are. Within the script each command's
/// refusal is an answer, not an error, on which the client library would connect anew.
async fn probe(client: &Client, login: RecordId) -> (Option<(SystemTime, SystemTime)>, Vec<String>) {
    let script = Script::from_lua(include_str!("../probe.lua"));
    let text = script.lua().cloned().unwrap_or_default();
    let before = SystemTime::now();
    let by_text = client.eval::<Value, _, _, _>(text, login_keys(login), vec![number(PROBE_LIFE)]).await;
    let ours = before + before.elapsed().unwrap_or_default() / 2;
    let by_hash = script.evalsha::<Value, _, _, _>(client, login_keys(login), vec![number(PROBE_LIFE)]).await;
    let (mut times, mut refused) = (None, Vec::new());
    for (command, answer) in [("EVAL", by_text), ("EVALSHA", by_hash)] {
        match answer.and_then(Value::convert::<Vec<String>>) {
            Err(error) => refused.push(format!("{command}: {}", error.details())),
            Ok(answer) => {
                let part = |index: usize| answer.get(index)?.parse().ok();
                times = times.or_else(|| {
                    let seconds = part(0).filter(|seconds| *seconds > 0)?;
                    let theirs = Duration::from_secs(seconds) + Duration::from_micros(part(1)?);
                    Some((UNIX_EPOCH + theirs, ours))
                });
                // Behind the refusal the server names the script and the line.
                let refusal = |text: &String| text.split(" script: ").next().unwrap_or_default().to_owned();
                refused.extend(answer.iter().skip(2).map(refusal));
            }
        }
    }
    (times, refused)
}

/// Waits for replicas as a move does, for what the probe has written on the same connection.
async fn copies(client: &Client, login: RecordId, replicas: u8) -> Option<Result<u64, String>> {
    let key = Keys::login(login);
    let slot = ClusterHash::Custom(redis_keyslot(key.as_bytes()));
    let wait = CustomCommand::new_static("WAIT", slot, false);
    let words = vec![replicas.to_string(), WAIT_MS.to_string()];
    let said =
        async { client.custom::<u64, _>(wait, words).await.map_err(|error| error.details().to_owned()) };
    if replicas == 0 { None } else { Some(said.await) }
}

/// Subscribes to a channel that is a process's inbox by its name, has it acknowledged, and tells ourselves something.
async fn notice(client: &Client) -> Result<(), String> {
    let inbox = Keys::inbox(Uuid::new_v4());
    let told = async {
        client.subscribe(&*inbox).await?;
        let slot = ClusterHash::Custom(redis_keyslot(inbox.as_bytes()));
        client.custom::<Value, &str>(CustomCommand::new_static("PING", slot, false), vec![]).await?;
        client.publish::<(), _, _>(&*inbox, "diagnosis").await
    };
    arrives(client, &inbox, told).await
}

/// The same by sharded pub/sub.
async fn sharded_notice(client: &Client) -> Option<Result<(), String>> {
    if !client.is_clustered() {
        return None;
    }
    let inbox = Keys::inbox(Uuid::new_v4());
    let told = async {
        client.ssubscribe(&*inbox).await?;
        client.spublish::<(), _, _>(&*inbox, "diagnosis").await
    };
    Some(arrives(client, &inbox, told).await)
}

async fn arrives(
    client: &Client,
    inbox: &str,
    told: impl Future<Output = Result<(), FredError>>,
) -> Result<(), String> {
    let mut notices = client.message_rx();
    let arrived = async {
        told.await?;
        loop {
            if *notices.recv().await?.channel == *inbox {
                return Ok::<(), FredError>(());
            }
        }
    };
    match time::timeout(NOTICE_TIMEOUT, arrived).await {
        Ok(arrived) => arrived.map_err(|error| error.details().to_owned()),
        Err(_) => Err("it did not arrive in time".to_owned()),
    }
}

/// `None` where `CONFIG` is not for us.
async fn snapshots(client: &Client) -> Option<bool> {
    let command = CustomCommand::new_static("CONFIG", ClusterHash::Random, false);
    let answer: Value = client.custom(command, vec!["GET", "save"]).await.ok()?;
    let answer: HashMap<String, String> = answer.convert().ok()?;
    answer.get("save").map(|save| !save.is_empty())
}

/// What the server tells about itself; nothing where it does not.
struct Info(String);

impl Info {
    async fn of(client: &Client) -> Self {
        let command = CustomCommand::new_static("INFO", ClusterHash::Random, false);
        Self(client.custom::<String, &str>(command, vec![]).await.unwrap_or_default())
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
    }

    fn version(&self) -> Option<String> {
        let valkey = self.get("valkey_version").map(|version| format!("Valkey {version}"));
        valkey.or_else(|| self.get("redis_version").map(|version| format!("Redis {version}")))
    }
}

#[cfg(test)]
mod tests {
    /// The commands that a script makes, by `call` or by another word.
    fn commands<'s>(script: &'s str, word: &str) -> Vec<&'s str> {
        let behind = script.split(word).skip(1);
        behind.filter_map(|text| text.strip_prefix("('")?.split('\'').next()).collect()
    }

    #[test]
    fn the_probe_makes_every_command_that_a_move_makes() {
        let probed = commands(include_str!("../probe.lua"), "try");
        let moves = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/backplane")).unwrap();
        let mut made = Vec::new();
        for path in moves.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "lua") {
                let script = std::fs::read_to_string(path).unwrap();
                made.extend(commands(&script, "redis.call").into_iter().map(str::to_owned));
            }
        }
        // A notice is tried from outside, with the subscription that it needs.
        made.retain(|command| command != "PUBLISH");
        assert!(made.len() > 20, "{made:?}");
        for command in made {
            assert!(probed.contains(&command.as_str()), "probe.lua does not try {command}");
        }
    }
}
