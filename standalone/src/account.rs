//! The account that is served: a real one, or one that is made up for this run.

use shared::settings::{Invalid, Secret};
use simulator::Config as SimulatorConfig;
use uuid::Uuid;

use crate::settings::Settings;

/// What belongs into `SIMULATOR_PUBLIC_URL`.
const PUBLIC_URL: &str = "an absolute http or https URL of at most 180 characters, without a query";

/// Whose logins these are.
#[derive(Clone, Debug)]
pub(crate) enum Account {
    Real { gateway: Box<gateway::Config>, callback: Box<callback::Config> },
    Simulated { redeem_secret: Option<Secret> },
}

/// What each part needs to know of the account.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) gateway: gateway::Config,
    pub(crate) callback: callback::Config,
    pub(crate) simulator: Option<SimulatorConfig>,
    /// The secret that was made up and so must be shown.
    pub(crate) redeem_secret: Option<Secret>,
}

/// What prevents an account from being made up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Simulator(#[from] simulator::Error),
    #[error(transparent)]
    Settings(#[from] Invalid),
}

impl Account {
    /// Makes an account up and throws it away, so that a wrong setting shows before anything is started.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), Invalid> {
        let somewhere = "http://127.0.0.1:65535";
        match self.clone().play(settings, somewhere) {
            Ok(played) => match played.simulator.map(|simulator| simulator.check()) {
                None | Some(Ok(())) => Ok(()),
                Some(Err(_)) => Err(Invalid::malformed("SIMULATOR_PUBLIC_URL", PUBLIC_URL)),
            },
            Err(Error::Settings(invalid)) => Err(invalid),
            Err(Error::Simulator(_)) => Err(Invalid::malformed("SIMULATOR_PUBLIC_URL", PUBLIC_URL)),
        }
    }

    /// Settles the account now that `here`, this process's own address, is known.
    pub(crate) fn play(self, settings: &Settings, here: &str) -> Result<Played, Error> {
        let redeem_secret = match self {
            Self::Real { gateway, callback } => {
                return Ok(Played {
                    gateway: *gateway,
                    callback: *callback,
                    simulator: None,
                    redeem_secret: None,
                });
            }
            Self::Simulated { redeem_secret } => redeem_secret,
        };
        let public_url = settings.simulator_public_url.as_deref().unwrap_or(here);
        let simulator = SimulatorConfig::random(format!("{here}/wechat/callback"), public_url)?;
        let made_up = redeem_secret.is_none().then(|| Secret::new(Uuid::new_v4().simple().to_string()));

        let account = gateway::wechat::Account {
            app_id: simulator.app_id.clone(),
            app_secret: Secret::new(&simulator.app_secret),
            api_base: here.to_owned(),
        };
        let name = settings.account.display_name.clone();
        let gateway = settings.gateway.clone().config(
            account,
            redeem_secret.or_else(|| made_up.clone()),
            name,
            settings.proxies.clone(),
        )?;

        let mut account = settings.account.clone();
        account.wechat_app_id = Some(simulator.app_id.clone());
        let mut callback = settings.callback.clone();
        callback.wechat_original_id = Some(simulator.original_id.clone());
        let secrets = callback::settings::Secrets {
            token: Secret::new(&simulator.token),
            encoding_aes_key: simulator.encoding_aes_keys.first().map(Secret::new),
        };
        let callback = callback.config(&account, &secrets, settings.proxies.clone())?;
        Ok(Played { gateway, callback, simulator: Some(simulator), redeem_secret: made_up })
    }
}
