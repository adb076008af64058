//! The Redis scripts are held to the state machine in plain Rust: the same moves, the same answers, step by step.

use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::backplane::{Change, LoginWatch, Resumed, Stamp};
use shared::login::{Claim, Deadlines, OpenId, QrCode, Refresh, SessionId};
use tests::replica::{Replica, SCENE_TTL, SESSION_TTL, Store, qr_code, somebody, stamp, told};
use uuid::Uuid;

/// Sequences that are tried, and the moves in one. Few people, logins, requests, signatures and messages, so that they
/// meet often.
const SEQUENCES: u32 = 100;
const MOVES: usize = 60;
const PEOPLE: usize = 3;
const REQUESTS: usize = 4;
const STAMPS: usize = 3;
const MESSAGES: [&str; 2] = ["one", "another"];

/// A move; numbers pick among what there is, wrapping around.
#[derive(Clone, Debug)]
enum Move {
    Open,
    Refresh { connection: usize },
    Resume { login: usize },
    Claim { code: usize, ticket: usize, by: usize },
    Redeem { login: usize, request: usize },
    Withdraw { login: usize, request: usize },
    LookUp { login: usize },
    Count { by: usize, login: usize },
    Forget { person: usize, message: usize },
    Bind { stamp: usize, message: usize },
    Leave { connection: usize },
}

fn any_move() -> impl Strategy<Value = Move> {
    let any = || 0..64_usize;
    prop_oneof![
        2 => Just(Move::Open),
        3 => any().prop_map(|connection| Move::Refresh { connection }),
        3 => any().prop_map(|login| Move::Resume { login }),
        // Most events carry their scene's ticket.
        6 => (any(), any()).prop_map(|(code, by)| Move::Claim { code, ticket: code, by }),
        1 => (any(), any(), any()).prop_map(|(code, ticket, by)| Move::Claim { code, ticket, by }),
        3 => (any(), any()).prop_map(|(login, request)| Move::Redeem { login, request }),
        1 => (any(), any()).prop_map(|(login, request)| Move::Withdraw { login, request }),
        1 => any().prop_map(|login| Move::LookUp { login }),
        3 => (any(), any()).prop_map(|(by, login)| Move::Count { by, login }),
        1 => (any(), any()).prop_map(|(person, message)| Move::Forget { person, message }),
        2 => (any(), any()).prop_map(|(stamp, message)| Move::Bind { stamp, message }),
        1 => any().prop_map(|connection| Move::Leave { connection }),
    ]
}

/// What a move came to, without what two stores cannot have in common: moments and connections.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Refresh(Refresh),
    Waiting { content: String, expired: bool },
    Scanned,
    Unknown,
    Claim(Claim),
    Scan { by: OpenId, scene: String },
    Count(u64),
    Bound(bool),
}

/// One of the two stores, and everything that was done to it.
struct Side {
    replica: Replica,
    watches: Vec<Option<LoginWatch>>,
}

/// What both sides are given.
struct World {
    people: Vec<OpenId>,
    requests: Vec<Uuid>,
    stamps: Vec<Stamp>,
    sessions: Vec<SessionId>,
    /// Every QR code that was ever made, of whichever login.
    codes: Vec<QrCode>,
    /// The login that each connection belongs to.
    connections: Vec<usize>,
}

#[test]
fn redis_answers_as_the_state_machine_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (redis, memory) = (runtime.block_on(Store::redis()), Store::memory());
    let (with_redis, in_memory) = (runtime.block_on(redis.gateway()), runtime.block_on(memory.gateway()));
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    let sequences = prop::collection::vec(any_move(), 1..MOVES);
    TestRunner::new(config)
        .run(&sequences, |moves| runtime.block_on(compare(&moves, with_redis.clone(), in_memory.clone())))
        .unwrap();
}

async fn compare(moves: &[Move], redis: Replica, memory: Replica) -> Result<(), TestCaseError> {
    let mut world = World {
        people: (0..PEOPLE).map(|_| somebody()).collect(),
        requests: (0..REQUESTS).map(|_| Uuid::new_v4()).collect(),
        stamps: (0..STAMPS).map(|_| stamp()).collect(),
        sessions: Vec::new(),
        codes: Vec::new(),
        connections: Vec::new(),
    };
    let [mut redis, mut memory] = [redis, memory].map(|replica| Side { replica, watches: Vec::new() });
    world.opens();
    let (opened, expected) = (redis.does(&world, &Move::Open).await, memory.does(&world, &Move::Open).await);
    prop_assert_eq!(opened, expected);
    for each in moves {
        world.prepares(each);
        let (answer, expected) = (redis.does(&world, each).await, memory.does(&world, each).await);
        if matches!(expected, Answer::Waiting { .. } | Answer::Scanned) {
            let Move::Resume { login } = each else { unreachable!("only a resume waits") };
            world.connections.push(login % world.sessions.len());
        }
        prop_assert_eq!(answer, expected, "after {:?}", each);
        // Memory tells at once; Redis must tell the same, whenever it gets round to it.
        for connection in 0..world.connections.len() {
            if let Some(expected) = memory.news(connection) {
                prop_assert_eq!(redis.is_told(connection).await, expected, "after {:?}", each);
            }
        }
    }
    // Notices come in order: what a fresh login is told shows that nothing else is on its way.
    let mut fence = redis.replica.opens().await;
    redis.replica.claims(&fence.code, &somebody()).await;
    fence.is_told().await;
    for connection in 0..world.connections.len() {
        prop_assert_eq!(redis.news(connection), None, "more than memory told");
    }
    Ok(())
}

