//! The platform's side: an account, its logins, signed pushes, and what a phone would show.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, Method, StatusCode, header};
use callback::cipher::{AesKey, AesKeys};
use callback::reply::{Replies, Template};
use callback::signature::Token;
use callback::{Callback, Config, Mode, xml};
use shared::backplane::{Backplane, LoginWatch, MemoryBackplane};
use shared::client::ProxySettings;
use shared::login::{Deadlines, OpenId, QrCode, Scene, SessionId, Ticket};
use shared::serve;
use shared::traces::Traces;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const APP_ID: &str = "wx0123456789abcdef";
pub(crate) const OURS: &str = "gh_5e1f0a9b7c2d";
pub(crate) const KEY: &str = "k4Xq0Wm7ZsT1vB9nY3pLdJ6hG2fCrEaUoIeK8iQwMxS";
pub(crate) const OLD_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
pub(crate) const ALICE: &str = "oSim0_1a2B3c4D5e6F7g8H9i0JkL";
pub(crate) const BOB: &str = "oSim0_bbbbbbbbbbbbbbbbbbbbbb";
pub(crate) const USED: &str = "used";
pub(crate) const RETRY: &str = "retry";
pub(crate) const GREETING: &str = "您好!欢迎使用 SwooleWechat 扫描登录";
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(600);

