//! Who in this process watches which login.

mod keepsake;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use self::keepsake::Keepsake;
use crate::login::{ConnectionId, Deadlines, LoginRecord, LoginState, RecordId};

/// What a notice says: enough for the push, and the version that decides whether it is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// How many moves the record has made.
    pub version: u64,
    /// What it has come to.
    pub standing: Standing,
    /// The connection that has the session.
    pub connection: ConnectionId,
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
        let unknown = News { version: 0, standing: Standing::Waiting, connection };
        let (sender, news) = watch::channel(unknown);
        let watcher = Watcher { connection, news: sender, keepsake: None };
        self.watchers().entry(login).or_insert_with(|| Vec::with_capacity(1)).push(watcher);
        LoginWatch { hub: self.clone(), login, connection, news, told: None }
    }

    /// Tells whoever watches `login`; news that is not newer is dropped.
    pub(super) fn tell(&self, login: RecordId, news: News) {
        if let Some(watchers) = self.watchers().get_mut(&login) {
            for watcher in watchers {
                if news.standing != Standing::Waiting {
                    watcher.keepsake = None;
                }
                watcher.news.send_if_modified(|known| {
                    let newer = news.version > known.version;
                    if newer {
                        *known = news;
                    }
                    newer
                });
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
    pub(super) fn lost(&self, login: RecordId, stored: Option<u64>) -> Option<(News, Keepsake)> {
        let watchers = self.watchers();
        let owners = watchers.get(&login)?.iter().filter_map(|watcher| {
            let news = *watcher.news.borrow();
            let keepsake = watcher.keepsake.as_deref()?;
            (news.connection == watcher.connection && news.standing == Standing::Waiting)
                .then_some((news, keepsake))
        });
        let (news, keepsake) = owners.max_by_key(|(news, _)| news.version)?;
        let is_lost =
            stored.is_none_or(|stored| stored < news.version) && keepsake.at(Instant::now()).is_some();
        is_lost.then(|| (news, keepsake.clone()))
    }

    /// All logins that are watched.
    pub(super) fn logins(&self) -> Vec<RecordId> {
        self.watchers().keys().copied().collect()
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

    /// The record waits, and its owner remembers how it was written.
    pub(super) fn keep(&self, keepsake: Keepsake) {
        if let Some(watchers) = self.hub.watchers().get_mut(&self.login) {
            let mut ours = watchers.iter_mut().filter(|watcher| watcher.connection == self.connection);
            let ours = ours.find(|watcher| watcher.news.borrow().standing == Standing::Waiting);
            if let Some(watcher) = ours {
                watcher.keepsake = Some(Box::new(keepsake));
            }
        }
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

    /// The record exists, and its owner knows this much of it already.
    pub(super) fn settle(&mut self, version: u64, standing: Standing) {
        if standing == Standing::Scanned {
            self.told = Some(Change::Scanned);
        }
        self.know(version, standing);
    }

    /// The record has come this far by a move of its owner's own, which need not be told.
    pub(super) fn know(&self, version: u64, standing: Standing) {
        let news = News { version, standing, connection: self.connection };
        if let Some(watchers) = self.hub.watchers().get(&self.login) {
            for watcher in watchers.iter().filter(|watcher| watcher.connection == self.connection) {
                watcher.news.send_if_modified(|known| {
                    if news.version > known.version {
                        *known = news;
                    }
                    false
                });
            }
        }
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
        watch.settle(1, Standing::Waiting);
        hub.tell(login, News { version: 1, standing: Standing::Scanned, connection });
        assert!(pending(&mut watch), "version 1 is known");
        hub.tell(login, News { version: 2, standing: Standing::Scanned, connection });
        assert_eq!(watch.changed().await, Change::Scanned);
        hub.tell(login, News { version: 2, standing: Standing::Scanned, connection });
        hub.tell(login, News { version: 3, standing: Standing::Scanned, connection });
        assert!(pending(&mut watch), "it was told already");
        hub.tell(login, News { version: 4, standing: Standing::Scanned, connection: ConnectionId::random() });
        assert_eq!(watch.changed().await, Change::Replaced);
    }

    #[tokio::test]
    async fn news_between_entering_and_settling_is_kept() {
        let (hub, login, mut watch) = watched();
        hub.tell_gone(login);
        hub.tell(login, News { version: 2, standing: Standing::Scanned, connection: watch.connection() });
        watch.settle(1, Standing::Waiting);
        assert_eq!(watch.changed().await, Change::Scanned);
    }

    #[tokio::test]
    async fn a_lost_record_is_told_once() {
        let (hub, login, mut watch) = watched();
        watch.settle(1, Standing::Waiting);
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
        assert_eq!(hub.logins(), [login]);
        drop(other);
        assert!(hub.logins().is_empty());
    }
}
