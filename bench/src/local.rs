//! A deployment of one's own, for as long as a run takes: Redis, simulator, gateways and callbacks as processes on a
//! loopback address that nobody else has.

mod child;

use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shared::settings::Secret;
use tempfile::TempDir;
use tokio::time;

use self::child::Child;
use crate::endpoint::Endpoint;
use crate::floor::RedisUrl;
use crate::http::Pool;
use crate::login::Parties;
use crate::phone::Texts;
use crate::random;
use crate::resources::Process;
use crate::run::Target;
use crate::turns::Away;

/// How long everything may take to be ready.
const START_TIME: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a load balancer takes to find out that a gateway leaves, which is less than its `DRAIN_DELAY`.
const NOTICED: Duration = Duration::from_secs(2);
/// A gateway has left by then, whatever is set: the longest `GRACE_TIME` by default, and some.
const LEAVE_TIME: Duration = Duration::from_secs(90);
/// Ports, the first of each kind: the address is our own.
const REDIS: u16 = 6379;
const SIMULATOR: u16 = 8000;
const GATEWAYS: u16 = 8100;
const CALLBACKS: u16 = 8300;
/// From a public port to its operators' port.
const ADMIN: u16 = 1000;
/// Replicas of one kind.
pub const REPLICAS_MAX: u16 = 100;

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many gateways.
    pub gateways: u16,
    /// How many callbacks.
    pub callbacks: u16,
    /// How long a code can be scanned: pages whose code is over do not wait any more.
    pub scene_ttl: Duration,
    /// What the services log.
    pub rust_log: String,
    /// What phones are told.
    pub texts: Texts,
}

