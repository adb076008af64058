//! The process's channel: subscribed once for life, and whatever may have been missed is read again.
//!
//! In a Cluster it is subscribed twice: by broadcast, which any node hears and older replicas publish to, and sharded, at the
//! node that its slot belongs to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::interfaces::{ClientLike, EventInterface, KeysInterface, PubsubInterface};
use fred::types::{ClusterHash, CustomCommand, Message, Value};
use fred::util::redis_keyslot;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::MalformedUrl;
use super::connection::{ATTEMPTS, Connection, Watched, keep_up};
use super::keys::Keys;
use super::notices::is_refused;
use super::records::Records;
use crate::backplane::Error;
use crate::backplane::hub::{News, Standing};
use crate::login::{ConnectionId, RecordId, Timestamp};
use crate::random::jittered;
use crate::settings::Secret;

/// Records read in one go after an outage; small, so that moves are not kept waiting behind them.
const READ_AT_ONCE: usize = 256;
/// Notices that wait for the reader: seconds of the busiest replica. Beyond it they are lost, and read from the records.
const QUEUED_NOTICES: usize = 16_384;
/// Pause before another try to subscribe or to read what was missed.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// About how often all watched records are read for no reason: a notice may be lost without anybody noticing, where
/// the links between a Cluster's nodes break, or a primary dies that has claimed and not yet told.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(30);
/// Between two batches of that, so that moves are not kept waiting.
const READ_AGAIN_PAUSE: Duration = Duration::from_millis(50);
/// Between two words to ourselves by way of the sharded subscription: the server ends it when the slot moves, and the library
/// keeps that to itself.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// What they say.
const PROBE: &str = "probe";

/// The channel of this process.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    name: Arc<str>,
    connection: Connection,
    subscribed: Arc<AtomicBool>,
}

impl Inbox {
    /// Begins to subscribe; the task ends with `tasks`.
    pub(super) fn open(
        url: &Secret,
        records: Records,
        watched: Watched,
        tasks: &CancellationToken,
    ) -> Result<Self, MalformedUrl> {
        let connection = Connection::open(url, QUEUED_NOTICES, ATTEMPTS, watched, tasks)?;
        let inbox = Self { name: Keys::inbox(Uuid::new_v4()).into(), connection, subscribed: Arc::default() };
        let reader = Reader { inbox: inbox.clone(), records };
        let tasks = tasks.clone();
        let subscribed = inbox.subscribed.clone();
        tokio::spawn(async move { keep_up("inbox", &subscribed, &tasks, reader.run()).await });
        Ok(inbox)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether notices arrive: subscribed, and what was missed before is read.
    pub(super) fn is_reachable(&self) -> bool {
        self.subscribed.load(Ordering::Relaxed) && self.connection.is_reachable()
    }
}

struct Reader {
    inbox: Inbox,
    records: Records,
}

impl Reader {
    /// Reads notices for ever. Every new connection, of the commands' too, every change of a Cluster, and every lag behind the
    /// queue is followed by catching up.
    async fn run(&self) {
        let client = self.inbox.connection.client();
        // All before the first subscription, so that no connection and no notice is missed.
        let mut connected = client.reconnect_rx();
        let mut changed = client.cluster_change_rx();
        // The records are read by way of another connection: to an old primary, while the inbox is at the new one already.
        let mut commands = self.records.commands.reconnect_rx();
        let mut notices = client.message_rx();
        loop {
            let caught_up = async {
                let is_sharded = self.catch_up().await;
                self.inbox.subscribed.store(true, Ordering::Relaxed);
                // From here on only a loss is a reason to catch up at once.
                tokio::select! {
                    () = self.read_again_for_ever() => {}
                    () = self.hears_nothing(), if is_sharded => {
                        tracing::debug!("the inbox's slot has moved: subscribing again");
                    }
                }
            };
            tokio::select! {
                () = caught_up => {}
                event = connected.recv() => if event == Err(RecvError::Closed) { return },
                event = commands.recv() => if event == Err(RecvError::Closed) { return },
                event = changed.recv() => if event == Err(RecvError::Closed) { return },
                end = self.read(&mut notices) => if end == RecvError::Closed { return },
            }
            self.inbox.subscribed.store(false, Ordering::Relaxed);
        }
    }

