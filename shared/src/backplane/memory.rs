//! The backplane of a single process: the state machine itself under one lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::budget::{Budget, Exhausted, Keeper, LocalBudgets, Taken};
use super::hub::{Hub, News, Standing};
use super::{Error, LoginWatch, MessageHash, Resumed, Stamp};
use crate::login::{
    Claim, Code, ConnectionId, Deadlines, LoginRecord, LoginState, OpenId, Owner, QrCode, RecordId, Refresh,
    Scan, Scene, SessionId, Ticket, Timestamp,
};

/// Records below this number are not worth looking through for ended ones.
const SWEEP_AT_LEAST: usize = 1024;

/// One process's logins and login counts; both are gone when it ends.
#[derive(Clone, Debug)]
pub struct MemoryBackplane {
    hub: Arc<Hub>,
    store: Arc<Mutex<Store>>,
    budgets: Arc<LocalBudgets>,
    clock: Clock,
}

/// Wall-clock milliseconds that never go backwards, whatever is done to the machine's clock.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    fn now(self) -> Timestamp {
        let now = self.started_at + self.started.elapsed();
        Timestamp(crate::login::millis(now))
    }
}

#[derive(Debug, Default)]
struct Store {
    records: HashMap<RecordId, LoginRecord>,
    logins: HashMap<OpenId, u64>,
    /// The number that each recent login was counted as, and until when it is remembered.
    counted: HashMap<(OpenId, RecordId), (u64, Timestamp)>,
    /// The message that each recent signature is bound to, and until when.
    bound: HashMap<Stamp, (MessageHash, Timestamp)>,
    /// The messages that have had their sender's count forgotten, and until when they are remembered.
    forgotten: HashMap<(OpenId, MessageHash), Timestamp>,
    /// The number of entries at which ended ones are looked for.
    sweep_at: usize,
}

impl Store {
    fn record(&mut self, id: RecordId, now: Timestamp) -> Option<&mut LoginRecord> {
        self.records.get_mut(&id).filter(|record| record.gone_at() > now)
    }

    /// Drops what has ended whenever the store has doubled since it was last done, so that it costs a constant per login.
    fn sweep(&mut self, now: Timestamp) {
        if self.entries() >= self.sweep_at.max(SWEEP_AT_LEAST) {
            self.records.retain(|_, record| record.gone_at() > now);
            self.counted.retain(|_, (_, until)| *until > now);
            self.bound.retain(|_, (_, until)| *until > now);
            self.forgotten.retain(|_, until| *until > now);
            self.sweep_at = 2 * self.entries();
        }
    }

    /// How many there are that end by themselves.
    fn entries(&self) -> usize {
        self.records.len() + self.counted.len() + self.bound.len() + self.forgotten.len()
    }
}

impl Default for MemoryBackplane {
    fn default() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = Clock { started: Instant::now(), started_at };
        let (hub, store, budgets) = Default::default();
        Self { hub, store, budgets, clock }
    }
}