impl World {
    fn opens(&mut self) {
        let session = SessionId::random();
        self.codes.push(qr_code(&session));
        self.sessions.push(session);
        self.connections.push(self.sessions.len() - 1);
    }

    /// Makes what the move needs new.
    fn prepares(&mut self, next: &Move) {
        match next {
            Move::Open => self.opens(),
            Move::Refresh { connection } => {
                let login = self.connections[connection % self.connections.len()];
                self.codes.push(qr_code(&self.sessions[login]));
            }
            _ => {}
        }
    }
}

impl Side {
    async fn does(&mut self, world: &World, next: &Move) -> Answer {
        let session = |n: &usize| &world.sessions[n % world.sessions.len()];
        let person = |n: &usize| &world.people[n % PEOPLE];
        let deadlines = Deadlines { shown: SCENE_TTL / 2, claimable: SCENE_TTL };
        match next {
            Move::Open => {
                let (session, code) = (world.sessions.last().unwrap(), world.codes.last().unwrap().clone());
                let open = self.replica.backplane().open(session, code, deadlines, SESSION_TTL);
                self.watches.push(Some(open.await.unwrap()));
                Answer::Done
            }
            Move::Refresh { connection } => {
                let Some(watch) = &self.watches[connection % self.watches.len()] else { return Answer::Done };
                let code = world.codes.last().unwrap().clone();
                Answer::Refresh(self.replica.backplane().refresh(watch, code, deadlines).await.unwrap())
            }
            Move::Resume { login } => {
                let Some((watch, resumed)) = self.replica.resumes(session(login)).await else {
                    return Answer::Unknown;
                };
                self.watches.push(Some(watch));
                match resumed {
                    Resumed::Waiting { content, shown_for } => {
                        Answer::Waiting { content, expired: shown_for.is_zero() }
                    }
                    Resumed::Scanned => Answer::Scanned,
                }
            }
            Move::Claim { code, ticket, by } => {
                let code = &world.codes[code % world.codes.len()];
                let ticket = &world.codes[ticket % world.codes.len()].ticket;
                Answer::Claim(self.replica.claims_with(&code.scene, ticket, person(by)).await)
            }
            Move::Redeem { login, request } => {
                let request = world.requests[request % REQUESTS];
                match self.replica.redeems_as(&session(login).code(), request).await {
                    Some(scan) => Answer::Scan { by: scan.by, scene: scan.scene.expose() },
                    None => Answer::Unknown,
                }
            }
            Move::Withdraw { login, request } => {
                self.replica.withdraws(&session(login).code(), world.requests[request % REQUESTS]).await;
                Answer::Done
            }
            Move::LookUp { login } => match self.replica.looks_up(&session(login).code()).await {
                Some((scan, _)) => Answer::Scan { by: scan.by, scene: scan.scene.expose() },
                None => Answer::Unknown,
            },
            Move::Count { by, login } => {
                Answer::Count(self.replica.counts(person(by), session(login).record_id()).await)
            }
            Move::Forget { person: forgotten, message } => {
                self.replica.forgets_by(person(forgotten), MESSAGES[message % MESSAGES.len()]).await;
                Answer::Done
            }
            Move::Bind { stamp, message } => {
                let (stamp, message) = (world.stamps[stamp % STAMPS], MESSAGES[message % MESSAGES.len()]);
                Answer::Bound(self.replica.binds(stamp, message).await)
            }
            Move::Leave { connection } => {
                let connection = connection % self.watches.len();
                self.watches[connection] = None;
                Answer::Done
            }
        }
    }

    /// What a connection was told by now.
    fn news(&mut self, connection: usize) -> Option<Change> {
        self.watches[connection].as_mut()?.changed().now_or_never()
    }

    /// Waits for what a connection is told.
    async fn is_told(&mut self, connection: usize) -> Change {
        told(self.watches[connection].as_mut().unwrap()).await
    }
}
