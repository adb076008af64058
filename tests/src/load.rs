//! The load driver before a stack: where its browsers go, and whom they need.

use bench::endpoint::Endpoint;
use bench::login::Parties;
use bench::phone::Texts;
use bench::resources::Process;
use bench::run::Target;
use shared::settings::Secret;

use crate::program::Program;
use crate::stack::{Account, Stack};

/// Where browsers go, with no process watched.
#[must_use]
pub fn target(gateways: &[String]) -> Target {
    Target::of(gateways.iter().map(|url| endpoint(url)).collect())
}

/// Whom a login needs besides. Callbacks are base URLs, and codes are redeemed at the gateways.
#[must_use]
pub fn parties(account: &Account, simulator: &Program, gateways: &[String], callbacks: &[String]) -> Parties {
    let path = |url: &String| endpoint(url).or_path("/wechat/callback");
    Parties {
        callbacks: callbacks.iter().map(path).collect(),
        redeem_at: gateways.iter().map(|url| endpoint(url)).collect(),
        redeem_secret: Secret::new(&account.redeem_secret),
        simulator: endpoint(&simulator.url()),
        account: platform(account, simulator),
        texts: Texts::default(),
        redis: None,
    }
}

/// The services of a stack, for [`Target::processes`].
#[must_use]
pub fn services(stack: &Stack) -> Vec<Process> {
    let named =
        |name: &str, program: &Program| Process { name: name.to_owned(), pid: program.pid().unsigned_abs() };
    let gateways = stack.gateways.iter().map(|program| named("gateway", program));
    let callbacks = stack.callbacks.iter().map(|program| named("callback", program));
    gateways.chain(callbacks).collect()
}

/// The account as the platform knows it. The driver pushes by itself, so where the simulator would is not asked.
fn platform(account: &Account, simulator: &Program) -> simulator::Config {
    simulator::Config {
        app_id: account.app_id.clone(),
        app_secret: account.app_secret.clone(),
        original_id: account.original_id.clone(),
        token: account.token.clone(),
        encoding_aes_keys: vec![account.aes_key.clone()],
        message_mode: simulator::MessageMode::Safe,
        callback_url: "http://localhost/".to_owned(),
        public_url: simulator.url(),
    }
}

fn endpoint(url: &str) -> Endpoint {
    url.parse().expect("our own programs have plain URLs")
}
