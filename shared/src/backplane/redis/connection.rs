//! One client of Redis that gets over everything: restarts, failover, and servers that hang without closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, ClusterInterface, EventInterface};
use fred::types::RespVersion;
use fred::types::config::{Config, ReconnectPolicy, Server, UnresponsiveConfig};
use fred::types::{Builder, ClientState, ConnectHandle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::error::Elapsed;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::primary::{Departures, Leaves, Primary};
use super::{MalformedUrl, malformed};
use crate::settings::Secret;

/// One command, the library's retries and all.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1800);
/// Connecting, and what the library itself asks when it connects.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Commands that wait while Redis is away; beyond it they fail at once.
const QUEUED_COMMANDS: usize = 10_000;
/// Tries of a command whose connection broke under it. Every move is idempotent.
pub(super) const ATTEMPTS: u32 = 3;
/// Between two looks at a client, and how long the server has to answer one (docs/redis.md, "Watchdog").
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Misses in a row after which the server counts as away, and a connection that claims to be up is broken by us. One
/// miss may be this machine's own doing, when it has more to do than processors to do it with.
const MISSES: u32 = 2;
/// None: following ASK, the library takes the reply of another command in flight for that of ASKING, so that every caller
/// behind it gets another's answer. It learns of a new node all the same, and we ask again (`settling`).
const REDIRECTIONS: u32 = 0;

/// Between two lines about the same outage.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What a connection is for, and where its fate is counted.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: &'static str,
    pub(super) metrics: Arc<Metrics>,
    /// Where it should lead, under Sentinel.
    pub(super) primary: Primary,
}

/// A client with its watchdog.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: Client,
    reachable: Arc<AtomicBool>,
    /// Answers that came to others than the watchdog, and which it counts as answers to itself.
    signs_of_life: Arc<AtomicU64>,
}

impl Connection {
    /// Begins to connect. The library's queues of events, of which it has several, hold `events` each, and take their
    /// memory at once. A command whose connection breaks under it is tried `attempts` times. The watchdog ends with `tasks`.
    pub(super) fn open(
        url: &Secret,
        events: usize,
        attempts: u32,
        watched: Watched,
        tasks: &CancellationToken,
    ) -> Result<Self, MalformedUrl> {
        let client = client(url, events, attempts, FirstTry::IsOneOfMany)?;
        let connects = client.reconnect_rx();
        let driver = client.connect();
        let connection = Self { client, reachable: Arc::default(), signs_of_life: Arc::default() };
        let (kept, tasks) = (connection.clone(), tasks.clone());
        tokio::spawn(async move {
            keep_up("watchdog", &kept.reachable, &tasks, kept.watch(&watched, connects, driver)).await;
            // Nothing hangs on the answer: the process is ending, or the backplane was dropped.
            let _ = time::timeout(LOOK_TIMEOUT, kept.client.quit()).await;
        });
        Ok(connection)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the server answered the last looks.
    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// An answer came. To be told where commands keep a look waiting behind them for longer than it may take.
    pub(super) fn answered(&self) {
        self.signs_of_life.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at the server for ever, and breaks a connection that is up but silent: the library itself never notices
    /// one as long as commands are written to it.
    async fn watch(&self, watched: &Watched, mut connects: Receiver<Server>, mut driver: ConnectHandle) {
        let mut errors = self.client.error_rx();
        let mut is_first = true;
        let mut misses = 0;
        let mut complained: Option<Instant> = None;
        let (mut server, mut departures) = (None, Departures::default());
        loop {
            let signs = self.signs_of_life.load(Ordering::Relaxed);
            let look = self.look().await;
            for connected in events(&mut connects) {
                if !std::mem::take(&mut is_first) {
                    watched.metrics.reconnects.rise(watched.name);
                }
                server = connected.map(|connected| (connected, Instant::now())).or(server);
            }
            if let Some((server, then)) = &server
                && self.is_left(watched, server, *then, &mut departures, &mut driver).await
            {
                continue;
            }
            // In a Cluster one node's answer says nothing of the others.
            let lives = !self.client.is_clustered() && self.signs_of_life.load(Ordering::Relaxed) != signs;
            misses = if lives || matches!(look, Ok(Ok(()))) { 0 } else { misses + 1 };
            if misses == 0 && !self.reachable.swap(true, Ordering::Relaxed) {
                complained = None;
                tracing::info!("Redis answers");
            }
            if misses >= MISSES {
                if self.reachable.swap(false, Ordering::Relaxed) {
                    watched.metrics.outages.rise(watched.name);
                }
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    complained = Some(Instant::now());
                    let why = why(&look, &mut errors);
                    tracing::warn!(
                        why,
                        "Redis does not answer: see REDIS_URL, and whether it runs; trying on"
                    );
                }
                if driver.is_finished() {
                    // With a full queue the library gives up on an error of the connection.
                    driver = self.client.connect();
                } else if self.client.state() == ClientState::Connected {
                    misses = 0;
                    self.reconnect(&mut driver).await;
                }
            }
            time::sleep(LOOK_EVERY).await;
        }
    }

    /// Leaves a server that is not the primary any more, as the Sentinels have said since the connection to it.
    async fn is_left(
        &self,
        watched: &Watched,
        server: &Server,
        then: Instant,
        departures: &mut Departures,
        driver: &mut ConnectHandle,
    ) -> bool {
        match watched.primary.is(server, then) {
            None => return false,
            Some(true) => {
                departures.arrived();
                return false;
            }
            Some(false) => {}
        }
        let connection = watched.name;
        match departures.leaves(server) {
            Leaves::NotNow => return false,
            Leaves::Now => tracing::info!(connection, "another Redis is the primary now: going there"),
            Leaves::Again => tracing::warn!(
                connection,
                "most of the Sentinels of REDIS_URL name another primary than they lead to: see that all of them agree"
            ),
        }
        self.reconnect(driver).await;
        true
    }

    /// Breaks the connection, so that there is a new one.
    async fn reconnect(&self, driver: &mut ConnectHandle) {
        // An error means that the library is reconnecting already.
        if time::timeout(LOOK_TIMEOUT, self.client.force_reconnection()).await.is_err() {
            // It writes to a connection that takes nothing, and would go on doing so, and hearing nobody, for as long as the
            // kernel does: a quarter of an hour, or for ever.
            driver.abort();
            let _ = (&mut *driver).await;
            *driver = self.client.connect();
        }
    }

    /// Looks at every primary of a Cluster: one that hangs would else be found by nobody, and its slots be gone for good.
    async fn look(&self) -> Result<Result<(), FredError>, Elapsed> {
        let known = self.client.cached_cluster_state();
        let primaries = known.map(|known| known.unique_primary_nodes()).unwrap_or_default();
        if primaries.is_empty() {
            return time::timeout(LOOK_TIMEOUT, self.client.ping(None)).await;
        }
        for primary in primaries {
            let primary = self.client.with_cluster_node(primary);
            match time::timeout(LOOK_TIMEOUT, primary.ping(None)).await {
                Ok(Ok(())) => {}
                missed => return missed,
            }
        }
        Ok(Ok(()))
    }
}

/// The servers that connections were made to, in their order; `None` for those that the queue had no room for.
fn events(queue: &mut Receiver<Server>) -> Vec<Option<Server>> {
    let mut servers = Vec::new();
    loop {
        match queue.try_recv() {
            Ok(server) => servers.push(Some(server)),
            Err(TryRecvError::Lagged(missed)) => servers.extend((0..missed).map(|_| None)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return servers,
        }
    }
}

/// What the server or the library said of the outage last. Neither speaks of people or secrets when it connects.
fn why(
    look: &Result<Result<(), FredError>, Elapsed>,
    errors: &mut Receiver<(FredError, Option<Server>)>,
) -> String {
    let mut latest = None;
    loop {
        match errors.try_recv() {
            Ok((error, _)) => latest = Some(error.to_string()),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    latest.unwrap_or_else(|| match look {
        Ok(Err(error)) => error.to_string(),
        _ => "no answer in time".to_owned(),
    })
}

/// Runs `work`, which must not end before `tasks` does, for as long as that. If it ends all the same, or panics, what it
/// keeps `up` counts as down from then on.
pub(super) async fn keep_up(
    name: &'static str,
    up: &AtomicBool,
    tasks: &CancellationToken,
    work: impl Future<Output = ()>,
) {
    struct Down<'a>(&'a AtomicBool, &'static str);
    impl Drop for Down<'_> {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Relaxed);
            if std::thread::panicking() {
                tracing::error!(task = self.1, "a task panicked: restart this process, and report it");
            }
        }
    }
    let _down = Down(up, name);
    if tasks.run_until_cancelled(work).await.is_some() {
        tracing::error!(
            task = name,
            "a task that must not end has ended: restart this process, and report it"
        );
    }
}

/// The schemes that mean something; the library takes any other for `redis`.
const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];
const KINDS: [&str; 4] = ["", "-cluster", "-sentinel", "+unix"];

/// What a client does when it cannot connect at its first try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstTry {
    /// It tries on.
    IsOneOfMany,
    /// It gives up and says why.
    Counts,
}