    /// Passes notices on until there are none or some were lost.
    async fn read(&self, notices: &mut Receiver<Message>) -> RecvError {
        loop {
            match notices.recv().await.map(|message| message.value) {
                Ok(value) if value.as_str().as_deref() == Some(PROBE) => {}
                Ok(value) => match value.as_str().as_deref().and_then(read_notice_and_time) {
                    Some((login, news, claimed_at)) => {
                        self.records.hub.tell(login, news);
                        claimed_at.inspect(|at| self.records.metrics.noticed(*at));
                    }
                    None => tracing::warn!("a notice makes no sense: does another program use our channel?"),
                },
                Err(end) => return end,
            }
        }
    }

    /// Subscribes, has it acknowledged, then reads every watched record: in that order nothing is missed. Whether the
    /// subscription is sharded, too.
    async fn catch_up(&self) -> bool {
        loop {
            match self.try_to_catch_up().await {
                Ok(is_sharded) => return is_sharded,
                Err(error) => tracing::debug!(%error, "cannot subscribe yet"),
            }
            time::sleep(jittered(RETRY_AFTER)).await;
        }
    }

    async fn try_to_catch_up(&self) -> Result<bool, Error> {
        let client = self.inbox.connection.client();
        client.subscribe(&*self.inbox.name).await.map_err(Error::Unavailable)?;
        // The library's subscribe means written; a PING that is answered after it on the same connection means done. In
        // a Cluster the channel's slot names that connection.
        let slot = ClusterHash::Custom(redis_keyslot(self.inbox.name.as_bytes()));
        client
            .custom::<Value, &str>(CustomCommand::new_static("PING", slot, false), vec![])
            .await
            .map_err(Error::Unavailable)?;
        let is_sharded = client.is_clustered() && self.subscribe_sharded().await?;
        let mut unsettled = Vec::new();
        for logins in self.records.hub.logins().chunks(READ_AT_ONCE) {
            unsettled.extend(self.records.read_again(self.inbox.name(), logins).await?);
        }
        self.records.read_unsettled(self.inbox.name(), unsettled).await;
        Ok(is_sharded)
    }

    /// Whether the server has sharded pub/sub and lets us use it. Unlike the broadcast's, its answer acknowledges.
    async fn subscribe_sharded(&self) -> Result<bool, Error> {
        match self.inbox.connection.client().ssubscribe(&*self.inbox.name).await {
            Ok(()) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(Error::Unavailable(error)),
        }
    }

    /// Says something to ourselves again and again, until nobody hears it at the node that the inbox belongs to now. Errors
    /// are the watchdog's business.
    async fn hears_nothing(&self) {
        let (client, name) = (self.inbox.connection.client(), &*self.inbox.name);
        loop {
            time::sleep(jittered(PROBE_EVERY)).await;
            // A primary that became a replica goes on with sharded pub/sub, but not with keys: it says where the slot is, and
            // the library connects there, which is a change.
            let _ = client.get::<Value, _>(name).await;
            if let Ok(0) = client.spublish::<u64, _, _>(name, PROBE).await {
                return;
            }
        }
    }

    /// Reads all watched records slowly, again and again, and never at the same moment as the other replicas.
    async fn read_again_for_ever(&self) {
        loop {
            time::sleep(jittered(READ_AGAIN_EVERY)).await;
            for logins in self.records.hub.logins().chunks(READ_AT_ONCE) {
                if let Err(error) = self.records.read_again(self.inbox.name(), logins).await {
                    tracing::debug!(%error, "records are read again later");
                }
                time::sleep(READ_AGAIN_PAUSE).await;
            }
        }
    }
}

/// Reads a notice: the login, its version, its state, the connection that has it, and since when. `None` for what no
/// script of ours publishes.
#[must_use]
pub fn read_notice(notice: &str) -> Option<(RecordId, News)> {
    read_notice_and_time(notice).map(|(login, news, _)| (login, news))
}

/// A notice of a claim also says when that was. Only the metrics ask for it, so what cannot be read there does no harm.
fn read_notice_and_time(notice: &str) -> Option<(RecordId, News, Option<Timestamp>)> {
    let mut words = notice.split(' ');
    let mut word = || words.next();
    let login = RecordId::parse(word()?)?;
    let news = news(word()?, word()?, word()?, word()?)?;
    Some((login, news, word().and_then(|at| at.parse().ok()).map(Timestamp)))
}

pub(super) fn news(version: &str, state: &str, connection: &str, since: &str) -> Option<News> {
    let standing = match state {
        "waiting" => Standing::Waiting,
        "scanned" | "redeemed" => Standing::Scanned,
        _ => return None,
    };
    let (version, connection) = (version.parse().ok()?, ConnectionId::parse(connection)?);
    Some(News { version, standing, connection, since: Timestamp(since.parse().ok()?) })
}
