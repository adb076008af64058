//! The watched records, read again when notices may have been missed, and written again where the store has lost them.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, HashesInterface};
use fred::types::{ClientState, Value};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::inbox::news;
use super::keys::{Keys, login_keys};
use super::metrics::Metrics;
use super::notices::Notices;
use super::number;
use super::scripts::{SETTLE_TIMEOUT, Scripts, evaluate, late};
use super::settling::{is_unsettled, settled};
use crate::backplane::Error;
use crate::backplane::hub::{Hub, Keepsake, News, Watched};
use crate::login::RecordId;

/// How long a batch waits for slots that are on their way: MOVED is over with the second try.
const BATCH_PATIENCE: Duration = Duration::from_millis(200);
/// How long the records of such slots are waited for, all together. What is left is read with the next round.
const UNSETTLED_PATIENCE: Duration = Duration::from_secs(5);

/// Logins that are written again at once: a Redis that lost them all has them back soon, and moves get their turn.
const WRITTEN_AT_ONCE: usize = 64;

/// What reading and writing them again takes.
#[derive(Clone, Debug)]
pub(super) struct Records {
    pub(super) commands: Client,
    pub(super) hub: Arc<Hub>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) notices: Arc<Notices>,
    pub(super) metrics: Arc<Metrics>,
}

impl Records {
    /// Reads records, tells what is news, and writes again what the store has lost and this process knows. Returns the
    /// logins that could not be read because their slots are on their way to another node.
    pub(super) async fn read_again(&self, inbox: &str, logins: &[Watched]) -> Result<Vec<Watched>, Error> {
        match settled(BATCH_PATIENCE, || self.read(logins)).await {
            Ok(stored) => {
                let mut comparisons = Vec::with_capacity(logins.len());
                for (login, stored) in logins.iter().copied().zip(stored) {
                    comparisons.push(async move {
                        match self.compare(inbox, login, stored).await {
                            Err(Error::Unavailable(error)) if is_unsettled(&error) => Ok(Some(login)),
                            compared => compared.map(|()| None),
                        }
                    });
                }
                let compared: Vec<Result<Option<Watched>, Error>> =
                    stream::iter(comparisons).buffer_unordered(WRITTEN_AT_ONCE).collect().await;
                compared.into_iter().filter_map(Result::transpose).collect()
            }
            // One of them fails all.
            Err(Error::Unavailable(error)) if is_unsettled(&error) => match logins {
                [_] => Ok(logins.to_vec()),
                _ => {
                    let (some, others) = logins.split_at(logins.len() / 2);
                    let mut unsettled = Box::pin(self.read_again(inbox, some)).await?;
                    unsettled.extend(Box::pin(self.read_again(inbox, others)).await?);
                    Ok(unsettled)
                }
            },
            Err(error) => Err(error),
        }
    }

    /// Tries for a while to read what [`Self::read_again`] could not.
    pub(super) async fn read_unsettled(&self, inbox: &str, mut unsettled: Vec<Watched>) {
        let since = Instant::now();
        while !unsettled.is_empty() && since.elapsed() < UNSETTLED_PATIENCE {
            match self.read_again(inbox, &unsettled).await {
                Ok(left) => unsettled = left,
                // The next connection is followed by reading everything.
                Err(error) => return tracing::debug!(%error, "records are read again later"),
            }
        }
    }

    async fn read(&self, logins: &[Watched]) -> Result<Vec<Option<News>>, Error> {
        // The library would keep it for the next connection, behind all that was kept before, and read for nobody then.
        if self.commands.state() != ClientState::Connected {
            return Err(late());
        }
        let records = self.commands.pipeline();
        for Watched { login, .. } in logins {
            let fields = vec!["version", "state", "connection", "since"];
            records.hmget::<(), _, _>(Keys::login(*login), fields).await.map_err(Error::Unavailable)?;
        }
        let records: Vec<Vec<Option<String>>> = records.all().await.map_err(Error::Unavailable)?;
        self.metrics.read_again.inc_by(records.len() as u64);
        let stored = records.iter().map(|record| match record.as_slice() {
            [Some(version), Some(state), Some(connection), Some(since)] => {
                news(version, state, connection, since)
            }
            _ => None,
        });
        Ok(stored.collect())
    }

    async fn compare(&self, inbox: &str, login: Watched, stored: Option<News>) -> Result<(), Error> {
        let Watched { login, settled } = login;
        let lost = if settled { self.hub.lost(login, stored) } else { None };
        match (lost, stored) {
            (Some((news, keepsake)), _) => self.restore(inbox, login, news, &keepsake).await?,
            (None, Some(news)) => self.hub.tell(login, news),
            (None, None) if settled => self.hub.tell_gone(login),
            (None, None) => {}
        }
        Ok(())
    }

    async fn restore(
        &self,
        inbox: &str,
        login: RecordId,
        known: News,
        keepsake: &Keepsake,
    ) -> Result<(), Error> {
        let Some(kept) = keepsake.at(Instant::now()) else { return Ok(()) };
        let arguments: Vec<Value> = vec![
            inbox.into(),
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
            self.notices.teller(),
        ];
        let (keys, restore) = (login_keys(login), &self.scripts.restore);
        let answer: Vec<String> = evaluate(&self.commands, restore, keys, arguments, SETTLE_TIMEOUT).await?;
        let [version, state, connection, since, outcome, notice]: [String; 6] =
            answer.try_into().map_err(|_| Error::Nonsense("a record that was written again"))?;
        if outcome == "written" {
            self.metrics.restored.inc();
            tracing::info!(%login, "wrote a login again that Redis had lost");
        }
        self.notices.tell(&notice).await;
        if let Some(news) = news(&version, &state, &connection, &since) {
            self.hub.tell(login, news);
        }
        Ok(())
    }
}
