//! A backplane as one process has it, and the pages on it. Every call is bounded, and an error fails the test.

use std::time::Duration;

use shared::backplane::{
    Backplane, BackplaneSettings, Budget, Change, Error, Exhausted, LoginWatch, MemoryBackplane, MessageHash,
    RedisBackplane, Resumed, Role, Stamp, Taken,
};
use shared::login::{
    Claim, Code, Deadlines, OpenId, QrCode, RecordId, Refresh, Scan, Scene, SessionId, Ticket,
};
use shared::settings::Secret;
use uuid::Uuid;

use crate::patience::{until, within, within_time};
use crate::redis::{RedisCluster, RedisServer};

/// A QR code's time that no test outlives.
pub const SCENE_TTL: Duration = Duration::from_secs(120);
/// A record's life that no test outlives.
pub const SESSION_TTL: Duration = Duration::from_secs(900);

/// What docs/redis.md, "Versions", says that suffices.
pub const ACL: &str = "resetkeys ~scanlogin:* resetchannels &scanlogin:inbox:* -@all +hello +auth +ping +info +client|id \
                       +evalsha +eval +subscribe +publish +ssubscribe +spublish +time +hmget +hget +hset +hincrby +get \
                       +set +incr +del +pexpire +pttl +wait";

/// What an outage takes at the most: a failover, and slow machines.
const OUTAGE: Duration = Duration::from_secs(30);

/// One of the backplanes, in its own world.
#[derive(Debug)]
pub enum Store {
    /// One process's memory.
    Memory(MemoryBackplane),
    /// A Redis server.
    Redis(RedisServer),
    /// A Redis Cluster.
    Cluster(RedisCluster),
}

impl Store {
    /// Memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory(MemoryBackplane::default())
    }

    /// A new Redis server.
    pub async fn redis() -> Self {
        Self::Redis(RedisServer::start().await)
    }

    /// A new Redis Cluster.
    pub async fn cluster() -> Self {
        Self::Cluster(RedisCluster::start().await)
    }

    /// A process that holds browsers. In memory all of them are one process.
    pub async fn gateway(&self) -> Replica {
        self.replica(Role::Watches).await
    }

    /// A process that only makes moves.
    pub async fn callback(&self) -> Replica {
        self.replica(Role::Moves).await
    }

    async fn replica(&self, role: Role) -> Replica {
        match self {
            Self::Memory(memory) => Replica { backplane: Backplane::Memory(memory.clone()) },
            Self::Redis(redis) => Replica::connect(&redis.url(), role).await,
            Self::Cluster(cluster) => Replica::connect(&cluster.url(), role).await,
        }
    }
}

/// One process's backplane.
#[derive(Clone, Debug)]
pub struct Replica {
    backplane: Backplane,
}

impl Replica {
    /// Connects to a Redis that is there.
    pub async fn connect(url: &Secret, role: Role) -> Self {
        let replica = Self::begin_to_connect(url, role);
        replica.becomes_reachable().await;
        replica
    }

    /// Connects to a Redis that may not be there.
    #[must_use]
    pub fn begin_to_connect(url: &Secret, role: Role) -> Self {
        Self::begin_to_connect_waiting(url, role, 0)
    }

    /// As [`Self::connect`], with moves that so many replicas of Redis must have before they are answered.
    pub async fn connect_waiting(url: &Secret, role: Role, replication_wait: u8) -> Self {
        let replica = Self::begin_to_connect_waiting(url, role, replication_wait);
        replica.becomes_reachable().await;
        replica
    }

    fn begin_to_connect_waiting(url: &Secret, role: Role, replication_wait: u8) -> Self {
        let settings = BackplaneSettings { replication_wait };
        let backplane = Backplane::Redis(RedisBackplane::connect(url, role, &settings).unwrap());
        Self { backplane }
    }

    /// The backplane itself, for calls that may fail.
    #[must_use]
    pub fn backplane(&self) -> &Backplane {
        &self.backplane
    }

    /// Waits until the store answers and notices arrive.
    pub async fn becomes_reachable(&self) {
        until("the backplane to be reachable", async || self.backplane.is_reachable()).await;
    }

    /// Waits until the outage is noticed.
    pub async fn becomes_unreachable(&self) {
        until("the backplane to be unreachable", async || !self.backplane.is_reachable()).await;
    }

