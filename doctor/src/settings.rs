//! What the operator says: the variables of gateway and callback, read as those read them, and where the outside is.

#![allow(rustdoc::bare_urls, reason = "the comments are the terminal's help, too")]

mod problems;

use std::time::Duration;

use callback::Mode;
use callback::cipher::AesKey;
use callback::settings::CallbackSettings;
use callback::signature::Token;
use clap::Parser;
use gateway::origin::Origin;
use gateway::wechat::Account;
use reqwest::Url;
use shared::backplane::Diagnosis;
use shared::settings::{Invalid, Secret, parse_all_from, secret};
use shared::shutdown::Drain;

pub(crate) use self::problems::{Problems, Service};
use crate::foreign::Foreign;

/// What must not be shown.
const SECRETS: [&str; 5] =
    ["WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "REDEEM_SECRET", "REDIS_URL"];
/// What is said where Redis is not named.
const REDIS_URL_IS: &str = "the URL of the Redis that gateway and callback share, such as redis://redis:6379 (or \
                            REDIS_URL_FILE=path), or doctor --standalone where logins are in memory";
/// Where the callback listens for the platform.
const CALLBACK_PATH: &str = "/wechat/callback";

/// What `--help` says below the flags.
const AFTER_HELP: &str = "\
All other settings are the variables of the gateway and the callback, with NAME_FILE=path for secrets: give doctor the \
environment that they have. `gateway --help` and `callback --help` explain them. With those of only one of the two it \
checks what it can; without REDIS_URL logins are in memory, which only standalone allows: say --standalone; without \
PUBLIC_URL it asks nothing from outside.

It prints a line for each thing that it looks at: ok, warn, FAIL or skip, what was found, and below it what to click or \
change. It disturbs no login, but what it does can be seen:
  account    one QR code of the day's, which nobody sees, and one call for the token that the gateways share
  Redis      two keys of its own, for a moment, and a notice to itself
  callback   a verification, another one whose signature is forged on purpose, and an event that the platform does not \
have, scan_login_doctor; where that is refused, a few more that show why. Each is a line of its log. In plain mode it \
remembers their signatures, as every call's, for CALLBACK_MAX_SKEW twice and 61 s
  gateway    one session that nobody has. It takes it for a guess, which counts as 30 connections of this address \
(QR_LIMIT_PER_CLIENT): some twenty runs in a row are too many by default

Exit code: 0 if nothing failed, 1 if anything did, 2 if a flag is wrong.";

/// Tells an operator what is wrong with a deployment: settings, Redis, clock, access token, IP list, QR right, callback
/// URL, AES key and mode, page
#[derive(Clone, Debug, Parser)]
#[command(name = "doctor", version, after_help = AFTER_HELP)]
pub(crate) struct Flags {
    /// The URL of the login page as browsers reach it, without a path, such as https://login.example.com
    #[arg(long, env = "PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<Url>,
    /// The URL of the callback as the console has it (服务器地址); PUBLIC_URL and /wechat/callback if not set
    #[arg(long, env = "CALLBACK_URL", value_name = "URL", value_parser = callback_url)]
    pub(crate) callback_url: Option<Url>,
    /// The program is standalone (true or false): gateway and callback in one, which may do without REDIS_URL
    #[arg(long, env = "STANDALONE")]
    pub(crate) standalone: bool,
}

/// Something that a check needs, or why it is not there.
pub(crate) type Known<T> = Result<T, String>;

/// What is known of the deployment.
pub(crate) struct Deployment {
    /// Whose settings are here.
    pub(crate) services: [Service; 2],
    /// Everything that is wrong with the settings.
    pub(crate) problems: Problems,
    /// What applications redeem with, where they can. `Err` without the gateway's settings.
    pub(crate) redeem_secret: Known<Option<Secret>>,
    /// The account's `wx…` id.
    pub(crate) app_id: Known<String>,
    /// The account as the platform's API knows it.
    pub(crate) account: Known<Account>,
    /// Where that API is.
    pub(crate) api_base: Known<String>,
    /// `None`: logins are in memory.
    pub(crate) redis_url: Known<Option<Secret>>,
    /// How many replicas of Redis a login waits for.
    pub(crate) replication_wait: u8,
    /// What pushes are signed with.
    pub(crate) token: Known<Token>,
    /// How pushes travel.
    pub(crate) wrapping: Known<Wrapping>,
    /// The account's `gh_…` id, where it is set.
    pub(crate) original_id: Option<String>,
    /// How far a push's timestamp may lie from the callback's clock.
    pub(crate) max_skew: Duration,
    /// Whose pages may log in; empty: only the gateway's own.
    pub(crate) allowed_origins: Known<Vec<Origin>>,
    /// Where browsers come in.
    pub(crate) public_url: Known<Url>,
    /// Where the platform comes in.
    pub(crate) callback_url: Known<Url>,
    /// Shows what others wrote.
    pub(crate) foreign: Foreign,
}

/// How pushes travel.
#[derive(Clone, Debug)]
pub(crate) enum Wrapping {
    /// As they are.
    Plain,
    /// Encrypted, and nothing beside it. The keys are the newest first.
    Safe(Vec<AesKey>),
    /// Encrypted, with all plain fields beside it.
    Compatible(Vec<AesKey>),
}

impl Wrapping {
    /// Its name in the settings.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Safe(_) => "safe",
            Self::Compatible(_) => "compatible",
        }
    }
}

