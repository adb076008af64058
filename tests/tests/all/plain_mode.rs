//! C3 and C9 in plain mode, over two callbacks on one Redis: whoever sees the pushes on their way cannot use their
//! signatures for messages of another making, whatever becomes of Redis.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callback::signature::Token;
use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::Value;
use shared::backplane::{LoginWatch, Role, Stamp};
use shared::login::{Deadlines, OpenId, QrCode, Scene, SessionId, Ticket};
use tests::http;
use tests::patience::{until, within};
use tests::program::{Program, setting};
use tests::redis::{RedisServer, url_through};
use tests::relay::{Direction, Relay};
use tests::replica::{Replica, SCENE_TTL, SESSION_TTL};
use tests::stack::{Account, is_well, somebodys_openid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

const SUCCESS: (StatusCode, &str) = (StatusCode::OK, "微信用户,登录成功!");
const RETRY: (StatusCode, &str) = (StatusCode::OK, "服务暂时繁忙");
const GREETING: (StatusCode, &str) = (StatusCode::OK, "您好!");
const REFUSED: (StatusCode, &str) = (StatusCode::FORBIDDEN, "");
/// What the contract gives the callback, whatever Redis does.
const ANSWER_TIME: Duration = Duration::from_millis(4500);
/// `CALLBACK_MAX_SKEW`'s default.
const MAX_SKEW: Duration = Duration::from_secs(600);
/// Rounds of a race.
const ROUNDS: usize = 50;
/// Signatures that a callback keeps in mind until Redis knows them; a crowd of more, and how many of it come at once.
const UNCONFIRMED_MAX: usize = 1024;
const CROWD: usize = 1100;
const CROWD_AT_ONCE: usize = 400;

/// Two callbacks, each with a network of its own, and somebody who opens logins.
struct World {
    account: Account,
    redis: RedisServer,
    networks: [Relay; 2],
    callbacks: [Program; 2],
    gateway: Replica,
}

/// A login that waits, with all that its platform knows of it.
struct Login {
    session: SessionId,
    scene: String,
    ticket: String,
    _watch: LoginWatch,
}

/// One push, or what somebody made of it.
#[derive(Clone)]
struct Push {
    timestamp: String,
    nonce: String,
    signature: String,
    body: String,
}

impl World {
    async fn new() -> Self {
        let (account, redis) = (Account::random(), RedisServer::start().await);
        let networks = [redis.another_relay().await, redis.another_relay().await];
        let start = async |network: &Relay| {
            let mut settings = account.settings("plain");
            settings.push(setting("REDIS_URL", url_through(network).expose()));
            let callback = Program::start("callback", settings).await;
            is_well(&callback).await;
            callback
        };
        let callbacks = [start(&networks[0]).await, start(&networks[1]).await];
        let gateway = Replica::connect(&redis.url(), Role::Watches).await;
        Self { account, redis, networks, callbacks, gateway }
    }

    async fn login(&self) -> Login {
        let session = SessionId::random();
        let scene = Scene::random(&session);
        let (text, ticket) = (scene.expose(), format!("ticket-{}", Uuid::new_v4().simple()));
        let code = QrCode { scene, ticket: Ticket::parse(&ticket).unwrap(), content: "http://x".to_owned() };
        let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
        let open = self.gateway.backplane().open(&session, code, deadlines, SESSION_TTL);
        let _watch = within("the login", open).await.unwrap();
        Login { session, scene: text, ticket, _watch }
    }

    /// Who has claimed a login.
    async fn claimed_by(&self, login: &Login) -> Option<String> {
        let scan = self.gateway.looks_up(&login.session.code()).await;
        scan.map(|(scan, _)| scan.by.expose().to_owned())
    }

    fn event(&self, by: &str, event: &str, key: &str, ticket: &str) -> String {
        format!(
            "<xml><ToUserName>{}</ToUserName><FromUserName>{by}</FromUserName><CreateTime>1763800030</CreateTime>\
             <MsgType>event</MsgType><Event>{event}</Event><EventKey>{key}</EventKey><Ticket>{ticket}</Ticket></xml>",
            self.account.original_id
        )
    }

    fn scan(&self, login: &Login, by: &str) -> String {
        self.event(by, "SCAN", &login.scene, &login.ticket)
    }

    /// A new push, as the platform makes it.
    fn push(&self, body: String) -> Push {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let nonce = Uuid::new_v4().as_u128().to_string();
        let signature = Token::parse(&self.account.token).unwrap().sign(&timestamp, &nonce);
        Push { timestamp, nonce, signature, body }
    }

    /// What a callback answers to a push: a status, and what is in it.
    async fn answers(&self, callback: usize, push: &Push) -> (StatusCode, String) {
        let start = Instant::now();
        let url = format!("{}{}", self.callbacks[callback].url(), push.path());
        let response = within("the callback", http::client().post(url).body(push.body.clone()).send()).await;
        let response = response.unwrap();
        let answer = (response.status(), response.text().await.unwrap());
        assert!(start.elapsed() < ANSWER_TIME, "{:?}", start.elapsed());
        answer
    }

    async fn gets(&self, callback: usize, push: &Push, expected: (StatusCode, &str)) {
        let (status, body) = self.answers(callback, push).await;
        assert!(status == expected.0 && body.contains(expected.1), "{status} {body}, not {expected:?}");
        assert_eq!(body.is_empty(), expected.1.is_empty(), "{body}");
    }

    /// The name of a push's signature in Redis.
    fn key(push: &Push) -> String {
        format!("scanlogin:{{{}}}:message", Stamp::of(&push.signature))
    }

    /// Waits until Redis remembers the push's signature.
    async fn remembers(&self, push: &Push) {
        until("the signature in Redis", async || self.redis.ask(&["EXISTS", &Self::key(push)]).await == "1")
            .await;
    }

    async fn finds_redis_again(&self) {
        for callback in &self.callbacks {
            is_well(callback).await;
        }
    }
}

impl Push {
    fn path(&self) -> String {
        let Self { timestamp, nonce, signature, .. } = self;
        format!("/wechat/callback?signature={signature}&timestamp={timestamp}&nonce={nonce}&openid=o1")
    }

    /// What somebody posts who has seen the query.
    fn forged(&self, body: String) -> Self {
        Self { body, ..self.clone() }
    }
}

#[tokio::test]
async fn c3_a_seen_signature_with_another_message_is_refused_on_every_replica() {
    let world = World::new().await;
    let (login, thief, victim) = (world.login().await, somebodys_openid(), somebodys_openid());
    let push = world.push(world.scan(&login, &victim));
    world.gets(0, &push, SUCCESS).await;
    let thiefs_own = world.login().await;
    for body in [
        world.scan(&thiefs_own, &victim),
        world.scan(&login, &thief),
        world.event(&victim, "unsubscribe", "", ""),
    ] {
        for callback in [1, 0] {
            world.gets(callback, &push.forged(body.clone()), REFUSED).await;
        }
    }
    assert_eq!(world.claimed_by(&login).await, Some(victim.clone()));
    assert_eq!(world.claimed_by(&thiefs_own).await, None);
    let logins = format!("scanlogin:{{{}}}:logins", OpenId::parse(&victim).unwrap().hash());
    assert_eq!(world.redis.ask(&["GET", &logins]).await, "1", "neither counted again nor forgotten");
    for callback in [1, 0] {
        world.gets(callback, &push, SUCCESS).await;
    }
    assert!(world.callbacks[1].printed().contains("the signature came before with another message"));
}

#[tokio::test]
async fn c3_of_two_messages_with_one_signature_at_the_same_moment_one_is_believed() {
    let world = World::new().await;
    for _ in 0..ROUNDS {
        let (login, person, thief) = (world.login().await, somebodys_openid(), somebodys_openid());
        let push = world.push(world.scan(&login, &person));
        let forged = push.forged(world.scan(&login, &thief));
        let (good, bad) = tokio::join!(world.answers(0, &push), world.answers(1, &forged));
        let by = world.claimed_by(&login).await.unwrap();
        match (good.0, bad.0) {
            (StatusCode::OK, StatusCode::FORBIDDEN) => assert_eq!(by, person),
            (StatusCode::FORBIDDEN, StatusCode::OK) => assert_eq!(by, thief),
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn c3_redis_holds_a_signatures_message_until_it_is_stale_and_neither_in_clear() {
    let world = World::new().await;
    let push = world.push(world.event(&somebodys_openid(), "CLICK", "somebodys-key", ""));
    world.gets(0, &push, (StatusCode::OK, "success")).await;
    let key = world.redis.ask(&["--scan"]).await;
    assert_eq!(key, World::key(&push));
    let life = Duration::from_millis(world.redis.ask(&["PTTL", &key]).await.parse().unwrap());
    // From as far before its timestamp as it is good, to as far behind, and the clocks may differ.
    assert!(life > 2 * MAX_SKEW && life < 2 * MAX_SKEW + Duration::from_secs(120), "{life:?}");
    let everything = format!("{key} {}", world.redis.ask(&["GET", &key]).await);
    for clear in [&push.timestamp, &push.nonce, &push.signature, "somebodys-key"] {
        assert!(!everything.contains(clear), "{clear} in {everything}");
    }
}

/// The order that a forger would wait for: the push comes while its signature cannot be remembered, and the forgery
/// afterwards.
#[tokio::test]
async fn c3_a_push_that_came_while_redis_was_away_keeps_its_signature() {
    let world = World::new().await;
    let (login, person, thief) = (world.login().await, somebodys_openid(), somebodys_openid());
    let push = world.push(world.scan(&login, &person));
    let forged = push.forged(world.scan(&login, &thief));
    world.networks[0].cut();
    world.gets(0, &push, RETRY).await;
    world.gets(0, &forged, REFUSED).await;
    world.networks[0].heal();
    // Whether or not Redis has been told of the push by now.
    world.gets(0, &forged, REFUSED).await;
    world.remembers(&push).await;
    world.gets(1, &forged, REFUSED).await;
    world.gets(0, &forged, REFUSED).await;
    assert_eq!(world.claimed_by(&login).await, None, "nothing was moved behind anybody's back");
    world.finds_redis_again().await;
    world.gets(1, &push, SUCCESS).await;
    assert_eq!(world.claimed_by(&login).await, Some(person));
}

/// More pushes than a callback keeps in mind: the rest is as little believed, and once they are told to Redis there is
/// room for the next.
#[tokio::test]
async fn c9_a_crowd_during_an_outage_is_in_nobodys_way_after_it() {
    let world = World::new().await;
    let (login, person) = (world.login().await, somebodys_openid());
    world.networks[0].cut();
    let pushes: Vec<Push> = (0..CROWD).map(|_| world.push(world.scan(&login, &somebodys_openid()))).collect();
    let answers = stream::iter(&pushes).map(|push| world.answers(0, push)).buffer_unordered(CROWD_AT_ONCE);
    let answers: Vec<_> = answers.collect().await;
    assert!(answers.iter().all(|(status, body)| *status == RETRY.0 && body.contains(RETRY.1)));
    world.networks[0].heal();
    let kept = UNCONFIRMED_MAX.to_string();
    until("the signatures in Redis", async || {
        world.redis.ask(&["EVAL", "return #redis.call('KEYS', '*:message')", "0"]).await == kept
    })
    .await;
    until("a scan to succeed", async || {
        let (_, body) = world.answers(0, &world.push(world.scan(&login, &person))).await;
        body.contains(SUCCESS.1)
    })
    .await;
    assert_eq!(world.claimed_by(&login).await, Some(person));
}

/// The check alone fails, and the claim behind it would be answered.
#[tokio::test]
async fn c9_nothing_is_moved_by_a_message_whose_signature_cannot_be_checked() {
    let world = World::new().await;
    let (login, person) = (world.login().await, somebodys_openid());
    let seen = world.push(world.scan(&login, &person));
    world.gets(0, &seen, SUCCESS).await;
    let logins = format!("scanlogin:{{{}}}:logins", OpenId::parse(&person).unwrap().hash());
    let next = world.login().await;
    let scan = world.push(world.scan(&next, &person));
    let leaves = world.push(world.event(&person, "unsubscribe", "", ""));
    let follows = world.push(world.event(&person, "subscribe", "", ""));
    let verification = world.push(String::new());
    for push in [&scan, &leaves, &follows, &verification] {
        // Where a text is expected, a list is an error.
        assert_eq!(world.redis.ask(&["LPUSH", &World::key(push), "x"]).await, "1");
    }
    world.gets(0, &scan, RETRY).await;
    world.gets(0, &leaves, (StatusCode::OK, "success")).await;
    world.gets(0, &follows, GREETING).await;
    let url = format!("{}{}&echostr=0012", world.callbacks[0].url(), verification.path());
    let verified = within("the callback", http::client().get(url).send()).await.unwrap();
    assert_eq!((verified.status(), verified.text().await.unwrap().as_str()), (StatusCode::OK, "0012"));
    assert_eq!(world.claimed_by(&next).await, None);
    assert_eq!(world.redis.ask(&["GET", &logins]).await, "1", "she is not forgotten");
    for push in [&scan, &leaves] {
        world.redis.ask(&["DEL", &World::key(push)]).await;
        world.remembers(push).await;
    }
    let forgotten = async || world.redis.ask(&["EXISTS", &logins]).await == "0";
    until("what could not be forgotten to be forgotten", forgotten).await;
    world.gets(1, &scan, SUCCESS).await;
    world.gets(1, &leaves, (StatusCode::OK, "success")).await;
    assert_eq!(world.redis.ask(&["GET", &logins]).await, "1", "a repeat forgets nobody who has come back");
}

/// The longest answer that there is: a body that takes its time, and a Redis that takes it three times, for the check,
/// the claim and the count. None of them takes too long by itself.
#[tokio::test]
async fn c9_all_that_may_be_slow_together_is_answered_in_time() {
    let world = World::new().await;
    let (login, person) = (world.login().await, somebodys_openid());
    world.gets(0, &world.push(world.event(&person, "CLICK", "", "")), (StatusCode::OK, "success")).await;
    let push = world.push(world.scan(&login, &person));
    world.networks[0].delay(Duration::from_millis(480));
    let mut platform = TcpStream::connect(world.callbacks[0].public()).await.unwrap();
    let framing = format!("host: x\r\nconnection: close\r\ncontent-length: {}", push.body.len());
    let head = format!("POST {} HTTP/1.1\r\n{framing}\r\n\r\n", push.path());
    platform.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1700)).await;
    platform.write_all(push.body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", platform.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(RETRY.1), "{answer}");
    // As the callback measures it: this comes so close to the limit that a busy machine's delays would count.
    let lines = || {
        let printed = world.callbacks[0].printed();
        let lines = printed.lines().filter(|line| line.contains("answered a push"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    until("the answer's line in the log", async || lines().len() == 2).await;
    let last = &lines()[1];
    let elapsed_ms = serde_json::from_str::<Value>(last).unwrap()["elapsed_ms"].as_u64().unwrap();
    assert!((1700..4500).contains(&elapsed_ms), "{elapsed_ms}");
    world.networks[0].heal();
    world.gets(1, &push, SUCCESS).await;
}

/// Commands that were swallowed arrive after all: the check, but no claim behind it.
#[tokio::test]
async fn c9_what_a_network_swallowed_claims_nothing_when_it_arrives() {
    for direction in [Direction::Requests, Direction::Replies] {
        let world = World::new().await;
        let (login, person, thief) = (world.login().await, somebodys_openid(), somebodys_openid());
        // The script is known, so that the check is one command.
        world.gets(0, &world.push(world.event(&person, "CLICK", "", "")), (StatusCode::OK, "success")).await;
        let push = world.push(world.scan(&login, &person));
        world.networks[0].hold(direction);
        world.gets(0, &push, RETRY).await;
        world.networks[0].heal();
        world.remembers(&push).await;
        world.finds_redis_again().await;
        assert_eq!(world.claimed_by(&login).await, None, "{direction:?}");
        for callback in [0, 1] {
            world.gets(callback, &push.forged(world.scan(&login, &thief)), REFUSED).await;
        }
        world.gets(1, &push, SUCCESS).await;
    }
}