/// A client that is not connected yet.
pub(super) fn client(
    url: &Secret,
    events: usize,
    attempts: u32,
    first: FirstTry,
) -> Result<Client, MalformedUrl> {
    built(config(url, first)?, events, attempts, Some(reconnect_policy()))
}

/// What a URL says.
pub(super) fn config(url: &Secret, first: FirstTry) -> Result<Config, MalformedUrl> {
    let scheme = url.expose().split_once("://").map_or("", |(scheme, _)| scheme);
    if !SCHEMES.iter().any(|name| scheme.strip_prefix(name).is_some_and(|kind| KINDS.contains(&kind))) {
        return Err(MalformedUrl("its scheme is none of Redis".to_owned()));
    }
    let mut config = Config::from_url(url.expose()).map_err(|error| malformed(&error))?;
    config.version = RespVersion::RESP3;
    config.fail_fast = first == FirstTry::Counts;
    Ok(config)
}

/// A client that reconnects by `policy`, if at all, and is not connected yet.
pub(super) fn built(
    config: Config,
    events: usize,
    attempts: u32,
    policy: Option<ReconnectPolicy>,
) -> Result<Client, MalformedUrl> {
    let mut builder = Builder::from_config(config);
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = events;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            connection.max_command_attempts = attempts;
            connection.max_redirections = REDIRECTIONS;
            connection.max_command_buffer_len = QUEUED_COMMANDS;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(CONNECT_TIMEOUT), interval: LOOK_EVERY };
        });
    if let Some(policy) = policy {
        builder.set_policy(policy);
    }
    builder.build().map_err(|error| malformed(&error))
}

/// For ever, from 10 to 100 ms: back within milliseconds of the server (docs/redis.md, "Reconnecting").
fn reconnect_policy() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::new_exponential(0, 10, 100, 2);
    policy.set_jitter(10);
    policy
}
