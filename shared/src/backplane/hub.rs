//! Who in this process watches which login.

mod keepsake;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use self::keepsake::Keepsake;
use crate::login::{ConnectionId, Deadlines, LoginRecord, LoginState, RecordId, Timestamp};

/// What a notice says: enough for the push, and the version that decides whether it is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// How many moves the record has made.
    pub version: u64,
    /// What it has come to.
    pub standing: Standing,
    /// The connection that has the session.
    pub connection: ConnectionId,
    /// Since when it has it, by the store's clock: the later owner is the right one, also where a failover has set the
    /// record back to an earlier one.
    pub since: Timestamp,
}

impl News {
    /// What is known once `news` came; `None` if it is none.
    fn then(self, news: Self) -> Option<Self> {
        let is_scan = news.standing == Standing::Scanned && self.standing == Standing::Waiting;
        match news.since.cmp(&self.since) {
            Ordering::Greater => Some(news),
            Ordering::Equal => (news.version > self.version || is_scan).then_some(news),
            // The record was set back, and scanned as it was then: that person is logged in, in the page there is now.
            Ordering::Less => is_scan.then(|| Self {
                standing: Standing::Scanned,
                version: news.version.max(self.version),
                ..self
            }),
        }
    }
}

/// A login's state, as far as its browser cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has scanned.
    Waiting,
    /// Scanned or redeemed: the browser gets the same message.
    Scanned,
    /// The store does not know the login any more.
    Gone,
}

impl Standing {
    pub(super) fn of(record: &LoginRecord) -> Self {
        match record.state() {
            LoginState::Waiting { .. } => Self::Waiting,
            LoginState::Scanned(_) | LoginState::Redeemed(..) => Self::Scanned,
        }
    }
}

/// What a connection is told about its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody scanned and is logged in.
    Scanned,
    /// Another connection has the session now.
    Replaced,
    /// The store does not know the login any more.
    Gone,
}

#[derive(Debug)]
struct Watcher {
    connection: ConnectionId,
    news: watch::Sender<News>,
    /// `None` where the store is this process, and once the login waits no more.
    keepsake: Option<Box<Keepsake>>,
    /// When the latest news came.
    told_at: Option<Instant>,
}

/// A login that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) login: RecordId,
    /// Whether its record is known to exist. If not, it may be about to be written, and its absence says nothing.
    pub(super) settled: bool,
}

/// The watches of one process.
#[derive(Debug, Default)]
pub(super) struct Hub {
    watchers: Mutex<HashMap<RecordId, Vec<Watcher>>>,
}

impl Hub {
    fn watchers(&self) -> MutexGuard<'_, HashMap<RecordId, Vec<Watcher>>> {
        // Each critical section leaves the map whole, even if it panics.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch `login` for `connection`. Until [`LoginWatch::settle`] says that the record exists, only notices
    /// reach the watch, not the absence of the record.
    pub(super) fn enter(self: &Arc<Self>, login: RecordId, connection: ConnectionId) -> LoginWatch {
        let since = Timestamp(0);
        let unknown = News { version: 0, standing: Standing::Waiting, connection, since };
        let (sender, news) = watch::channel(unknown);
        let watcher = Watcher { connection, news: sender, keepsake: None, told_at: None };
        self.watchers().entry(login).or_insert_with(|| Vec::with_capacity(1)).push(watcher);
        LoginWatch { hub: self.clone(), login, connection, since, news, told: None }
    }

    /// Tells whoever watches `login`; news that is not newer is dropped.
    pub(super) fn tell(&self, login: RecordId, news: News) {
        if let Some(watchers) = self.watchers().get_mut(&login) {
            for watcher in watchers {
                if news.standing != Standing::Waiting {
                    watcher.keepsake = None;
                }
                let is_news = watcher.news.send_if_modified(|known| match known.then(news) {
                    Some(now) => {
                        *known = now;
                        true
                    }
                    None => false,
                });
                if is_news {
                    watcher.told_at = Some(Instant::now());
                }
            }
        }
    }

    /// Tells whoever watches `login` and knew that it existed that the store has lost it.
    pub(super) fn tell_gone(&self, login: RecordId) {
        if let Some(watchers) = self.watchers().get(&login) {
            for watcher in watchers {
                watcher.news.send_if_modified(|known| {
                    let settled = known.version > 0 && known.standing != Standing::Gone;
                    if settled {
                        known.standing = Standing::Gone;
                    }
                    settled
                });
            }
        }
    }