impl Deployment {
    /// Reads flags and variables.
    ///
    /// # Errors
    ///
    /// A flag is unknown or malformed. What is wrong with a variable is one of the problems.
    pub(crate) fn read() -> Result<Self, Invalid> {
        let (for_doctor, mut problems) = (&Service::doctor(), Problems::default());
        let (flags, malformed) = parse_all_from::<Flags, _, _>(std::env::args_os())?;
        problems.add_all(for_doctor, malformed);

        let services = if flags.standalone { Service::standalone() } else { Service::both() };
        let [for_gateway, for_callback] = &services;
        let (gateway, malformed) = parse_all_from::<gateway::settings::Settings, _, _>(["gateway"])?;
        problems.add_all(for_gateway, malformed);
        let (callback, malformed) = parse_all_from::<callback::settings::Settings, _, _>(["callback"])?;
        problems.add_all(for_callback, malformed);

        let app_id = problems.known(&[for_gateway, for_callback], gateway.account.required_app_id());
        let api_base = problems.well_formed(for_gateway, "WECHAT_API_BASE", gateway.wechat_api_base);
        let app_secret = problems.known(&[for_gateway], gateway::settings::app_secret());
        let redeem_secret = problems.known(&[for_gateway], gateway::settings::redeem_secret());
        let origins = gateway.gateway.allowed_origins.clone();
        let display_name = gateway.account.display_name;
        // Whether the rest goes together has nothing to do with the account.
        let nobody = Account { app_id: String::new(), app_secret: Secret::new(""), api_base: String::new() };
        let config = gateway.gateway.config(nobody, None, display_name.clone(), gateway.proxies);
        problems.add_all(for_gateway, config.err());
        problems.add_all(for_gateway, gateway.drain.drain(Drain::REPLICA).err());
        problems.add_all(for_callback, callback.drain.drain(Drain::REPLICA).err());

        let token = problems.known(&[for_callback], callback::settings::token());
        let wrapping = problems.known(&[for_callback], wrapping(&callback.callback));
        problems.add_all(for_callback, callback.callback.unsendable_replies(&display_name));

        let redis_url = problems.known(&[for_gateway, for_callback], redis_url(flags.standalone));
        let public_url = problems.well_formed(for_doctor, "PUBLIC_URL", flags.public_url);
        let public_url = public_url.and_then(|url| url.ok_or_else(|| "PUBLIC_URL is not set".to_owned()));
        let callback_url = problems.well_formed(for_doctor, "CALLBACK_URL", flags.callback_url);
        Ok(Self {
            app_id: app_id.clone(),
            account: app_id.and_then(|app_id| {
                Ok(Account { app_id, app_secret: app_secret?, api_base: api_base.clone()? })
            }),
            wrapping: problems.well_formed(for_callback, "WECHAT_MESSAGE_MODE", ()).and(wrapping),
            original_id: callback.callback.wechat_original_id,
            max_skew: callback.callback.callback_max_skew,
            allowed_origins: problems.well_formed(for_gateway, "ALLOWED_ORIGINS", origins),
            callback_url: callback_url.and_then(|url| match url {
                Some(url) => Ok(url),
                None => public_url.as_ref().map(callback_of).map_err(Clone::clone),
            }),
            foreign: Foreign::hiding(SECRETS.iter().filter_map(|name| secret(name).ok().flatten())),
            services,
            problems,
            // Both read the same variable.
            replication_wait: gateway.backplane.replication_wait,
            redeem_secret,
            api_base,
            redis_url,
            token,
            public_url,
        })
    }
}

