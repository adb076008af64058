//! One client of Redis that gets over everything: restarts, failover, and servers that hang without closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::RespVersion;
use fred::types::config::{Config, ReconnectPolicy, UnresponsiveConfig};
use fred::types::{Builder, ClientState};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{MalformedUrl, malformed};
use crate::settings::Secret;

/// One command, the library's retries and all.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1800);
/// Connecting, and what the library itself asks when it connects.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Commands that wait while Redis is away; beyond it they fail at once.
const QUEUED_COMMANDS: usize = 10_000;
/// Tries of a command whose connection broke under it. Every move is idempotent.
const ATTEMPTS: u32 = 3;
/// Between two looks at a client, and how long the server has to answer one (docs/redis.md, "Watchdog").
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// Misses in a row after which a connection that claims to be up is broken by us.
const MISSES: u32 = 2;

/// A client with its watchdog.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: Client,
    reachable: Arc<AtomicBool>,
}

impl Connection {
    /// Begins to connect. The library's queues of events, of which it has several, hold `events` each, and take their
    /// memory at once. The watchdog ends with `tasks`.
    pub(super) fn open(url: &Secret, events: usize, tasks: &CancellationToken) -> Result<Self, MalformedUrl> {
        let client = client(url, events)?;
        client.connect();
        let connection = Self { client, reachable: Arc::default() };
        let (watched, tasks) = (connection.clone(), tasks.clone());
        tokio::spawn(async move {
            tasks.run_until_cancelled(watched.watch()).await;
            // Nothing hangs on the answer: the process is ending, or the backplane was dropped.
            let _ = time::timeout(LOOK_TIMEOUT, watched.client.quit()).await;
        });
        Ok(connection)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the server answered the last look.
    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Looks at the server for ever, and breaks a connection that is up but silent: the library itself never notices
    /// one as long as commands are written to it.
    async fn watch(&self) {
        let mut misses = 0;
        loop {
            let look = time::timeout(LOOK_TIMEOUT, self.client.ping::<()>(None)).await;
            let answered = matches!(look, Ok(Ok(())));
            if self.reachable.swap(answered, Ordering::Relaxed) != answered {
                match answered {
                    true => tracing::info!("Redis answers"),
                    false => tracing::warn!("Redis does not answer, trying again"),
                }
            }
            misses = if answered { 0 } else { misses + 1 };
            if misses >= MISSES && self.client.state() == ClientState::Connected {
                misses = 0;
                // An error means that the library is reconnecting already.
                let _ = time::timeout(LOOK_TIMEOUT, self.client.force_reconnection()).await;
            }
            time::sleep(LOOK_EVERY).await;
        }
    }
}

fn client(url: &Secret, events: usize) -> Result<Client, MalformedUrl> {
    let mut config = Config::from_url(url.expose()).map_err(|error| malformed(&error))?;
    config.version = RespVersion::RESP3;
    config.fail_fast = false;
    Builder::from_config(config)
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = events;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            connection.max_command_attempts = ATTEMPTS;
            connection.max_command_buffer_len = QUEUED_COMMANDS;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(CONNECT_TIMEOUT), interval: LOOK_EVERY };
        })
        .set_policy(reconnect_policy())
        .build()
        .map_err(|error| malformed(&error))
}

/// For ever, from 10 to 100 ms: back within milliseconds of the server (docs/redis.md, "Reconnecting").
fn reconnect_policy() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::new_exponential(0, 10, 100, 2);
    policy.set_jitter(10);
    policy
}