/// What the phone shows after Alice's or Bob's `count`th login.
pub(crate) fn success(count: u64) -> String {
    format!("微信用户,登录成功!\n这是你第{count}次登录,玩的开心!")
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn token() -> Token {
    Token::parse("simToken2026").unwrap()
}

pub(crate) fn config(mode: Mode) -> Config {
    let template = |text: &str| Template::parse(text).unwrap();
    let replies = Replies {
        nickname: "微信用户".to_owned(),
        success: Template::parse_counting(r"{nickname},登录成功!\n这是你第{count}次登录,玩的开心!").unwrap(),
        used: template(USED),
        retry: template(RETRY),
        greeting: template(GREETING),
    };
    Config {
        app_id: APP_ID.to_owned(),
        original_id: Some(OURS.to_owned()),
        token: token(),
        mode,
        max_skew: MAX_SKEW,
        proxies: ProxySettings::default(),
        replies,
    }
}

pub(crate) fn safe() -> Mode {
    Mode::Safe(AesKeys::parse(KEY).unwrap())
}

pub(crate) fn compatible() -> Mode {
    Mode::Compatible(AesKeys::parse(KEY).unwrap())
}

/// How long anything may take that a test waits for, far more than it does take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of one platform; more than any test has.
const SOCKETS: usize = 64;

/// One account with one callback, which listens on a port of its own.
pub(crate) struct Platform {
    pub(crate) callback: Callback,
    pub(crate) address: SocketAddr,
    pub(crate) backplane: Backplane,
    /// The key that pushes are encrypted with; none in plain mode.
    pub(crate) key: Option<AesKey>,
    pub(crate) app_id: &'static str,
    client: reqwest::Client,
    /// Ends the listener.
    _serving: DropGuard,
}

impl Platform {
    pub(crate) fn new(mode: Mode) -> Self {
        Self::on(mode, Backplane::Memory(MemoryBackplane::default()))
    }

    /// With settings of its own.
    pub(crate) fn of(config: Config) -> Self {
        Self::with(config, Backplane::Memory(MemoryBackplane::default()))
    }

    pub(crate) fn on(mode: Mode, backplane: Backplane) -> Self {
        Self::with(config(mode), backplane)
    }

    fn with(config: Config, backplane: Backplane) -> Self {
        let key = config.mode.keys().is_some().then(|| AesKey::parse(KEY).unwrap());
        let callback = Callback::new(config, backplane.clone(), Traces::off());
        let listener =
            serve::bind("public", "CALLBACK_LISTEN", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve::serve(listener, callback.router(), SOCKETS, stop.clone()));
        let (client, _serving) = (client(), stop.drop_guard());
        Self { callback, address, backplane, key, app_id: APP_ID, client, _serving }
    }

    /// Another callback of the same account, on the same backplane.
    pub(crate) fn another(&self, mode: Mode) -> Self {
        Self::on(mode, self.backplane.clone())
    }

    /// A browser opens the page.
    pub(crate) async fn login(&self) -> Login {
        self.login_for(Duration::from_secs(60)).await
    }

    /// A browser opens the page, and the QR code can be scanned for so long.
    pub(crate) async fn login_for(&self, claimable: Duration) -> Login {
        let session = SessionId::random();
        let code = qr_code(&session);
        let watch =
            self.backplane.open(&session, code.clone(), deadlines(claimable), Duration::from_secs(60));
        Login { watch: watch.await.unwrap(), session, code }
    }

    /// The push of `message`, as the account's mode has it.
    pub(crate) fn push(&self, message: &str) -> Push {
        self.push_at(now(), message)
    }

    pub(crate) fn push_at(&self, timestamp: u64, message: &str) -> Push {
        match &self.key {
            None => Push::plain(&timestamp.to_string(), message),
            Some(key) => {
                let encrypted = key.encrypt(*b"0123456789abcdef", message.as_bytes(), self.app_id);
                Push::encrypted(&timestamp.to_string(), &encrypted, "")
            }
        }
    }

    pub(crate) async fn answer(&self, push: Push) -> Answer {
        self.send(self.client.post(self.url(&push)).body(push.body)).await
    }

    /// What a verification gets.
    pub(crate) async fn verified(&self, call: &Push) -> Answer {
        self.send(self.client.get(self.url(call))).await
    }

    /// What a call with this method gets, which need not be one of the platform's.
    pub(crate) async fn asked(&self, method: Method, call: &Push) -> Answer {
        self.send(self.client.request(method, self.url(call))).await
    }

    fn url(&self, call: &Push) -> String {
        format!("http://{}{}", self.address, call.uri())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
        let body = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
        Answer { status, headers, content_type: content_type.unwrap_or_default(), body }
    }

    /// The answer to `message`, which must be a good one.
    pub(crate) async fn shown(&self, message: &str) -> Option<String> {
        self.answer(self.push(message)).await.shown(self)
    }

    /// Who has claimed the login.
    pub(crate) async fn claimed_by(&self, login: &Login) -> Option<OpenId> {
        self.backplane.redeemable(&login.session.code()).await.unwrap().map(|(scan, _)| scan.by)
    }
}

/// A client with a limit on every request, which asks no proxy.
fn client() -> reqwest::Client {
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap()
}

/// One browser's attempt.
pub(crate) struct Login {
    pub(crate) watch: LoginWatch,
    pub(crate) session: SessionId,
    pub(crate) code: QrCode,
}

impl Login {
    /// What its QR code's events carry.
    pub(crate) fn ticket(&self) -> String {
        ticket(&self.code.scene)
    }

    /// A follower scans it.
    pub(crate) fn scan(&self, by: &str) -> String {
        event(by, "SCAN", &self.code.scene.expose(), Some(&self.ticket()))
    }

    /// A stranger scans it and follows the account.
    pub(crate) fn follow(&self, by: &str) -> String {
        let key = format!("qrscene_{}", self.code.scene.expose());
        event(by, "subscribe", &key, Some(&self.ticket()))
    }
}

pub(crate) fn qr_code(session: &SessionId) -> QrCode {
    let scene = Scene::random(session);
    let ticket = Ticket::parse(&ticket(&scene)).unwrap();
    QrCode { scene, ticket, content: "http://weixin.qq.com/q/02".to_owned() }
}

/// The platform's name for the QR code with this scene.
fn ticket(scene: &Scene) -> String {
    format!("gQ{}==", scene.nonce())
}

pub(crate) fn deadlines(claimable: Duration) -> Deadlines {
    Deadlines { shown: claimable, claimable }
}

pub(crate) fn event(by: &str, event: &str, key: &str, ticket: Option<&str>) -> String {
    let ticket = ticket.map(|ticket| format!("<Ticket><![CDATA[{ticket}]]></Ticket>\n")).unwrap_or_default();
    message(
        by,
        "event",
        &format!("<Event><![CDATA[{event}]]></Event>\n<EventKey><![CDATA[{key}]]></EventKey>\n{ticket}"),
    )
}

pub(crate) fn message(by: &str, kind: &str, rest: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{OURS}]]></ToUserName>\n<FromUserName><![CDATA[{by}]]></FromUserName>\n\
         <CreateTime>1763800030</CreateTime>\n<MsgType><![CDATA[{kind}]]></MsgType>\n{rest}</xml>"
    )
}

