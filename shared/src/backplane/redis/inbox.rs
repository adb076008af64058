//! The process's channel: subscribed once for life, and whatever may have been missed is read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, HashesInterface, PubsubInterface};
use fred::types::{ClusterHash, CustomCommand, Message, Value};
use fred::util::redis_keyslot;
use futures_util::{TryStreamExt, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connection::{ATTEMPTS, Connection, keep_up};
use super::keys::{Keys, login_keys};
use super::scripts::{Scripts, evaluate};
use super::{MalformedUrl, number};
use crate::backplane::Error;
use crate::backplane::hub::{Hub, Keepsake, News, Standing, Watched};
use crate::login::{ConnectionId, RecordId, Timestamp};
use crate::random;
use crate::settings::Secret;

/// Records read in one go after an outage; small, so that moves are not kept waiting behind them.
const READ_AT_ONCE: usize = 256;
/// Notices that wait for the reader: seconds of the busiest replica. Beyond it they are lost, and read from the records.
const QUEUED_NOTICES: usize = 16_384;
/// About how long it pauses before another try to subscribe or to read what was missed.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Logins that are written again at once: a Redis that lost them all has them back soon, and moves get their turn.
const WRITTEN_AT_ONCE: usize = 64;
/// About how often all watched records are read for no reason: a notice may be lost without anybody noticing, where
/// the links between a Cluster's nodes break, or a primary dies that has claimed and not yet told.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(30);
/// Between two batches of that, so that moves are not kept waiting.
const READ_AGAIN_PAUSE: Duration = Duration::from_millis(50);

/// The channel of this process.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    name: Arc<str>,
    connection: Connection,
    subscribed: Arc<AtomicBool>,
}

impl Inbox {
    /// Begins to subscribe. `commands` reads the records; the task ends with `tasks`.
    pub(super) fn open(
        url: &Secret,
        commands: Client,
        hub: Arc<Hub>,
        scripts: Arc<Scripts>,
        tasks: &CancellationToken,
    ) -> Result<Self, MalformedUrl> {
        let connection = Connection::open(url, QUEUED_NOTICES, ATTEMPTS, tasks)?;
        let inbox = Self { name: Keys::inbox(Uuid::new_v4()).into(), connection, subscribed: Arc::default() };
        let reader = Reader { inbox: inbox.clone(), commands, hub, scripts };
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
    commands: Client,
    hub: Arc<Hub>,
    scripts: Arc<Scripts>,
}

impl Reader {
    /// Reads notices for ever. Every new connection, and every lag behind the queue, is followed by catching up.
    async fn run(&self) {
        let client = self.inbox.connection.client();
        // Both before the first subscription, so that no connection and no notice is missed.
        let mut connected = client.reconnect_rx();
        let mut notices = client.message_rx();
        loop {
            let caught_up = async {
                self.catch_up().await;
                self.inbox.subscribed.store(true, Ordering::Relaxed);
                // From here on only a new connection or a lag is a reason to catch up at once.
                self.read_again_for_ever().await;
            };
            tokio::select! {
                () = caught_up => {}
                event = connected.recv() => if event == Err(RecvError::Closed) { return },
                end = self.read(&mut notices) => if end == RecvError::Closed { return },
            }
            self.inbox.subscribed.store(false, Ordering::Relaxed);
        }
    }

    /// Passes notices on until there are none or some were lost.
    async fn read(&self, notices: &mut tokio::sync::broadcast::Receiver<Message>) -> RecvError {
        loop {
            match notices.recv().await {
                Ok(message) => match message.value.as_str().as_deref().and_then(read_notice) {
                    Some((login, news)) => self.hub.tell(login, news),
                    None => tracing::warn!("a notice makes no sense: does another program use our channel?"),
                },
                Err(end) => return end,
            }
        }
    }

    /// Subscribes, has it acknowledged, then reads every watched record: in that order nothing is missed. A new connection
    /// begins it anew; short of that, what has been read needs no second reading.
    async fn catch_up(&self) {
        while let Err(error) = self.subscribe().await {
            tracing::debug!(%error, "cannot subscribe yet");
            time::sleep(RETRY_AFTER.mul_f64(0.5 + random::fraction())).await;
        }
        for logins in self.hub.logins().chunks(READ_AT_ONCE) {
            while let Err(error) = self.read_again(logins).await {
                tracing::debug!(%error, "cannot read records yet");
                time::sleep(RETRY_AFTER.mul_f64(0.5 + random::fraction())).await;
            }
        }
    }

