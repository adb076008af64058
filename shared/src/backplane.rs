//! What joins the replicas. Guarantees first, whichever implementation stands behind them:
//!
//! * **A move is atomic and happens once.** Two replicas that make the same move at the same moment get one move; a
//!   command that a client library repeats after a lost reply has the same answer and no second effect.
//! * **The record decides.** A [`LoginWatch`] is told of moves by notices, which are hints: lost, late and doubled ones
//!   do no harm, for whoever watches reads the record again after every outage of the notices.
//! * **Nothing is missed between asking and watching.** [`Backplane::open`] and [`Backplane::resume`] watch before they
//!   ask, so a claim falls before the answer (and shows in it) or after it (and is told to the watch).
//! * **A claim that was answered is durable** as far as the store is: memory for the process's life, Redis as it is
//!   configured (docs/redis.md).
//! * **Time is the store's.** Expiry is decided by its clock in the moment of the move.
//! * **It answers in bounded time**: every move within about two seconds, with [`Error`] if it must.

mod budget;
mod hub;
mod memory;
mod redis;
mod stamp;

use std::time::Duration;

use prometheus::proto::MetricFamily;
use uuid::Uuid;

use self::budget::Keeper;
pub use self::budget::{Budget, Exhausted, LocalBudgets, NotRates, Rate, Rates, Taken};
pub use self::hub::{Change, LoginWatch, News, Standing};
pub use self::memory::MemoryBackplane;
pub use self::redis::{
    BackplaneSettings, Diagnosis, Layout, MalformedUrl, RedisBackplane, Role, Undiagnosed, read_notice,
};
pub use self::stamp::{MessageHash, Stamp};
use crate::login::{
    Claim, Code, ConnectionId, Deadlines, OpenId, QrCode, RecordId, Refresh, Scan, Scene, SessionId, Ticket,
};

/// The move was not answered: it may have happened or not. Trying again is safe for every move.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or said that it cannot: its words are the source.
    #[error("the backplane {}", what_it_did(.0))]
    Unavailable(#[source] fred::error::Error),
    /// The store made the move, but this many replicas have it only (`REPLICATION_WAIT`): a failover could take it back.
    #[error("only {0} replicas have it")]
    TooFewReplicas(u64),
    /// Too many moves wait for the replicas to have them. This one was not made.
    #[error("too many moves wait for replicas")]
    Crowded,
    /// The session came to be another's after it was asked for: another connection took it, or another server has it. This
    /// one took nothing: if its browser is there, it may try again.
    #[error("the session has moved meanwhile")]
    Overtaken,
    /// The store answered something that our scripts never say: another program writes our keys.
    #[error("the backplane answered nonsense about {0}")]
    Nonsense(&'static str),
}

/// A server's own errors begin with a code in capitals, such as `OOM` or `NOPERM` (redis.io, "RESP protocol
/// specification", "Simple errors"); all others are the library's.
fn what_it_did(error: &fred::error::Error) -> &'static str {
    use fred::error::ErrorKind::{IO, Timeout};
    let code = error.details().split(' ').next().unwrap_or_default();
    let is_code = code.len() > 1 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code && !matches!(error.kind(), IO | Timeout) { "refused" } else { "cannot be reached" }
}

/// What a resumed session had come to when it was resumed.
#[derive(Debug)]
pub enum Resumed {
    /// The scene has not been claimed.
    Waiting {
        /// The text inside the QR code.
        content: String,
        /// What is left of the page's time; zero when the code is expired.
        shown_for: Duration,
    },
    /// The login succeeded.
    Scanned,
}

/// What joins the replicas: a closed set of two.
#[derive(Clone, Debug)]
pub enum Backplane {
    /// Many processes on any number of machines.
    Redis(RedisBackplane),
    /// One process.
    Memory(MemoryBackplane),
}

/// Hands a call to whichever implementation there is.
macro_rules! either {
    ($self:ident, $backplane:ident => $call:expr) => {
        match $self {
            // Boxed: the client library's futures have several kilobytes, and every caller would have room for one.
            Self::Redis($backplane) => Box::pin($call).await,
            Self::Memory($backplane) => Ok($call),
        }
    };
}

impl Backplane {
    /// Records a new login whose QR code is about to be shown, owned by this process. `life` is how long the record
    /// lives after each of its moves.
    ///
    /// # Errors
    ///
    /// Not answered; the session is of no use then, and what may have been recorded expires by itself.
    pub async fn open(
        &self,
        session: &SessionId,
        code: QrCode,
        deadlines: Deadlines,
        life: Duration,
    ) -> Result<LoginWatch, Error> {
        either!(self, b => b.open(session, code, deadlines, life))
    }

    /// Puts a new QR code in the place of the one that the watched login shows. The old scene dies in the same moment;
    /// a claim that came first wins.
    ///
    /// # Errors
    ///
    /// Not answered; asking again with the same code is safe.
    pub async fn refresh(
        &self,
        watch: &LoginWatch,
        code: QrCode,
        deadlines: Deadlines,
    ) -> Result<Refresh, Error> {
        either!(self, b => b.refresh(watch, code, deadlines))
    }

    /// The connection that has the session's login, for [`Self::resume`]. `None`: there is no such session, or not any more.
    ///
    /// # Errors
    ///
    /// Not answered; or [`Error::Overtaken`].
    pub async fn owner(&self, session: &SessionId) -> Result<Option<ConnectionId>, Error> {
        either!(self, b => b.owner(session))
    }