    /// What must be written again, by its owner here, where the store has `stored` of the login (`None`: nothing at all).
    pub(super) fn lost(&self, login: RecordId, stored: Option<News>) -> Option<(News, Keepsake)> {
        let watchers = self.watchers();
        let owners = watchers.get(&login)?.iter().filter_map(|watcher| {
            let news = *watcher.news.borrow();
            let keepsake = watcher.keepsake.as_deref()?;
            (news.connection == watcher.connection && news.standing == Standing::Waiting)
                .then_some((news, keepsake))
        });
        let age = |news: &News| (news.since, news.version);
        let (news, keepsake) = owners.max_by_key(|(news, _)| age(news))?;
        let is_lost = stored
            .is_none_or(|stored| stored.standing == Standing::Waiting && age(&stored) < age(&news))
            && keepsake.at(Instant::now()).is_some();
        is_lost.then(|| (news, keepsake.clone()))
    }

    /// All logins that are watched.
    pub(super) fn logins(&self) -> Vec<Watched> {
        let watchers = self.watchers();
        let is_settled = |watcher: &Watcher| watcher.news.borrow().version > 0;
        let logins = watchers.iter();
        logins.map(|(&login, those)| Watched { login, settled: those.iter().any(is_settled) }).collect()
    }

    fn leave(&self, login: RecordId, connection: ConnectionId) {
        let mut watchers = self.watchers();
        if let Some(those) = watchers.get_mut(&login) {
            those.retain(|watcher| watcher.connection != connection);
            if those.is_empty() {
                watchers.remove(&login);
                shrink(&mut watchers);
            }
        }
    }
}

/// Gives back the memory of a crowd that has left.
fn shrink(watchers: &mut HashMap<RecordId, Vec<Watcher>>) {
    if watchers.capacity() > 1024 && watchers.len() < watchers.capacity() / 8 {
        watchers.shrink_to(watchers.len() * 2);
    }
}

/// One connection's view of its login. A watch, not a queue: the latest news wins. Dropping it ends the watching.
#[derive(Debug)]
pub struct LoginWatch {
    hub: Arc<Hub>,
    login: RecordId,
    connection: ConnectionId,
    since: Timestamp,
    news: watch::Receiver<News>,
    told: Option<Change>,
}

impl LoginWatch {
    /// Waits for the next thing that the browser must know; each is told once. Cancel safe.
    pub async fn changed(&mut self) -> Change {
        loop {
            if self.news.changed().await.is_err() {
                // The hub keeps the sender for as long as this watch is there.
                std::future::pending::<()>().await;
            }
            let news = *self.news.borrow_and_update();
            let change = match news.standing {
                _ if news.connection != self.connection => Change::Replaced,
                Standing::Scanned => Change::Scanned,
                Standing::Gone => Change::Gone,
                Standing::Waiting => continue,
            };
            if self.told.replace(change) != Some(change) {
                return change;
            }
        }
    }

    /// When the latest news of it came to this process; `None` if none did.
    #[must_use]
    pub fn told_at(&self) -> Option<Instant> {
        let watchers = self.hub.watchers();
        watchers.get(&self.login)?.iter().find(|watcher| watcher.connection == self.connection)?.told_at
    }

    /// The login that is watched.
    #[must_use]
    pub fn login(&self) -> RecordId {
        self.login
    }

    /// The connection that watches.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Since when it has the session, by the store's clock.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    /// The record waits with another code.
    pub(super) fn keep_code(&self, words: [&str; 3], deadlines: Deadlines, asked: Instant) {
        if let Some(watchers) = self.hub.watchers().get_mut(&self.login) {
            let ours = watchers.iter_mut().filter(|watcher| watcher.connection == self.connection);
            for keepsake in ours.filter_map(|watcher| watcher.keepsake.as_mut()) {
                **keepsake = keepsake.with_code(words, deadlines, asked);
            }
        }
    }

    /// The record exists, this connection has it since then, and knows this much of it already. While it waits, its owner
    /// remembers how it was written.
    pub(super) fn settle(
        &mut self,
        version: u64,
        since: Timestamp,
        standing: Standing,
        mut keepsake: Option<Keepsake>,
    ) {
        if standing == Standing::Scanned {
            self.told = Some(Change::Scanned);
        }
        self.since = since;
        let mut watchers = self.hub.watchers();
        let Some(watchers) = watchers.get_mut(&self.login) else { return };
        for watcher in watchers.iter_mut().filter(|watcher| watcher.connection == self.connection) {
            self.know_of(watcher, version, standing);
            if watcher.news.borrow().standing == Standing::Waiting {
                watcher.keepsake = keepsake.take().map(Box::new);
            }
        }
    }

