//! The backplane of many processes: one Lua script a move, keys that work in Redis Cluster, notices by pub/sub.
//!
//! What the client library does and does not do by itself is in docs/redis.md.

mod budgets;
mod connection;
mod diagnosis;
mod durable;
mod inbox;
mod keys;
mod metrics;
mod notices;
mod primary;
mod records;
mod resume;
mod scripts;
mod settling;

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::HashesInterface;
use fred::types::scripts::Script;
use fred::types::{FromValue, Value};
use prometheus::proto::MetricFamily;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use self::connection::{ATTEMPTS, Connection, Watched};
pub use self::diagnosis::{Diagnosis, Layout, Undiagnosed};
use self::durable::Durable;
use self::inbox::Inbox;
pub use self::inbox::read_notice;
use self::keys::{Keys, login_keys};
use self::metrics::Metrics;
use self::notices::Notices;
use self::primary::Primary;
use self::records::Records;
use self::scripts::{SETTLE_TIMEOUT, Scripts, evaluate};
use self::settling::settled;
use super::budget::LocalBudgets;
use super::hub::{Hub, Keepsake, Standing};
use super::{Error, LoginWatch, MessageHash, Stamp};
use crate::login::{
    Claim, Code, CodeHash, ConnectionId, Deadlines, OpenId, QrCode, RecordId, Refresh, Scan, Scene,
    SessionId, Ticket, Timestamp, millis,
};
use crate::settings::{Invalid, Secret};

/// Makes a move that changes nothing write what is there already: WAIT waits for the last thing that its connection has written.
const WRITE_ANYWAY: &str = "write";
/// Events of the commands' client, which nobody reads.
const COMMAND_EVENTS: usize = 32;

/// The URL is none that the Redis client understands. Its text says what is wrong, without the URL.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedUrl(String);

impl MalformedUrl {
    /// What a program says before it ends.
    #[must_use]
    pub fn invalid(&self) -> Invalid {
        Invalid::malformed("REDIS_URL", format!("a Redis URL such as redis://host:6379 ({self})"))
    }
}

/// How the moves are made.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct BackplaneSettings {
    /// The number of replicas of Redis that must have a claim, a count or a redeem before it is answered; 0 for none. See
    /// docs/redis.md
    #[arg(long, env = "REPLICATION_WAIT", value_name = "NUMBER", default_value = "0")]
    pub replication_wait: u8,
}

/// What a process does with its backplane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes moves, and watches the logins whose browsers it holds.
    Watches,
    /// Only makes moves: no inbox, no subscription.
    Moves,
}

/// The store that all replicas share.
#[derive(Clone, Debug)]
pub struct RedisBackplane {
    commands: Connection,
    /// For moves that must survive a failover; `None` where none is waited for.
    durable: Option<Durable>,
    inbox: Option<Inbox>,
    hub: Arc<Hub>,
    scripts: Arc<Scripts>,
    notices: Arc<Notices>,
    metrics: Arc<Metrics>,
    /// For when the server does not answer.
    alone: Arc<LocalBudgets>,
    /// Ends the background tasks with the last clone.
    _tasks: Arc<DropGuard>,
}

/// See [`super::Backplane`] for what each method promises.
impl RedisBackplane {
    /// Begins to connect, and goes on trying for as long as the backplane is held; needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The URL is malformed. A server that cannot be reached is no error here: see
    /// [`Backplane::is_reachable`](crate::backplane::Backplane::is_reachable).
    pub fn connect(url: &Secret, role: Role, settings: &BackplaneSettings) -> Result<Self, MalformedUrl> {
        let tasks = CancellationToken::new();
        let metrics = Arc::<Metrics>::default();
        let primary = Primary::follow(url, &tasks)?;
        let watched = |name| Watched { name, metrics: metrics.clone(), primary: primary.clone() };
        let commands = Connection::open(url, COMMAND_EVENTS, ATTEMPTS, watched("commands"), &tasks)?;
        let replicas = NonZeroU8::new(settings.replication_wait);
        let durable =
            replicas.map(|replicas| Durable::open(url, replicas, watched("durable"), &tasks)).transpose()?;
        let (hub, scripts, alone) = (Arc::<Hub>::default(), Arc::<Scripts>::default(), Arc::default());
        let notices = Arc::new(Notices::by(commands.client().clone()));
        let inbox = match role {
            Role::Moves => None,
            Role::Watches => {
                let records = Records {
                    commands: commands.client().clone(),
                    hub: hub.clone(),
                    scripts: scripts.clone(),
                    notices: notices.clone(),
                    metrics: metrics.clone(),
                };
                Some(Inbox::open(url, records, watched("inbox"), &tasks)?)
            }
        };
        let _tasks = Arc::new(tasks.drop_guard());
        Ok(Self { commands, durable, inbox, hub, scripts, notices, metrics, alone, _tasks })
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.commands.is_reachable()
            && self.durable.as_ref().is_none_or(Durable::is_reachable)
            && self.inbox.as_ref().is_none_or(Inbox::is_reachable)
    }