#[cfg(test)]
impl Deployment {
    /// One of which nothing is known.
    pub(crate) fn unknown() -> Self {
        fn not<T>() -> Known<T> {
            Err("unknown".to_owned())
        }
        Self {
            services: Service::both(),
            problems: Problems::default(),
            redeem_secret: not(),
            app_id: not(),
            account: not(),
            api_base: not(),
            redis_url: not(),
            replication_wait: 0,
            token: not(),
            wrapping: not(),
            original_id: None,
            max_skew: Duration::from_secs(600),
            allowed_origins: not(),
            public_url: not(),
            callback_url: not(),
            foreign: Foreign::default(),
        }
    }
}

/// `None`: it is not set, and logins are in memory, as they may be in standalone.
fn redis_url(standalone: bool) -> Result<Option<Secret>, Invalid> {
    let url = match secret("REDIS_URL")? {
        Some(url) => url,
        None if standalone => return Ok(None),
        None => return Err(Invalid::missing("REDIS_URL", REDIS_URL_IS)),
    };
    Diagnosis::check(&url).map_err(|malformed| malformed.invalid())?;
    Ok(Some(url))
}

/// The mode with its keys one by one, for the callback may take only some of them.
fn wrapping(settings: &CallbackSettings) -> Result<Wrapping, Invalid> {
    let text = callback::settings::aes_key()?;
    let keys = || {
        let text = text.as_ref().map(Secret::expose).unwrap_or_default();
        text.split(',').filter_map(|key| AesKey::parse(key.trim())).collect()
    };
    Ok(match settings.mode(text.as_ref())? {
        Mode::Plain => Wrapping::Plain,
        Mode::Safe(_) => Wrapping::Safe(keys()),
        Mode::Compatible(_) => Wrapping::Compatible(keys()),
    })
}

fn callback_of(public_url: &Url) -> Url {
    let mut url = public_url.clone();
    url.set_path(CALLBACK_PATH);
    url
}

/// A URL without anything behind its authority.
fn public_url(text: &str) -> Result<Url, &'static str> {
    let url = callback_url(text)?;
    if url.path() == "/" { Ok(url) } else { Err("it has a path") }
}

/// An http or https URL that can be asked with a query of ours.
fn callback_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        Err("not an http or https URL")
    } else if !url.username().is_empty() || url.password().is_some() {
        // It is printed with every finding.
        Err("it has a user or a password: leave out what is before the @")
    } else if url.query().is_some() || url.fragment().is_some() {
        Err("it has a query or a fragment")
    } else {
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        for good in ["https://login.example.com", "http://127.0.0.1:8080/", "https://[2001:db8::1]:8443"] {
            assert!(public_url(good).is_ok(), "{good}");
        }
        for bad in [
            "login.example.com",
            "ftp://login.example.com",
            "https://login.example.com/wechat/callback",
            "https://login.example.com/?a",
            "https://me@login.example.com",
            "https://me:secret@login.example.com",
            "https://:secret@login.example.com",
            "https://",
        ] {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_callback_is_at_its_usual_path() {
        let url = public_url("https://login.example.com").unwrap();
        assert_eq!(callback_of(&url).as_str(), "https://login.example.com/wechat/callback");
        assert!(callback_url("https://wx.example.com/any/path").is_ok());
    }
}
