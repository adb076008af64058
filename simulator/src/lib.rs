//! Plays the WeChat platform for development and tests: its API, QR codes, event pushes with their retry rule, and a
//! page that is the phone. Development only: anybody can log in as anybody here.
//!
//! * [`Config`]: the account that is played, and where its server and its phones are.
//! * `api`: what the platform's servers answer. `tokens`, `codes`, `people`: what they remember, all of it bounded.
//! * `push`: what the platform sends to the account's server, and how it judges the answer. [`Pushes`]: the same without
//!   the network, for a program that pushes by itself.
//! * `controls`: what tests and the phone page ask of the simulator itself. `faults`: how it misbehaves on request.
//!
//! No code is shared with the services: a misreading of the protocol must show as a failing test.

mod account;
mod api;
mod clock;
mod codes;
mod config;
mod controls;
mod faults;
mod journal;
mod people;
mod phone;
mod push;
mod pushes;
mod random;
mod ticket;
mod tokens;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

pub use config::{Config, MessageMode};
pub use pushes::{BadAnswer, Push, Pushes};

use account::Account;
use clock::Clock;
use codes::Codes;
use faults::Faults;
use journal::Journal;
use people::People;
use push::delivery::Pusher;
use tokens::Tokens;

/// What prevents a simulator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key is not what the console hands out.
    #[error("an encoding AES key has 43 letters or digits")]
    MalformedKey,
    /// The mode encrypts, and there is nothing to encrypt with.
    #[error("the message mode needs an encoding AES key")]
    MissingKey,
    /// Plain messages have no key.
    #[error("an encoding AES key does not go with plain messages")]
    UnwantedKey,
    /// The console refuses such a token.
    #[error("a token has 3 to 32 letters or digits")]
    MalformedToken,
    /// There is nowhere to push to.
    #[error("the callback URL is an absolute http or https URL")]
    MalformedCallbackUrl,
    /// It would not fit into a QR code and its ticket.
    #[error("the public URL is an absolute http or https URL of at most 180 characters, without a query")]
    MalformedPublicUrl,
    /// `rustls::crypto::CryptoProvider::install_default` comes first, in `main`: it belongs to the process.
    #[error("no TLS provider is installed in this process")]
    NoTlsProvider,
    /// The operating system gives no random bytes.
    #[error(transparent)]
    Randomness(#[from] random::Error),
    /// The HTTP client that pushes cannot be made.
    #[error("cannot make the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// The platform and one account on it. Clones are the same platform.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

/// Each part guards itself, for a few lines and never across an await; no call holds two.
struct Inner {
    account: Account,
    clock: Clock,
    tokens: Mutex<Tokens>,
    codes: Mutex<Codes>,
    people: Mutex<People>,
    journal: Mutex<Journal>,
    faults: Faults,
    pusher: Pusher,
}

impl Simulator {
    /// Starts a platform that knows the one account of `config`.
    ///
    /// # Errors
    ///
    /// The account's settings do not fit together, or no TLS provider is installed in this process.
    pub fn new(config: Config) -> Result<Self, Error> {
        let account = Account::new(config)?;
        let pusher = Pusher::new(&account)?;
        Ok(Self {
            inner: Arc::new(Inner {
                codes: Mutex::new(Codes::new(&account.public_url)),
                account,
                clock: Clock::default(),
                tokens: Mutex::default(),
                people: Mutex::default(),
                journal: Mutex::default(),
                faults: Faults::default(),
                pusher,
            }),
        })
    }

    /// Everything but `/`: `/cgi-bin/*` is the platform, `/simulator/*` its controls, `/q/*` what a QR code leads to.
    /// It has no fallback, so it can be merged into another router.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(api::router(self))
            .merge(controls::router())
            .merge(phone::router())
            .with_state(self.clone())
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.inner.tokens)
    }

    fn codes(&self) -> MutexGuard<'_, Codes> {
        lock(&self.inner.codes)
    }

    fn people(&self) -> MutexGuard<'_, People> {
        lock(&self.inner.people)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.inner.journal)
    }

    fn account(&self) -> &Account {
        &self.inner.account
    }

    fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    fn now(&self) -> u64 {
        self.inner.clock.now()
    }
}

/// A part stays usable after a panic elsewhere: every change to it is a single step.
fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