    /// Makes this process the owner of the session's login, if `before` still has it, and tells that one. `None`: there is no
    /// such session, or not any more.
    ///
    /// An attempt whose browser has left must not take the session from the one that it made after that. What waits in an
    /// outage is answered after it in any order, and a process that was stopped goes on where it was. So ask for
    /// [`Self::owner`], look whether the browser is still there, and resume: whoever came after it is seen in the one or the other.
    ///
    /// # Errors
    ///
    /// Not answered; the session is unharmed. [`Error::Overtaken`]: `before` has it no more.
    pub async fn resume(
        &self,
        session: &SessionId,
        before: ConnectionId,
    ) -> Result<Option<(LoginWatch, Resumed)>, Error> {
        match self {
            Self::Redis(backplane) => Box::pin(backplane.resume(session, before)).await,
            Self::Memory(backplane) => backplane.resume(session, before),
        }
    }

    /// A person scanned a QR code: the first one takes the scene. Idempotent by scene and person.
    ///
    /// # Errors
    ///
    /// Not answered: nobody may be told that the login succeeded.
    pub async fn claim(&self, scene: &Scene, ticket: &Ticket, by: &OpenId) -> Result<Claim, Error> {
        either!(self, b => b.claim(scene, ticket, by))
    }

    /// How many logins the person has made, with that of `login` counted exactly once: whoever asks first counts, and
    /// everybody gets the same number for `life` after the last asking.
    ///
    /// # Errors
    ///
    /// Not answered; the login may be counted already, and will not be counted twice.
    pub async fn login_count(&self, by: &OpenId, login: RecordId, life: Duration) -> Result<u64, Error> {
        either!(self, b => b.login_count(by, login, life))
    }

    /// Forgets the person's login count, as the platform asks when somebody unfollows the account. Once for each
    /// `message` that asks for it: a repeat of it within `life` changes nothing, for the person may have come back.
    ///
    /// # Errors
    ///
    /// Not answered; asking again is safe.
    pub async fn forget(&self, person: &OpenId, message: MessageHash, life: Duration) -> Result<(), Error> {
        either!(self, b => b.forget(person, message, life))
    }

    /// The scan that `code` would redeem and how long its record lives, without spending the code.
    ///
    /// # Errors
    ///
    /// Not answered.
    pub async fn redeemable(&self, code: &Code) -> Result<Option<(Scan, Duration)>, Error> {
        either!(self, b => b.redeemable(code))
    }

    /// Spends `code`. Exactly one `request` ever gets the scan; the same request asking again gets it again.
    ///
    /// # Errors
    ///
    /// Not answered; only the same request can find out whether the code was spent, and only it can
    /// [give it back](Self::withdraw).
    pub async fn redeem(&self, code: &Code, request: Uuid) -> Result<Option<Scan>, Error> {
        either!(self, b => b.redeem(code, request))
    }

    /// Gives back the `code` that `request` may have spent, for a request whose answer was not told and never will be: the
    /// code is as good as before, unless another request has spent it. `request` spends it no more, not even by a move of
    /// its own that is still under way.
    ///
    /// # Errors
    ///
    /// Not answered; asking again is safe.
    pub async fn withdraw(&self, code: &Code, request: Uuid) -> Result<(), Error> {
        either!(self, b => b.withdraw(code, request))
    }

    /// Takes one from every budget, or none if one of them is used up. All replicas share them; while the store does not
    /// answer, each replica counts alone. Budgets only ever ration: a command that the client library repeats after a
    /// lost reply may take twice.
    ///
    /// # Errors
    ///
    /// One of them is used up.
    pub async fn take<'b>(&self, budgets: &'b [Budget]) -> Result<Taken<'b>, Exhausted> {
        match self {
            _ if budgets.is_empty() => Ok(Taken { budgets, from: Keeper::Process }),
            Self::Redis(redis) => Box::pin(redis.take(budgets)).await,
            Self::Memory(memory) => memory.take(budgets),
        }
    }

    /// Gives back what was taken for nothing, to where it was taken from. Nothing happens where the store has given it and
    /// does not answer.
    pub async fn give_back(&self, taken: Taken<'_>) {
        match self {
            _ if taken.budgets.is_empty() => {}
            Self::Redis(redis) => Box::pin(redis.give_back(taken)).await,
            Self::Memory(memory) => memory.give_back(&taken),
        }
    }

    /// Binds a call's signature to the message that came with it first, for `life` from then on. False: it is bound to
    /// another message. Binding the same message again changes nothing.
    ///
    /// # Errors
    ///
    /// Not answered: nobody may believe the message. It may be bound all the same.
    pub async fn bind(&self, stamp: Stamp, message: MessageHash, life: Duration) -> Result<bool, Error> {
        either!(self, b => b.bind(stamp, message, life))
    }

    /// What operators see of the store; nothing where it is this process.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricFamily> {
        match self {
            Self::Redis(redis) => redis.metrics(),
            Self::Memory(_) => Vec::new(),
        }
    }

    /// Whether the store answered lately and, in a process that watches logins, notices arrive. Answers at once.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        match self {
            Self::Redis(redis) => redis.is_reachable(),
            Self::Memory(_) => true,
        }
    }
}