    /// Opens a login with all the time in the world.
    pub async fn opens(&self) -> Page {
        self.opens_for(Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL }, SESSION_TTL).await
    }

    /// Opens a login with as much time as the test gives it.
    pub async fn opens_for(&self, deadlines: Deadlines, life: Duration) -> Page {
        let session = SessionId::random();
        let code = qr_code(&session);
        let watch = bounded(self.backplane.open(&session, code.clone(), deadlines, life)).await;
        Page { session, code, watch }
    }

    /// Opens logins until one is answered, as a page does that tries on.
    pub async fn opens_after_all(&self) -> Page {
        let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
        let opened = async {
            loop {
                let session = SessionId::random();
                let code = qr_code(&session);
                if let Ok(watch) = self.backplane.open(&session, code.clone(), deadlines, SESSION_TTL).await {
                    return Page { session, code, watch };
                }
            }
        };
        within_time(OUTAGE, "a login to be opened", opened).await
    }

    /// A whole login with every move that there is, by somebody.
    pub async fn logs_somebody_in(&self) -> Page {
        let (mut page, person) = (self.opens().await, somebody());
        assert_eq!(self.refreshes(&mut page).await, Refresh::Replaced);
        self.claims(&page.code, &person).await;
        assert_eq!(page.is_told().await, Change::Scanned);
        self.counts(&person, page.watch.login()).await;
        let (watch, _) = self.resumes(&page.session).await.unwrap();
        page.watch = watch;
        assert!(self.redeems(&page.session.code()).await.is_some());
        page
    }

    /// A person scans a QR code.
    pub async fn claims(&self, code: &QrCode, by: &OpenId) -> Claim {
        bounded(self.backplane.claim(&code.scene, &code.ticket, by)).await
    }

    /// An event comes in whose ticket need not be the scene's.
    pub async fn claims_with(&self, scene: &Scene, ticket: &Ticket, by: &OpenId) -> Claim {
        bounded(self.backplane.claim(scene, ticket, by)).await
    }

    /// The page asks for a new QR code; it shows it where it gets one.
    pub async fn refreshes(&self, page: &mut Page) -> Refresh {
        let code = qr_code(&page.session);
        let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
        let refresh = bounded(self.backplane.refresh(&page.watch, code.clone(), deadlines)).await;
        if refresh == Refresh::Replaced {
            page.code = code;
        }
        refresh
    }

    /// A browser comes back, and may be refused.
    ///
    /// # Errors
    ///
    /// Those of the backplane.
    pub async fn tries_to_resume(&self, session: &SessionId) -> Result<Option<(LoginWatch, Resumed)>, Error> {
        match self.backplane.owner(session).await? {
            Some(before) => self.backplane.resume(session, before).await,
            None => Ok(None),
        }
    }

    /// A browser comes back.
    pub async fn resumes(&self, session: &SessionId) -> Option<(LoginWatch, Resumed)> {
        bounded(self.tries_to_resume(session)).await
    }

    /// An application spends a code, in a request of its own.
    pub async fn redeems(&self, code: &Code) -> Option<Scan> {
        self.redeems_as(code, Uuid::new_v4()).await
    }

    /// An application spends a code, in a request that it may have made before.
    pub async fn redeems_as(&self, code: &Code, request: Uuid) -> Option<Scan> {
        bounded(self.backplane.redeem(code, request)).await
    }

    /// A request that could not be answered gives the code back.
    pub async fn withdraws(&self, code: &Code, request: Uuid) {
        bounded(self.backplane.withdraw(code, request)).await;
    }

    /// Looks up what a code would redeem.
    pub async fn looks_up(&self, code: &Code) -> Option<(Scan, Duration)> {
        bounded(self.backplane.redeemable(code)).await
    }

    /// Asks for the person's login count.
    pub async fn counts(&self, by: &OpenId, login: RecordId) -> u64 {
        bounded(self.backplane.login_count(by, login, SESSION_TTL)).await
    }

    /// Takes one from every budget, or none.
    ///
    /// # Errors
    ///
    /// One of them is used up.
    pub async fn takes<'b>(&self, budgets: &'b [Budget]) -> Result<Taken<'b>, Exhausted> {
        within("a budget", self.backplane.take(budgets)).await
    }

    /// Gives back what was taken for nothing.
    pub async fn gives_back(&self, taken: Taken<'_>) {
        within("a budget", self.backplane.give_back(taken)).await;
    }

    /// Forgets the person's login count, by a message that nobody has sent before.
    pub async fn forgets(&self, person: &OpenId) {
        self.forgets_by(person, &Uuid::new_v4().to_string()).await;
    }

    /// Forgets the person's login count, unless the message has done so already.
    pub async fn forgets_by(&self, person: &OpenId, message: &str) {
        let message = MessageHash::of(message.as_bytes());
        bounded(self.backplane.forget(person, message, SESSION_TTL)).await;
    }

    /// A message comes with a signature that is remembered for longer than the test takes.
    pub async fn binds(&self, stamp: Stamp, message: &str) -> bool {
        self.binds_for(stamp, message, SESSION_TTL).await
    }

    /// A message comes with a signature that is remembered as long as the test says.
    pub async fn binds_for(&self, stamp: Stamp, message: &str, life: Duration) -> bool {
        bounded(self.backplane.bind(stamp, MessageHash::of(message.as_bytes()), life)).await
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, Error>>) -> T {
    within("the backplane", call).await.unwrap()
}

/// A browser's page: its secret, the QR code that it shows, and what its gateway watches.
#[derive(Debug)]
pub struct Page {
    /// What only this browser holds.
    pub session: SessionId,
    /// What it shows.
    pub code: QrCode,
    /// What it is told through.
    pub watch: LoginWatch,
}

impl Page {
    /// Waits for what the page is told next.
    pub async fn is_told(&mut self) -> Change {
        told(&mut self.watch).await
    }
}

/// Waits for what a watch is told next.
pub async fn told(watch: &mut LoginWatch) -> Change {
    within("a watch to be told", watch.changed()).await
}

/// A person whom nobody else in the world is.
#[must_use]
pub fn somebody() -> OpenId {
    OpenId::parse(&format!("o{}", Uuid::new_v4().simple())).unwrap()
}

/// A signature that nobody else in the world has made.
#[must_use]
pub fn stamp() -> Stamp {
    Stamp::of(&Uuid::new_v4().simple().to_string())
}

/// A QR code as the platform might make it for `session`.
#[must_use]
pub fn qr_code(session: &SessionId) -> QrCode {
    let ticket = Ticket::parse(&format!("ticket-{}", Uuid::new_v4().simple())).unwrap();
    let content = format!("http://weixin.qq.com/q/{}", Uuid::new_v4().simple());
    QrCode { scene: Scene::random(session), ticket, content }
}
