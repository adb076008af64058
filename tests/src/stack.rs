//! All of it together: gateways and callbacks over Redis behind nginx, and the simulator.

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::application::Application;
use crate::browser::Browser;
use crate::http;
use crate::nginx::Nginx;
use crate::patience::{until, within};
use crate::program::{Program, Setting, setting};
use crate::redis::RedisServer;
use crate::relay::{Relay, Target};

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many gateways.
    pub gateways: usize,
    /// How many callbacks.
    pub callbacks: usize,
    /// `WECHAT_MESSAGE_MODE`.
    pub mode: &'static str,
    /// Whether each callback has a network of its own, between the proxy and it.
    pub callback_networks: bool,
    /// Settings for every program that come last, and win.
    pub settings: Vec<Setting>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { gateways: 2, callbacks: 2, mode: "safe", callback_networks: false, settings: Vec::new() }
    }
}

/// The account that the simulator plays.
#[derive(Clone, Debug)]
pub struct Account {
    /// `wx…`.
    pub app_id: String,
    /// What tokens are fetched with.
    pub app_secret: String,
    /// `gh_…`.
    pub original_id: String,
    /// What pushes are signed with.
    pub token: String,
    /// What pushes are encrypted with.
    pub aes_key: String,
    /// What applications redeem with.
    pub redeem_secret: String,
}

impl Account {
    /// An account that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self {
            app_id: format!("wx{}", &random()[..16]),
            app_secret: random(),
            original_id: format!("gh_{}", &random()[..12]),
            token: random(),
            aes_key: format!("{}{}", random(), &random()[..11]),
            redeem_secret: random(),
        }
    }

    /// The settings of one program, or of all: each takes what it knows.
    #[must_use]
    pub fn settings(&self, mode: &str) -> Vec<Setting> {
        let mut settings = vec![
            setting("WECHAT_APP_ID", &self.app_id),
            setting("WECHAT_APP_SECRET", &self.app_secret),
            setting("WECHAT_ORIGINAL_ID", &self.original_id),
            setting("WECHAT_TOKEN", &self.token),
            setting("WECHAT_MESSAGE_MODE", mode),
            setting("REDEEM_SECRET", &self.redeem_secret),
        ];
        if mode != "plain" {
            settings.push(setting("WECHAT_ENCODING_AES_KEY", &self.aes_key));
        }
        settings
    }
}

/// What a scan came to, as the simulator tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Scan {
    /// Who scanned.
    pub openid: String,
    /// The event that was pushed, if any.
    pub event: Option<String>,
    /// Every push of it.
    pub attempts: Vec<Attempt>,
    /// What the phone shows.
    pub shown: Option<String>,
}

/// One push.
#[derive(Clone, Debug, Deserialize)]
pub struct Attempt {
    /// The callback's answer.
    pub status: Option<u16>,
}

/// What the platform knows about a QR code, and no browser is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnownCode {
    /// What the gateway made it for.
    pub scene: String,
    /// The code's own name.
    pub ticket: String,
}

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    /// The account that is played.
    pub account: Account,
    /// The store.
    pub redis: RedisServer,
    /// The replicas that hold browsers.
    pub gateways: Vec<Program>,
    /// The replicas that receive pushes.
    pub callbacks: Vec<Program>,
    /// What lies between the proxy and each of them, where the plan says so.
    pub callback_networks: Vec<Relay>,
    /// The platform.
    pub simulator: Program,
    nginx: Nginx,
}

