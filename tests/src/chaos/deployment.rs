//! Three gateways, two callbacks, nginx, Redis and the platform, with a network between each two that can break.

use crate::nginx::Nginx;
use crate::program::{Program, Setting, setting};
use crate::relay::{Relay, Target};
use crate::stack::{Account, is_well};

use super::Plan;
use super::schedule::{Kind, Link};
use super::store::Store;
use crate::redis::{RedisCluster, RedisSentinel, RedisServer, url_through};

/// How many there are of what can break.
pub const GATEWAYS: usize = 3;
/// See [`GATEWAYS`].
pub const CALLBACKS: usize = 2;
/// nginx, and each gateway by itself.
pub const PAGE_LINKS: usize = 1 + GATEWAYS;

/// All of it.
#[derive(Debug)]
pub struct Deployment {
    /// Whose pages and pushes these are.
    pub account: Account,
    /// What is killed.
    pub programs: Programs,
    /// What breaks besides.
    pub store: Store,
    /// What nobody breaks.
    pub simulator: Program,
    page_links: Vec<Relay>,
    push_links: Vec<Relay>,
    _nginx: Nginx,
}

/// Our own.
#[derive(Debug)]
pub struct Programs {
    /// The replicas that hold browsers.
    pub gateways: Vec<Program>,
    /// The replicas that receive pushes.
    pub callbacks: Vec<Program>,
}

impl Deployment {
    /// Starts everything, and waits until it is ready.
    pub async fn start(plan: &Plan) -> Self {
        let (account, mut nginx) = (Account::random(), Nginx::absent());
        let store = match plan.kind {
            Kind::Single => single().await,
            Kind::Sentinel => Store::Sentinel(RedisSentinel::start_behind_networks().await),
            Kind::Cluster => Store::Cluster(RedisCluster::start_behind_networks().await),
        };
        let mut settings = account.settings("safe");
        let limits = ["PER_CLIENT", "PER_NETWORK", "TOTAL"];
        settings.extend(limits.map(|of| setting(format!("QR_LIMIT_{of}"), "off")));
        settings.push(setting("DRAIN_TIME", "1s"));
        settings.push(setting("TRUSTED_PROXIES", "127.0.0.0/8"));
        settings.push(setting("REPLICATION_WAIT", plan.replication_wait.to_string()));
        // The harness learns the addresses from the log.
        settings.push(setting("RUST_LOG", format!("{},shared::serve=info", plan.services_log)));
        let callback_url = format!("http://{}/wechat/callback", nginx.address());
        settings.push(setting("SIMULATOR_CALLBACK_URL", callback_url));
        let simulator = Program::start("simulator", settings.clone()).await;
        settings.push(setting("WECHAT_API_BASE", simulator.url()));
        let with_redis = |number: usize| -> Vec<Setting> {
            let url = setting("REDIS_URL", store.url(number).expose());
            settings.iter().cloned().chain([url]).collect()
        };
        let mut programs = Programs { gateways: Vec::new(), callbacks: Vec::new() };
        let (mut page_links, mut push_links) =
            (vec![Relay::to(Target::Tcp(nginx.address())).await], Vec::new());
        for number in 0..GATEWAYS {
            let gateway = Program::start("gateway", with_redis(number)).await;
            page_links.push(Relay::to(Target::Tcp(gateway.public())).await);
            programs.gateways.push(gateway);
        }
        for number in GATEWAYS..GATEWAYS + CALLBACKS {
            let callback = Program::start("callback", with_redis(number)).await;
            push_links.push(Relay::to(Target::Tcp(callback.public())).await);
            programs.callbacks.push(callback);
        }
        let addresses = |programs: &[Program]| programs.iter().map(Program::public).collect::<Vec<_>>();
        nginx.start(&addresses(&programs.gateways), &addresses(&programs.callbacks)).await;
        for program in programs.gateways.iter().chain(&programs.callbacks) {
            is_well(program).await;
        }
        Self { account, programs, store, simulator, page_links, push_links, _nginx: nginx }
    }

    /// Where pages come in: by way of nginx, and at each gateway.
    #[must_use]
    pub fn pages(&self) -> Vec<String> {
        urls(&self.page_links)
    }

    /// Where pushes come in.
    #[must_use]
    pub fn pushes(&self) -> Vec<String> {
        urls(&self.push_links)
    }

    /// What can be broken at the same time: the programs with what lies before them, and Redis with what leads to it.
    pub fn parts(&mut self) -> (&mut Programs, Networks<'_>, &mut Store) {
        let networks = Networks { pages: &self.page_links, pushes: &self.push_links };
        (&mut self.programs, networks, &mut self.store)
    }

    /// Everything that the services printed.
    #[must_use]
    pub fn printed(&self) -> String {
        self.programs.gateways.iter().chain(&self.programs.callbacks).map(Program::printed).collect()
    }
}

/// The networks before the programs.
#[derive(Clone, Copy, Debug)]
pub struct Networks<'a> {
    pages: &'a [Relay],
    pushes: &'a [Relay],
}

impl<'a> Networks<'a> {
    /// One of them; those that lead to Redis are the store's.
    #[must_use]
    pub fn of(self, link: Link) -> Option<&'a Relay> {
        match link {
            Link::Pages(number) => self.pages.get(number),
            Link::Pushes(number) => self.pushes.get(number),
            Link::Redis(_) => None,
        }
    }
}

async fn single() -> Store {
    let server = RedisServer::start_durable().await;
    let mut networks = Vec::new();
    for _ in 0..GATEWAYS + CALLBACKS {
        networks.push(server.another_relay().await);
    }
    Store::Single { server, networks }
}

impl Store {
    /// What the program with this number, gateways first, is told of Redis.
    fn url(&self, program: usize) -> shared::settings::Secret {
        match self {
            Self::Single { networks, .. } => url_through(&networks[program]),
            Self::Sentinel(sentinel) => sentinel.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }
}

fn urls(networks: &[Relay]) -> Vec<String> {
    networks.iter().map(|network| format!("http://{}", network.address())).collect()
}