    /// The record has come this far by a move of its owner's own, which need not be told.
    pub(super) fn know(&self, version: u64, standing: Standing) {
        if let Some(watchers) = self.hub.watchers().get(&self.login) {
            for watcher in watchers.iter().filter(|watcher| watcher.connection == self.connection) {
                self.know_of(watcher, version, standing);
            }
        }
    }

    fn know_of(&self, watcher: &Watcher, version: u64, standing: Standing) {
        let news = News { version, standing, connection: self.connection, since: self.since };
        watcher.news.send_if_modified(|known| {
            *known = known.then(news).unwrap_or(*known);
            false
        });
    }
}

impl Drop for LoginWatch {
    fn drop(&mut self) {
        self.hub.leave(self.login, self.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::SessionId;

    const FIRST: Timestamp = Timestamp(10);

    fn watched() -> (Arc<Hub>, RecordId, LoginWatch) {
        let hub = Arc::new(Hub::default());
        let login = SessionId::random().record_id();
        let watch = hub.enter(login, ConnectionId::random());
        (hub, login, watch)
    }

    fn pending(watch: &mut LoginWatch) -> bool {
        let changed = std::pin::pin!(watch.changed());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        changed.poll(&mut context).is_pending()
    }

    #[tokio::test]
    async fn old_and_doubled_news_is_no_news() {
        let (hub, login, mut watch) = watched();
        let connection = watch.connection();
        watch.settle(1, FIRST, Standing::Waiting, None);
        hub.tell(login, News { version: 1, standing: Standing::Waiting, connection, since: FIRST });
        assert!(pending(&mut watch), "version 1 is known");
        hub.tell(login, News { version: 2, standing: Standing::Scanned, connection, since: FIRST });
        assert_eq!(watch.changed().await, Change::Scanned);
        hub.tell(login, News { version: 2, standing: Standing::Scanned, connection, since: FIRST });
        hub.tell(login, News { version: 3, standing: Standing::Scanned, connection, since: FIRST });
        assert!(pending(&mut watch), "it was told already");
        let (connection, since) = (ConnectionId::random(), Timestamp(20));
        hub.tell(login, News { version: 4, standing: Standing::Scanned, connection, since });
        assert_eq!(watch.changed().await, Change::Replaced);
    }

    #[tokio::test]
    async fn news_between_entering_and_settling_is_kept() {
        let (hub, login, mut watch) = watched();
        hub.tell_gone(login);
        hub.tell(
            login,
            News { version: 2, standing: Standing::Scanned, connection: watch.connection(), since: FIRST },
        );
        watch.settle(1, FIRST, Standing::Waiting, None);
        assert_eq!(watch.changed().await, Change::Scanned);
    }

    #[tokio::test]
    async fn a_lost_record_is_told_once() {
        let (hub, login, mut watch) = watched();
        watch.settle(1, FIRST, Standing::Waiting, None);
        hub.tell_gone(login);
        hub.tell_gone(login);
        assert_eq!(watch.changed().await, Change::Gone);
        assert!(pending(&mut watch));
    }

    #[test]
    fn a_dropped_watch_leaves_nothing_behind() {
        let (hub, login, watch) = watched();
        let other = hub.enter(login, ConnectionId::random());
        drop(watch);
        assert_eq!(hub.logins(), [Watched { login, settled: false }]);
        drop(other);
        assert!(hub.logins().is_empty());
    }

    #[tokio::test]
    async fn what_an_earlier_owner_was_told_of_a_record_that_was_set_back_is_told_here() {
        let (hub, login, mut watch) = watched();
        watch.settle(3, FIRST, Standing::Waiting, None);
        let (earlier, since) = (ConnectionId::random(), Timestamp(9));
        hub.tell(login, News { version: 4, standing: Standing::Waiting, connection: earlier, since });
        assert!(pending(&mut watch), "an earlier owner replaces nobody");
        hub.tell(login, News { version: 2, standing: Standing::Scanned, connection: earlier, since });
        assert_eq!(watch.changed().await, Change::Scanned);
    }

    #[tokio::test]
    async fn a_later_owner_replaces_whatever_the_versions() {
        let (hub, login, mut watch) = watched();
        watch.settle(3, FIRST, Standing::Waiting, None);
        let (later, since) = (ConnectionId::random(), Timestamp(11));
        hub.tell(login, News { version: 2, standing: Standing::Waiting, connection: later, since });
        assert_eq!(watch.changed().await, Change::Replaced);
    }
}