/// One call of the platform's, to be tampered with.
#[derive(Clone)]
pub(crate) struct Push {
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Push {
    /// A nonce that no other push of this process has.
    fn nonce() -> String {
        static NONCES: AtomicU64 = AtomicU64::new(1_000_000_000);
        NONCES.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn query(timestamp: &str, nonce: &str) -> Vec<(&'static str, String)> {
        vec![
            ("signature", token().sign(timestamp, nonce)),
            ("timestamp", timestamp.to_owned()),
            ("nonce", nonce.to_owned()),
            ("openid", ALICE.to_owned()),
        ]
    }

    pub(crate) fn plain(timestamp: &str, message: &str) -> Self {
        Self::plain_with(timestamp, &Self::nonce(), message)
    }

    pub(crate) fn plain_with(timestamp: &str, nonce: &str, message: &str) -> Self {
        Self { query: Self::query(timestamp, nonce), body: message.as_bytes().to_vec() }
    }

    /// `beside` stands beside the encrypted part, as in compatible mode.
    pub(crate) fn encrypted(timestamp: &str, encrypted: &str, beside: &str) -> Self {
        Self::encrypted_with(timestamp, &Self::nonce(), encrypted, beside)
    }

    pub(crate) fn encrypted_with(timestamp: &str, nonce: &str, encrypted: &str, beside: &str) -> Self {
        let mut query = Self::query(timestamp, nonce);
        query.push(("encrypt_type", "aes".to_owned()));
        query.push(("msg_signature", token().sign_encrypted(timestamp, nonce, encrypted)));
        let to = format!("<ToUserName><![CDATA[{OURS}]]></ToUserName>");
        let body = format!("<xml>{to}{beside}<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>");
        Self { query, body: body.into_bytes() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.query.retain(|(other, _)| *other != name);
        self
    }

    pub(crate) fn replacing(self, name: &'static str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    pub(crate) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn uri(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| format!("{name}={}", value.replace('+', "%2B")));
        format!("/wechat/callback?{}", pairs.collect::<Vec<_>>().join("&"))
    }

    /// The head of a request that announces its body by `framing`, a header.
    pub(crate) fn head(&self, framing: &str) -> String {
        format!("POST {} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n", self.uri())
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    /// What the phone shows, by the platform's rules; panics where it would show its fault line.
    pub(crate) fn shown(&self, platform: &Platform) -> Option<String> {
        assert_eq!(self.status, StatusCode::OK);
        if self.body == "success" {
            assert_eq!(self.content_type, "text/plain; charset=utf-8");
            return None;
        }
        assert_eq!(self.content_type, "text/xml; charset=utf-8");
        let reply = match &platform.key {
            Some(key) => open_envelope(&self.body, key, platform.app_id),
            None => self.body.clone(),
        };
        let names = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"];
        let [to, from, created, kind, content] =
            xml::read(reply.as_bytes(), names).unwrap().map(Option::unwrap);
        assert!(to.starts_with("oSim0_"), "the reply goes to a person: {to}");
        assert_eq!((from.as_str(), kind.as_str()), (OURS, "text"));
        assert!(now().abs_diff(created.parse().unwrap()) < 10, "seconds: {created}");
        assert!(!content.is_empty());
        Some(content)
    }
}

fn open_envelope(body: &str, key: &AesKey, app_id: &str) -> String {
    let names = ["Encrypt", "MsgSignature", "TimeStamp", "Nonce"];
    let [encrypted, signature, timestamp, nonce] =
        xml::read(body.as_bytes(), names).unwrap().map(Option::unwrap);
    assert!(token().has_signed_encrypted(&timestamp, &nonce, &encrypted, &signature));
    assert!(now().abs_diff(timestamp.parse().unwrap()) < 10, "seconds: {timestamp}");
    String::from_utf8(key.decrypt(&encrypted, app_id).unwrap()).unwrap()
}