impl Plan {
    /// Starts everything, and waits until it is ready.
    pub async fn start(self) -> Stack {
        let account = Account::random();
        let (redis, mut nginx) = (RedisServer::start().await, Nginx::absent());
        let mut settings = account.settings(self.mode);
        settings.push(setting("REDIS_URL", redis.url().expose()));
        settings.push(setting("DRAIN_TIME", "1s"));
        // All browsers of a test have one address.
        let limits = ["PER_CLIENT", "PER_NETWORK", "TOTAL"];
        settings.extend(limits.map(|of| setting(format!("QR_LIMIT_{of}"), "off")));
        // nginx, and whoever plays a proxy.
        settings.push(setting("TRUSTED_PROXIES", "127.0.0.0/8"));
        let callback_url = format!("http://{}/wechat/callback", nginx.address());
        settings.push(setting("SIMULATOR_CALLBACK_URL", callback_url));
        settings.extend(self.settings);
        let simulator = Program::start("simulator", settings.clone()).await;
        settings.push(setting("WECHAT_API_BASE", simulator.url()));
        let (mut gateways, mut callbacks) = (Vec::new(), Vec::new());
        for _ in 0..self.gateways {
            gateways.push(Program::start("gateway", settings.clone()).await);
        }
        for _ in 0..self.callbacks {
            callbacks.push(Program::start("callback", settings.clone()).await);
        }
        let addresses = |programs: &[Program]| programs.iter().map(Program::public).collect::<Vec<_>>();
        let (mut to_callbacks, mut callback_networks) = (addresses(&callbacks), Vec::new());
        if self.callback_networks {
            for address in &mut to_callbacks {
                let network = Relay::to(Target::Tcp(*address)).await;
                *address = network.address();
                callback_networks.push(network);
            }
        }
        nginx.start(&addresses(&gateways), &to_callbacks).await;
        let stack = Stack { account, redis, gateways, callbacks, callback_networks, simulator, nginx };
        for program in stack.gateways.iter().chain(&stack.callbacks) {
            is_well(program).await;
        }
        stack
    }
}

impl Stack {
    /// Two gateways and two callbacks.
    pub async fn start() -> Self {
        Plan::default().start().await
    }

    /// Where everybody comes in.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.nginx.address())
    }

    /// A page opens, on whichever gateway.
    pub async fn browser(&self) -> Browser {
        Browser::open(&self.url()).await
    }

    /// A follower scans.
    pub async fn scan(&self, content: &str, openid: &str) -> Scan {
        self.phone(json!({ "content": content, "openid": openid })).await
    }

    /// Anything that the simulator's phone can do with a QR code.
    pub async fn phone(&self, act: Value) -> Scan {
        scan_at(&self.simulator.url(), &act).await
    }

    /// What the platform knows about the QR code with this text, for whoever pushes in its place.
    pub async fn known_code(&self, content: &str) -> KnownCode {
        let url = format!("{}/simulator/code", self.simulator.url());
        let request = http::client().post(url).json(&json!({ "content": content })).send();
        let response = within("the simulator", request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{content}");
        response.json().await.unwrap()
    }

    /// The application, which reaches whichever gateway.
    #[must_use]
    pub fn application(&self) -> Application {
        Application::new(self.url(), &self.account.redeem_secret)
    }

    /// Everything that the services printed; the simulator is none.
    #[must_use]
    pub fn printed(&self) -> String {
        self.gateways.iter().chain(&self.callbacks).map(Program::printed).collect()
    }
}

/// Lets the simulator at `simulator` scan.
pub async fn scan_at(simulator: &str, act: &Value) -> Scan {
    let request = http::client().post(format!("{simulator}/simulator/scan")).json(act).send();
    let response = within("the phone", request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{act}");
    response.json().await.unwrap()
}

/// Waits until a program says that nothing is wrong with it.
pub async fn is_well(program: &Program) {
    until("a program to be ready", async || {
        let answer = http::client().get(format!("{}/readyz", program.admin_url())).send().await.unwrap();
        let ready = answer.status() == StatusCode::OK;
        let body: Value = answer.json().await.unwrap();
        ready && body["wrong"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}

/// An openid that nobody else in the world has.
#[must_use]
pub fn somebodys_openid() -> String {
    format!("o{}", &Uuid::new_v4().simple().to_string()[..27])
}
