//! What a callback needs to know, checked already.

use std::time::Duration;

use shared::client::ProxySettings;

use crate::cipher::AesKeys;
use crate::reply::Replies;
use crate::signature::Token;

/// How far the clocks of replicas and of Redis may lie apart, and a second for what they round off.
const CLOCKS_APART: Duration = Duration::from_secs(61);

/// What a callback needs to know about the account, and what it says to people.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account's app id, which ends every encrypted part.
    pub app_id: String,
    /// The account's original id, `gh_…`; when it is known, messages to another are refused.
    pub original_id: Option<String>,
    /// The secret part of the platform's signatures.
    pub token: Token,
    /// How the platform wraps its pushes.
    pub mode: Mode,
    /// How far a call's timestamp may lie from the clock, to either side. The platform has no rule of its own; its
    /// repeats carry the first attempt's timestamp (docs/wechat.md, "Delivery").
    pub max_skew: Duration,
    /// Whose word is taken for where a call comes from, which log lines about refused calls tell.
    pub proxies: ProxySettings,
    /// What the phone shows.
    pub replies: Replies,
}

impl Config {
    /// How long a signature is remembered. It can come first `max_skew` before its timestamp by our clock, and is good
    /// until `max_skew` after it by the clock that is furthest behind: it must not be forgotten before it is stale.
    pub(crate) fn signature_life(&self) -> Duration {
        2 * self.max_skew + CLOCKS_APART
    }
}

/// How the platform wraps its pushes, as the operator says. A push has no say in it: who has seen one signature could
/// otherwise post a forged body that claims to be plain (docs/wechat.md, "Encryption").
#[derive(Clone, Debug)]
pub enum Mode {
    /// Encrypted.
    Safe(AesKeys),
    /// Encrypted, and plain nodes beside it, which are not read.
    Compatible(AesKeys),
    /// Not encrypted: the signature does not cover the body.
    Plain,
}

impl Mode {
    /// Its name in settings and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Safe(_) => "safe",
            Self::Compatible(_) => "compatible",
            Self::Plain => "plain",
        }
    }

    /// The keys of a mode that encrypts.
    #[must_use]
    pub fn keys(&self) -> Option<&AesKeys> {
        match self {
            Self::Safe(keys) | Self::Compatible(keys) => Some(keys),
            Self::Plain => None,
        }
    }
}