/// See [`super::Backplane`] for what each method promises.
impl MemoryBackplane {
    fn store(&self) -> MutexGuard<'_, Store> {
        // A move that panics has not changed its record: the moves write last.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(
        &self,
        session: &SessionId,
        code: QrCode,
        deadlines: Deadlines,
        life: Duration,
    ) -> LoginWatch {
        let connection = ConnectionId::random();
        let mut watch = self.hub.enter(session.record_id(), connection);
        let now = self.clock.now();
        let owner = Owner { inbox: String::new(), connection };
        let record = LoginRecord::open(code, session.code().hash(), owner, deadlines, life, now);
        watch.settle(record.version(), record.since(), Standing::Waiting, None);
        let mut store = self.store();
        store.sweep(now);
        store.records.insert(record.id(), record);
        watch
    }

    pub(super) fn refresh(&self, watch: &LoginWatch, code: QrCode, deadlines: Deadlines) -> Refresh {
        let now = self.clock.now();
        match self.store().record(watch.login(), now) {
            Some(record) => record.refresh(watch.connection(), code, deadlines, now),
            None => Refresh::Gone,
        }
    }

    pub(super) fn owner(&self, session: &SessionId) -> Option<ConnectionId> {
        let now = self.clock.now();
        self.store().record(session.record_id(), now).map(|record| record.owner().connection)
    }

    pub(super) fn resume(
        &self,
        session: &SessionId,
        before: ConnectionId,
    ) -> Result<Option<(LoginWatch, Resumed)>, Error> {
        let connection = ConnectionId::random();
        let mut watch = self.hub.enter(session.record_id(), connection);
        let now = self.clock.now();
        let mut store = self.store();
        let Some(record) = store.record(session.record_id(), now) else { return Ok(None) };
        if !record.resume(before, Owner { inbox: String::new(), connection }, now) {
            return Err(Error::Overtaken);
        }
        watch.settle(record.version(), record.since(), Standing::of(record), None);
        self.hub.tell(record.id(), news(record));
        let standing = match record.state() {
            LoginState::Waiting { code, shown_until, .. } => {
                Resumed::Waiting { content: code.content.clone(), shown_for: shown_until.left(now) }
            }
            LoginState::Scanned(scan) | LoginState::Redeemed(scan, _) => {
                let (key, until) = ((scan.by.clone(), record.id()), record.gone_at());
                if let Some((_, remembered)) = store.counted.get_mut(&key) {
                    *remembered = until;
                }
                Resumed::Scanned
            }
        };
        Ok(Some((watch, standing)))
    }

    pub(super) fn claim(&self, scene: &Scene, ticket: &Ticket, by: &OpenId) -> Claim {
        let now = self.clock.now();
        let mut store = self.store();
        let Some(record) = store.record(scene.login(), now) else { return Claim::Over };
        let claim = record.claim(scene, ticket, by, now);
        if matches!(claim, Claim::Claimed { .. }) {
            self.hub.tell(record.id(), news(record));
        }
        claim
    }

    pub(super) fn login_count(&self, by: &OpenId, login: RecordId, life: Duration) -> u64 {
        let now = self.clock.now();
        let mut store = self.store();
        store.sweep(now);
        let key = (by.clone(), login);
        let known = store.counted.get(&key).filter(|(_, until)| *until > now).map(|(count, _)| *count);
        let count = known.unwrap_or_else(|| {
            let count = store.logins.entry(by.clone()).or_default();
            *count += 1;
            *count
        });
        store.counted.insert(key, (count, now.after(life)));
        count
    }

    pub(super) fn forget(&self, person: &OpenId, message: MessageHash, life: Duration) {
        let now = self.clock.now();
        let mut store = self.store();
        store.sweep(now);
        let push = (person.clone(), message);
        if store.forgotten.get(&push).is_none_or(|until| *until <= now) {
            store.forgotten.insert(push, now.after(life));
            store.logins.remove(person);
        }
    }

    pub(super) fn redeemable(&self, code: &Code) -> Option<(Scan, Duration)> {
        let now = self.clock.now();
        let mut store = self.store();
        let record = store.record(code.login(), now)?;
        let scan = record.redeemable(&code.hash())?.clone();
        Some((scan, record.life()))
    }

    pub(super) fn take<'b>(&self, budgets: &'b [Budget]) -> Result<Taken<'b>, Exhausted> {
        self.budgets.take(budgets, 1, self.clock.now())?;
        Ok(Taken { budgets, from: Keeper::Process })
    }

    pub(super) fn give_back(&self, taken: &Taken<'_>) {
        self.budgets.give_back(taken.budgets, 1);
    }

    pub(super) fn redeem(&self, code: &Code, request: Uuid) -> Option<Scan> {
        let now = self.clock.now();
        self.store().record(code.login(), now)?.redeem(&code.hash(), request, now)
    }

    pub(super) fn withdraw(&self, code: &Code, request: Uuid) {
        let now = self.clock.now();
        if let Some(record) = self.store().record(code.login(), now) {
            record.withdraw(&code.hash(), request);
        }
    }

    pub(super) fn bind(&self, stamp: Stamp, message: MessageHash, life: Duration) -> bool {
        let now = self.clock.now();
        let mut store = self.store();
        store.sweep(now);
        match store.bound.get(&stamp) {
            Some((bound, until)) if *until > now => *bound == message,
            _ => {
                store.bound.insert(stamp, (message, now.after(life)));
                true
            }
        }
    }
}

fn news(record: &LoginRecord) -> News {
    let (connection, since) = (record.owner().connection, record.since());
    News { version: record.version(), standing: Standing::of(record), connection, since }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_only_what_lives() {
        let backplane = MemoryBackplane::default();
        let deadlines = Deadlines { shown: Duration::ZERO, claimable: Duration::ZERO };
        for _ in 0..10 * SWEEP_AT_LEAST {
            let session = SessionId::random();
            let scene = Scene::random(&session);
            let code = QrCode { scene, ticket: Ticket::parse("t").unwrap(), content: String::new() };
            backplane.open(&session, code, deadlines, Duration::ZERO);
        }
        for n in 0..10 * SWEEP_AT_LEAST {
            backplane.bind(Stamp::of(&n.to_string()), MessageHash::of(b""), Duration::ZERO);
            let message = MessageHash::of(n.to_string().as_bytes());
            backplane.forget(&OpenId::parse("oSomebody").unwrap(), message, Duration::ZERO);
        }
        assert!(backplane.store().entries() <= SWEEP_AT_LEAST);
    }
}