    async fn subscribe(&self) -> Result<(), Error> {
        let client = self.inbox.connection.client();
        client.subscribe(&*self.inbox.name).await.map_err(Error::Unavailable)?;
        // The library's subscribe means written; a PING that is answered after it on the same connection means done. In
        // a Cluster the channel's slot names that connection.
        let slot = ClusterHash::Custom(redis_keyslot(self.inbox.name.as_bytes()));
        client
            .custom::<Value, &str>(CustomCommand::new_static("PING", slot, false), vec![])
            .await
            .map_err(Error::Unavailable)?;
        Ok(())
    }

    /// Reads all watched records slowly, again and again, and never at the same moment as the other replicas.
    async fn read_again_for_ever(&self) {
        loop {
            // Between half and one and a half times as long, by lot.
            time::sleep(READ_AGAIN_EVERY.mul_f64(0.5 + random::fraction())).await;
            for logins in self.hub.logins().chunks(READ_AT_ONCE) {
                if let Err(error) = self.read_again(logins).await {
                    tracing::debug!(%error, "records are read again later");
                }
                time::sleep(READ_AGAIN_PAUSE).await;
            }
        }
    }

    /// Reads records, tells what is news, and writes again what the store has lost and this process knows.
    async fn read_again(&self, logins: &[Watched]) -> Result<(), Error> {
        let records = self.commands.pipeline();
        for Watched { login, .. } in logins {
            let fields = vec!["version", "state", "connection", "since"];
            records.hmget::<(), _, _>(Keys::login(*login), fields).await.map_err(Error::Unavailable)?;
        }
        let records: Vec<Vec<Option<String>>> = records.all().await.map_err(Error::Unavailable)?;
        let mut all_lost = Vec::new();
        for (&Watched { login, settled }, record) in logins.iter().zip(records) {
            let stored = match record.as_slice() {
                [Some(version), Some(state), Some(connection), Some(since)] => {
                    news(version, state, connection, since)
                }
                _ => None,
            };
            let lost = if settled { self.hub.lost(login, stored) } else { None };
            match (lost, stored) {
                (Some((news, keepsake)), _) => all_lost.push((login, news, keepsake)),
                (None, Some(news)) => self.hub.tell(login, news),
                (None, None) if settled => self.hub.tell_gone(login),
                (None, None) => {}
            }
        }
        let restores =
            all_lost.iter().map(|(login, news, keepsake)| Ok(self.restore(*login, *news, keepsake)));
        stream::iter(restores).try_for_each_concurrent(WRITTEN_AT_ONCE, |restored| restored).await
    }

    async fn restore(&self, login: RecordId, known: News, keepsake: &Keepsake) -> Result<(), Error> {
        let Some(kept) = keepsake.at(Instant::now()) else { return Ok(()) };
        let arguments: Vec<Value> = vec![
            self.inbox.name().into(),
            known.connection.to_string().into(),
            known.since.0.to_string().into(),
            known.version.to_string().into(),
            kept.nonce.into(),
            kept.ticket.into(),
            kept.content.into(),
            number(kept.deadlines.shown),
            number(kept.deadlines.claimable),
            number(kept.life),
            number(kept.left),
            kept.code_hash.into(),
            login.to_string().into(),
        ];
        let [version, state, connection, since, outcome]: [String; 5] =
            evaluate::<Vec<String>>(&self.commands, &self.scripts.restore, login_keys(login), arguments)
                .await?
                .try_into()
                .map_err(|_| Error::Nonsense("a record that was written again"))?;
        if outcome == "written" {
            tracing::info!(%login, "wrote a login again that Redis had lost");
        }
        if let Some(news) = news(&version, &state, &connection, &since) {
            self.hub.tell(login, news);
        }
        Ok(())
    }
}

/// Reads a notice: the login, its version, its state, the connection that has it, and since when. `None` for what no
/// script of ours publishes.
#[must_use]
pub fn read_notice(notice: &str) -> Option<(RecordId, News)> {
    let mut words = notice.split(' ');
    let mut word = || words.next();
    let login = RecordId::parse(word()?)?;
    let news = news(word()?, word()?, word()?, word()?)?;
    Some((login, news))
}

fn news(version: &str, state: &str, connection: &str, since: &str) -> Option<News> {
    let standing = match state {
        "waiting" => Standing::Waiting,
        "scanned" | "redeemed" => Standing::Scanned,
        _ => return None,
    };
    let (version, connection) = (version.parse().ok()?, ConnectionId::parse(connection)?);
    Some(News { version, standing, connection, since: Timestamp(since.parse().ok()?) })
}