    pub(super) fn metrics(&self) -> Vec<MetricFamily> {
        self.metrics.families(self.is_reachable())
    }

    fn client(&self) -> &Client {
        self.commands.client()
    }

    fn inbox(&self) -> Result<&str, Error> {
        self.inbox.as_ref().map(Inbox::name).ok_or(Error::Nonsense("a process without an inbox"))
    }

    pub(super) async fn open(
        &self,
        session: &SessionId,
        code: QrCode,
        deadlines: Deadlines,
        life: Duration,
    ) -> Result<LoginWatch, Error> {
        let id = session.record_id();
        let mut watch = self.hub.enter(id, ConnectionId::random());
        let (asked, nonce, ticket, content) =
            (Instant::now(), code.scene.nonce(), code.ticket.hash(), code.content);
        let words = [&nonce, &ticket, &content].map(String::as_str);
        let keepsake = Keepsake::new(words, session.code().hash(), deadlines, life, asked);
        let arguments: Vec<Value> = vec![
            self.inbox()?.into(),
            watch.connection().to_string().into(),
            nonce.into(),
            ticket.into(),
            content.into(),
            number(deadlines.shown),
            number(deadlines.claimable),
            number(life),
            session.code().hash().text().into(),
        ];
        match self.run::<(u64, u64)>(&self.scripts.open, login_keys(id), arguments).await? {
            (0, _) => Err(Error::Nonsense("a new login")),
            (version, since) => {
                watch.settle(version, Timestamp(since), Standing::Waiting, Some(keepsake));
                Ok(watch)
            }
        }
    }

    pub(super) async fn refresh(
        &self,
        watch: &LoginWatch,
        code: QrCode,
        deadlines: Deadlines,
    ) -> Result<Refresh, Error> {
        let (asked, nonce, ticket, content) =
            (Instant::now(), code.scene.nonce(), code.ticket.hash(), code.content);
        let arguments: Vec<Value> = vec![
            watch.login().to_string().into(),
            self.inbox()?.into(),
            watch.connection().to_string().into(),
            watch.since().0.to_string().into(),
            nonce.as_str().into(),
            ticket.as_str().into(),
            content.as_str().into(),
            number(deadlines.shown),
            number(deadlines.claimable),
        ];
        let (answer, version): (String, u64) =
            self.run(&self.scripts.refresh, login_keys(watch.login()), arguments).await?;
        match answer.as_str() {
            "replaced" => {
                watch.know(version, Standing::Waiting);
                watch.keep_code([&nonce, &ticket, &content].map(String::as_str), deadlines, asked);
                Ok(Refresh::Replaced)
            }
            "scanned" => Ok(Refresh::AlreadyScanned),
            "not_owner" => Ok(Refresh::NotOwner),
            "gone" => self.is_unknown::<()>(watch.login()).await.map(|_| Refresh::Gone),
            _ => Err(Error::Nonsense("a refresh")),
        }
    }

    pub(super) async fn claim(&self, scene: &Scene, ticket: &Ticket, by: &OpenId) -> Result<Claim, Error> {
        let id = scene.login();
        let words = [id.to_string(), scene.nonce(), ticket.hash(), by.expose().to_owned()];
        let mut arguments: Vec<Value> = words.map(Value::from).into();
        arguments.push(self.notices.teller());
        let (outcome, life_ms, notice): (String, u64, String) =
            self.run_durably(&self.scripts.claim, login_keys(id), arguments).await?;
        // Before the phone is answered: if this process dies first, the platform's repeat makes up for it.
        self.notices.tell(&notice).await;
        let life = Duration::from_millis(life_ms);
        match outcome.as_str() {
            "claimed" => Ok(Claim::Claimed { life }),
            "repeated" => Ok(Claim::Repeated { life }),
            "taken" => Ok(Claim::Taken),
            "over" => Ok(Claim::Over),
            "wrong_ticket" => Ok(Claim::WrongTicket),
            _ => Err(Error::Nonsense("a claim")),
        }
    }

    pub(super) async fn login_count(
        &self,
        by: &OpenId,
        login: RecordId,
        life: Duration,
    ) -> Result<u64, Error> {
        let person = by.hash();
        let keys = vec![Keys::logins(&person), Keys::counted(&person, login)];
        self.run_durably(&self.scripts.login_count, keys, vec![number(life)]).await
    }

