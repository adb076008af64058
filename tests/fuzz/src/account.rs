//! The account of the seeds, which is that of our own vectors (S1, S2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callback::cipher::AesKeys;
use callback::reply::{Replies, Template};
use callback::signature::Token;
use callback::{Config, Mode};
use shared::backplane::{Backplane, LoginWatch};
use shared::client::ProxySettings;
use shared::login::{Deadlines, QrCode, Scene, SessionId, Ticket};

/// The account's app id.
pub const APP_ID: &str = "wx0123456789abcdef";
/// Its original id.
pub const ORIGINAL_ID: &str = "gh_5e1f0a9b7c2d";
/// Its Token.
pub const TOKEN: &str = "simToken2026";
/// Its EncodingAESKey.
pub const KEY: &str = "k4Xq0Wm7ZsT1vB9nY3pLdJ6hG2fCrEaUoIeK8iQwMxS";
/// The one before.
pub const OLD_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// The account's clock and ours may differ by this.
pub const MAX_SKEW: Duration = Duration::from_secs(600);
/// What the phone shows after the first login.
pub const SUCCESS: &str = "success 1";
/// What else it may show.
pub const OTHER_TEXTS: [&str; 3] = ["used", "retry", "greeting"];
/// The text inside the QR codes.
pub const CONTENT: &str = "http://weixin.qq.com/q/02SimuLatorDemoQr00001";

/// A callback's settings in this mode: `plain`, `compatible`, or else safe.
#[must_use]
pub fn config(mode: &str) -> Config {
    let keys = || AesKeys::parse(&format!("{KEY},{OLD_KEY}")).unwrap();
    let template = |text: &str| Template::parse_counting(text).unwrap();
    let [used, retry, greeting] = OTHER_TEXTS.map(template);
    let replies = Replies {
        nickname: "微信用户".to_owned(),
        success: template("success {count}"),
        used,
        retry,
        greeting,
    };
    Config {
        app_id: APP_ID.to_owned(),
        original_id: Some(ORIGINAL_ID.to_owned()),
        token: Token::parse(TOKEN).unwrap(),
        mode: match mode {
            "plain" => Mode::Plain,
            "compatible" => Mode::Compatible(keys()),
            _ => Mode::Safe(keys()),
        },
        max_skew: MAX_SKEW,
        proxies: ProxySettings::default(),
        replies,
    }
}

/// One browser's attempt to log in.
pub struct Login {
    /// The browser's secret.
    pub session: SessionId,
    /// What the platform's events about it carry.
    pub scene: Scene,
    /// As text, for an event.
    pub ticket: String,
    /// Keeps the browser there.
    pub watch: LoginWatch,
}

impl Login {
    /// A browser opens the page and shows a QR code with this content.
    pub async fn open(backplane: &Backplane, content: &str) -> Self {
        let session = SessionId::random();
        let scene = Scene::random(&session);
        let ticket = format!("gQ{}==", scene.nonce());
        let code = QrCode {
            scene: scene.clone(),
            ticket: Ticket::parse(&ticket).unwrap(),
            content: content.to_owned(),
        };
        let life = Duration::from_secs(60);
        let deadlines = Deadlines { shown: life, claimable: life };
        let watch = backplane.open(&session, code, deadlines, life).await.unwrap();
        Self { session, scene, ticket, watch }
    }

    /// The page was scanned and the claim won by this person.
    pub async fn scan(&self, backplane: &Backplane, openid: &str) {
        let by = shared::login::OpenId::parse(openid).unwrap();
        backplane.claim(&self.scene, &Ticket::parse(&self.ticket).unwrap(), &by).await.unwrap();
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}
