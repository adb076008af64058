//! A session that comes back on another connection.

use std::time::Duration;

use fred::interfaces::{HashesInterface, KeysInterface};
use fred::types::Value;
use tokio::time::{self, Instant};

use super::RedisBackplane;
use super::keys::{Keys, login_keys};
use super::scripts::{MOVE_TIMEOUT, SETTLE_TIMEOUT, late};
use super::settling::settled;
use crate::backplane::hub::{Keepsake, Standing};
use crate::backplane::{Error, LoginWatch, Resumed};
use crate::login::{ConnectionId, Deadlines, OpenId, RecordId, SessionId, Timestamp};

impl RedisBackplane {
    pub(in crate::backplane) async fn owner(
        &self,
        session: &SessionId,
    ) -> Result<Option<ConnectionId>, Error> {
        let id = session.record_id();
        let asked = settled(SETTLE_TIMEOUT, || async {
            self.client().hget(Keys::login(id), "connection").await.map_err(Error::Unavailable)
        });
        let asked = async { time::timeout(MOVE_TIMEOUT, asked).await.unwrap_or_else(|_| Err(late())) };
        let owner: Option<String> = self.metrics.time(asked).await?;
        let Some(owner) = owner else { return self.is_unknown(id).await };
        ConnectionId::parse(&owner).map(Some).ok_or(Error::Nonsense("a login's owner"))
    }

    pub(in crate::backplane) async fn resume(
        &self,
        session: &SessionId,
        before: ConnectionId,
    ) -> Result<Option<(LoginWatch, Resumed)>, Error> {
        type Answer = Option<(String, u64, u64, String, u64, String, u64, String, String, u64, String)>;
        let asked = Instant::now();
        let id = session.record_id();
        let mut watch = self.hub.enter(id, ConnectionId::random());
        let words =
            [id.to_string(), self.inbox()?.to_owned(), watch.connection().to_string(), before.to_string()];
        let mut arguments: Vec<Value> = words.map(Value::from).into();
        arguments.push(self.notices.teller());
        let answer: Answer = self.run(&self.scripts.resume, login_keys(id), arguments).await?;
        let Some(record) = answer else { return self.is_unknown(id).await };
        let (state, version, since, content, shown_ms, openid, life_ms, nonce, ticket, claimable_ms, notice) =
            record;
        if state == "overtaken" {
            return Err(Error::Overtaken);
        }
        let since = Timestamp(since);
        self.notices.tell(&notice).await;
        if state == "waiting" {
            let [shown, claimable, life] = [shown_ms, claimable_ms, life_ms].map(Duration::from_millis);
            let words = [&nonce, &ticket, &content].map(String::as_str);
            let (hash, deadlines) = (session.code().hash(), Deadlines { shown, claimable });
            let keepsake = Keepsake::new(words, hash, deadlines, life, asked);
            watch.settle(version, since, Standing::Waiting, Some(keepsake));
            return Ok(Some((watch, Resumed::Waiting { content, shown_for: shown })));
        }
        let openid = OpenId::parse(&openid).ok_or(Error::Nonsense("a scan"))?;
        // The record lives on, so the memory of its number must: whoever asks next gets the same.
        let (counted, life_ms) =
            (Keys::counted(&openid.hash(), id), i64::try_from(life_ms).unwrap_or(i64::MAX));
        settled(SETTLE_TIMEOUT, || async {
            self.client().pexpire::<(), _>(&counted, life_ms, None).await.map_err(Error::Unavailable)
        })
        .await?;
        watch.settle(version, since, Standing::Scanned, None);
        Ok(Some((watch, Resumed::Scanned)))
    }

    /// `None`, if it is unknown. A page that is told so shows another code, so it is final, and no durable move comes after it that would find out that
    /// this was no primary any more.
    pub(super) async fn is_unknown<T>(&self, login: RecordId) -> Result<Option<T>, Error> {
        if self.durable.is_none() {
            return Ok(None);
        }
        let state: Vec<Option<String>> =
            self.run_durably(&self.scripts.read, vec![Keys::login(login)], vec!["state"]).await?;
        if state.iter().any(Option::is_some) { Err(Error::Overtaken) } else { Ok(None) }
    }
}