/// A running deployment. All of it ends with this, and with the thread that started it.
#[derive(Debug)]
pub struct Deployment {
    children: Vec<Child>,
    address: Ipv4Addr,
    account: simulator::Config,
    redeem_secret: Secret,
    plan: Plan,
    binaries: PathBuf,
    /// Logs, and what Redis believes to be its own. Last, for it is removed when they have ended.
    directory: TempDir,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not beside this one.
    #[error("{0} is not there: cargo build --release -p gateway -p callback -p simulator -p bench")]
    NotBuilt(PathBuf),
    /// A program cannot be started.
    #[error("{name} cannot be started")]
    Start {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended at its start, or is not ready in time.
    #[error("{name} does not become ready; it said: {said}")]
    NotReady {
        /// Which.
        name: String,
        /// Its last lines.
        said: String,
    },
    /// A gateway that was asked to leave did not, or said at its end that something was wrong.
    #[error("{0} did not leave as it should")]
    Left(String),
    /// No account can be made up.
    #[error("no account can be made up")]
    Account(#[from] simulator::Error),
    /// The system gives no directory or no randomness.
    #[error("the deployment has no place")]
    System(#[from] io::Error),
}

impl Deployment {
    /// Starts everything and waits until it is ready. From the main thread: its children end with the thread.
    ///
    /// # Errors
    ///
    /// Something is not built, not installed, or does not become ready.
    pub async fn start(plan: Plan) -> Result<Self, Error> {
        let binaries = env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default();
        let address = own_address();
        let at = |port| format!("http://{}", SocketAddr::from((address, port)));
        let account = simulator::Config::random(format!("{}/wechat/callback", at(CALLBACKS)), at(SIMULATOR))?;
        let redeem_secret = Secret::new(format!("{:032x}", u128::from_be_bytes(random::bytes()?)));
        let (directory, children) = (TempDir::new()?, Vec::new());
        let mut deployment = Self { children, address, account, redeem_secret, plan, binaries, directory };
        deployment.start_redis()?;
        deployment.start_ours("simulator", SIMULATOR, 1)?;
        deployment.start_ours("gateway", GATEWAYS, deployment.plan.gateways)?;
        deployment.start_ours("callback", CALLBACKS, deployment.plan.callbacks)?;
        deployment.becomes_ready().await?;
        Ok(deployment)
    }

    /// Where browsers go.
    #[must_use]
    pub fn target(&self) -> Target {
        let process = |child: &Child| Process { name: child.name().to_owned(), pid: child.pid() };
        let processes = self.children.iter().map(process).collect();
        Target { processes, ..Target::of(self.endpoints(GATEWAYS, self.plan.gateways)) }
    }

    /// Whom a login needs besides.
    #[must_use]
    pub fn parties(&self) -> Parties {
        Parties {
            callbacks: self.endpoints(CALLBACKS, self.plan.callbacks),
            redeem_at: self.endpoints(GATEWAYS, self.plan.gateways),
            redeem_secret: self.redeem_secret.clone(),
            simulator: Endpoint::at((self.address, SIMULATOR).into()),
            account: self.account.clone(),
            texts: self.plan.texts.clone(),
            redis: self.redis_url().parse::<RedisUrl>().ok(),
        }
    }

    /// How other drivers reach it, as a shell reads it: the variables `target` and `parties` have the flags of `bench idle`
    /// and `bench login`, and the secrets are exported. They are made up for this deployment.
    #[must_use]
    pub fn directions(&self) -> String {
        let Target { gateways, processes, .. } = self.target();
        let Parties { callbacks, simulator, account, .. } = self.parties();
        let target = gateways.iter().map(|gateway| format!("--gateway {gateway}"));
        let watched = processes.iter().map(|Process { name, pid }| format!("--pid {name}={pid}"));
        let parties = callbacks.iter().map(|callback| format!("--callback {callback}"));
        let words = |words: Vec<String>| words.join(" ");
        let exports = [
            ("REDIS_URL", self.redis_url()),
            ("REDEEM_SECRET", self.redeem_secret.expose().to_owned()),
            ("WECHAT_APP_ID", account.app_id),
            ("WECHAT_ORIGINAL_ID", account.original_id),
            ("WECHAT_TOKEN", account.token),
            ("WECHAT_ENCODING_AES_KEY", account.encoding_aes_keys.join(",")),
        ];
        let exports = exports.map(|(name, value)| format!("export {name}={value}\n")).concat();
        format!(
            "{exports}target='{}'\nparties='{}'\n",
            words(target.chain(watched).collect()),
            words(parties.chain([format!("--simulator {simulator}")]).collect()),
        )
    }

    /// Replaces the gateways one after the other, as a rolling update does: each is asked to leave, gets no new pages when
    /// a load balancer would have noticed, ends, and starts anew.
    ///
    /// # Errors
    ///
    /// One does not leave well, or does not come back.
    pub async fn restart_gateways(&mut self, away: &Away) -> Result<(), Error> {
        let is_gateway = |place: &usize| self.children[*place].name().starts_with("gateway");
        let places: Vec<usize> = (0..self.children.len()).filter(is_gateway).collect();
        for ((number, port), place) in (0..).zip(GATEWAYS..).zip(places) {
            self.children[place].terminate();
            time::sleep(NOTICED).await;
            away.insert(number);
            let name = self.children[place].name().to_owned();
            let until = Instant::now() + LEAVE_TIME;
            loop {
                match self.children[place].ended() {
                    Some(status) if status.success() => break,
                    Some(_) => return Err(Error::Left(name)),
                    None if Instant::now() > until => return Err(Error::Left(name)),
                    None => time::sleep(LOOK_EVERY).await,
                }
            }
            self.children[place] = self.ours(&name, "gateway", port)?;
            self.is_ready(port, Instant::now() + START_TIME).await?;
            away.remove(number);
        }
        Ok(())
    }

    fn endpoints(&self, first: u16, number: u16) -> Vec<Endpoint> {
        let path = if first == CALLBACKS { "/wechat/callback" } else { "" };
        (first..first + number).map(|port| Endpoint::at((self.address, port).into()).or_path(path)).collect()
    }

    fn redis_url(&self) -> String {
        format!("redis://{}:{REDIS}", self.address)
    }

    fn start_redis(&mut self) -> Result<(), Error> {
        let (address, directory) = (self.address.to_string(), self.directory.path().display().to_string());
        let arguments = ["--bind", &address, "--port", &REDIS.to_string(), "--save", "", "--dir", &directory];
        let redis = self.child("redis", Path::new("redis-server"), &arguments, &[])?;
        self.children.push(redis);
        Ok(())
    }

    fn start_ours(&mut self, program: &str, first: u16, number: u16) -> Result<(), Error> {
        for port in first..first + number {
            let name =
                if number == 1 { program.to_owned() } else { format!("{program}-{}", port - first + 1) };
            let child = self.ours(&name, program, port)?;
            self.children.push(child);
        }
        Ok(())
    }

    fn ours(&self, name: &str, program: &str, port: u16) -> Result<Child, Error> {
        let binary = self.binaries.join(program);
        if !binary.exists() {
            return Err(Error::NotBuilt(binary));
        }
        self.child(name, &binary, &[], &self.settings(program, port))
    }

    fn child(
        &self,
        name: &str,
        program: &Path,
        arguments: &[&str],
        settings: &[(String, String)],
    ) -> Result<Child, Error> {
        let log = self.directory.path().join(format!("{name}.log"));
        Child::start(name, program, arguments, settings, &log)
            .map_err(|source| Error::Start { name: name.to_owned(), source })
    }

    /// Each program takes what it knows.
    fn settings(&self, program: &str, port: u16) -> Vec<(String, String)> {
        let at = |port| SocketAddr::from((self.address, port)).to_string();
        let mut settings = vec![
            (format!("{}_LISTEN", program.to_uppercase()), at(port)),
            ("ADMIN_LISTEN".to_owned(), at(port + ADMIN)),
        ];
        let text = |text: &str| text.to_owned();
        let common = [
            ("RUST_LOG", self.plan.rust_log.clone()),
            ("REDIS_URL", self.redis_url()),
            ("REDEEM_SECRET", text(self.redeem_secret.expose())),
            ("WECHAT_APP_ID", self.account.app_id.clone()),
            ("WECHAT_APP_SECRET", self.account.app_secret.clone()),
            ("WECHAT_ORIGINAL_ID", self.account.original_id.clone()),
            ("WECHAT_TOKEN", self.account.token.clone()),
            ("WECHAT_ENCODING_AES_KEY", self.account.encoding_aes_keys.join(",")),
            ("WECHAT_API_BASE", self.account.public_url.clone()),
            ("SIMULATOR_PUBLIC_URL", self.account.public_url.clone()),
            ("SIMULATOR_CALLBACK_URL", self.account.callback_url.clone()),
            ("SCENE_TTL", format!("{}s", self.plan.scene_ttl.as_secs().max(1))),
            ("SESSION_TTL", format!("{}s", self.plan.scene_ttl.as_secs().max(900))),
            // Load balancers learn late who leaves: see `NOTICED`.
            ("DRAIN_DELAY", text("5s")),
            // One machine plays all the visitors there are.
            ("QR_LIMIT_PER_CLIENT", text("off")),
            ("QR_LIMIT_PER_NETWORK", text("off")),
            ("QR_LIMIT_TOTAL", text("off")),
        ];
        settings.extend(common.map(|(name, value)| (name.to_owned(), value)));
        settings
    }

    async fn becomes_ready(&mut self) -> Result<(), Error> {
        let until = Instant::now() + START_TIME;
        let ports = [(GATEWAYS, self.plan.gateways), (CALLBACKS, self.plan.callbacks), (SIMULATOR, 1)];
        for port in ports.into_iter().flat_map(|(first, number)| first..first + number) {
            self.is_ready(port, until).await?;
        }
        Ok(())
    }

    async fn is_ready(&mut self, port: u16, until: Instant) -> Result<(), Error> {
        let admin = Pool::new(Endpoint::at((self.address, port + ADMIN).into()));
        while !is_well(&admin).await {
            let ended = self.children.iter_mut().position(Child::has_ended);
            if ended.is_some() || Instant::now() > until {
                let child = ended.map_or(self.children.last(), |ended| self.children.get(ended));
                let said = child.map(Child::last_words).unwrap_or_default();
                let name = child.map_or_else(String::new, |child| child.name().to_owned());
                return Err(Error::NotReady { name, said });
            }
            time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Whether nothing is wrong: a callback is ready without Redis, and says so.
async fn is_well(admin: &Pool) -> bool {
    let asked = time::timeout(START_TIME, admin.ask(&admin.get("/readyz"))).await;
    matches!(asked, Ok(Ok(answer)) if answer.status == 200 && answer.body.ends_with(br#""wrong":[]}"#))
}

/// This process's own address: process ids have at most 22 bits, and 127.64.0.0/10 is all loopback.
fn own_address() -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 0)) | (std::process::id() & 0x003f_ffff))
}