    pub(super) async fn forget(
        &self,
        person: &OpenId,
        message: MessageHash,
        life: Duration,
    ) -> Result<(), Error> {
        let person = person.hash();
        let keys = vec![Keys::logins(&person), Keys::forgotten(&person, message)];
        self.run::<u64>(&self.scripts.forget, keys, vec![number(life)]).await?;
        Ok(())
    }

    pub(super) async fn redeemable(&self, code: &Code) -> Result<Option<(Scan, Duration)>, Error> {
        let asked = settled(SETTLE_TIMEOUT, || async {
            let fields = REDEEMABLE.to_vec();
            self.client().hmget(Keys::login(code.login()), fields).await.map_err(Error::Unavailable)
        });
        let record: Vec<Option<String>> = self.metrics.time(asked).await?;
        let found = redeemable(code, &record)?;
        if found.is_some() || self.durable.is_none() {
            return Ok(found);
        }
        // A refusal is final, and nothing durable comes after it that would find out that this was no primary any more.
        let keys = vec![Keys::login(code.login())];
        let record: Vec<Option<String>> =
            self.run_durably(&self.scripts.read, keys, REDEEMABLE.to_vec()).await?;
        redeemable(code, &record)
    }

    pub(super) async fn redeem(&self, code: &Code, request: Uuid) -> Result<Option<Scan>, Error> {
        let arguments = vec![code.hash().text(), request.to_string()];
        let answer: Option<(String, String, u64)> =
            self.run_durably(&self.scripts.redeem, login_keys(code.login()), arguments).await?;
        answer.map(|(nonce, openid, at)| scan(code.login(), &nonce, &openid, at)).transpose()
    }

    /// No replica is waited for: what a failover takes back of it is a code that is spent for nothing.
    pub(super) async fn withdraw(&self, code: &Code, request: Uuid) -> Result<(), Error> {
        let arguments = vec![code.hash().text(), request.to_string()];
        let keys = vec![Keys::login(code.login())];
        self.run::<u64>(&self.scripts.withdraw, keys, arguments).await.map(drop)
    }

    pub(super) async fn bind(
        &self,
        stamp: Stamp,
        message: MessageHash,
        life: Duration,
    ) -> Result<bool, Error> {
        let arguments: Vec<Value> = vec![message.text().into(), number(life)];
        match self.run::<u64>(&self.scripts.bind, vec![Keys::message(stamp)], arguments).await? {
            1 => Ok(true),
            0 => Ok(false),
            _ => Err(Error::Nonsense("a signature")),
        }
    }

    /// [`Self::run`] for what is told to people: answered when the replicas that were asked for have what it tells of.
    async fn run_durably<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<impl Into<Value>>,
    ) -> Result<R, Error> {
        let Some(durable) = &self.durable else { return self.run(script, keys, arguments).await };
        let mut arguments: Vec<Value> = arguments.into_iter().map(Into::into).collect();
        arguments.push(WRITE_ANYWAY.into());
        self.metrics.time(durable.evaluate(script, keys, arguments)).await
    }

    async fn run<R: FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        arguments: Vec<impl Into<Value>>,
    ) -> Result<R, Error> {
        let arguments: Vec<Value> = arguments.into_iter().map(Into::into).collect();
        self.metrics.time(evaluate(self.client(), script, keys, arguments, SETTLE_TIMEOUT)).await
    }
}

/// What [`redeemable`] takes.
const REDEEMABLE: [&str; 6] = ["state", "code_hash", "nonce", "openid", "scanned_at", "life"];

/// The scan that a code would redeem, of what its record has for [`REDEEMABLE`].
fn redeemable(code: &Code, record: &[Option<String>]) -> Result<Option<(Scan, Duration)>, Error> {
    let [Some(state), Some(hash), Some(nonce), Some(openid), Some(at), Some(life)] = record else {
        return Ok(None);
    };
    if state != "scanned" || CodeHash::parse(hash) != Some(code.hash()) {
        return Ok(None);
    }
    let life = life.parse().map_err(|_| Error::Nonsense("a record's life"))?;
    let at = at.parse().map_err(|_| Error::Nonsense("a scan"))?;
    Ok(Some((scan(code.login(), nonce, openid, at)?, Duration::from_millis(life))))
}

fn number(duration: Duration) -> Value {
    Value::String(millis(duration).to_string().into())
}

fn scan(login: RecordId, nonce: &str, openid: &str, at: u64) -> Result<Scan, Error> {
    let scene = Scene::parse(&format!("{login}{nonce}")).ok_or(Error::Nonsense("a scene"))?;
    let by = OpenId::parse(openid).ok_or(Error::Nonsense("a scan"))?;
    Ok(Scan { scene, by, at: Timestamp(at) })
}

/// The library's errors that say what is wrong with a URL, without the URL.
fn malformed(error: &FredError) -> MalformedUrl {
    MalformedUrl(error.details().to_owned())
}
