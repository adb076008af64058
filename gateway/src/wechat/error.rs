//! What can go wrong with the platform, and what the operator does about it.

use std::sync::Arc;
use std::time::Duration;

use super::rest::Weight;
use crate::protocol::whole_seconds;

/// A call that failed. Its text is for operators and holds no secret: never the URL, which carries the access token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or the connection broke.
    #[error("the WeChat API cannot be reached ({0}): check DNS, the network and the firewall towards it")]
    Unreachable(String),
    /// An answer that is none of the API's: a proxy's or an outage's.
    #[error("the WeChat API answered with HTTP status {0}: check WECHAT_API_BASE and any proxy on the way")]
    Status(u16),
    /// An answer that does not fit the documentation.
    #[error("the WeChat API answered {0}: check WECHAT_API_BASE and any proxy on the way")]
    Unreadable(&'static str),
    /// The platform said no.
    #[error("the WeChat API refused with {code} ({message}): {advice}")]
    Refused {
        /// The platform's number.
        code: i64,
        /// The platform's text, which names the address for 40164 and ends in an id for its support.
        message: String,
        /// What to do, in the log's words and the doctor's.
        advice: &'static str,
    },
    /// The platform does not take the token that it has just given.
    #[error(
        "the WeChat API does not take the access token that it gives: is the app secret being reset, or does \
         another program force new tokens?"
    )]
    TokenNotTaken,
    /// The platform is given a rest after it failed: this call was not made, or was the one that tried whether it works
    /// again.
    #[error("the WeChat API is not asked for {} s, for it failed", whole_seconds(*left))]
    Resting {
        /// The last failure.
        #[source]
        cause: Arc<Error>,
        /// What is left of the rest.
        left: Duration,
        /// Whether this call was made: it was the one that tried, and the last failure is its own.
        asked: bool,
    },
    /// So many QR codes are being made that this one had no turn.
    #[error(
        "too many QR codes are being made at once: is the WeChat API slow, or is this a flood? see QR_LIMIT_…"
    )]
    Crowded,
}

/// What one log line speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unreachable,
    Status(u16),
    Unreadable,
    Code(i64),
    TokenNotTaken,
    Crowded,
}

/// Codes that mean: this access token is no good any more (docs/wechat.md, "Tokens").
const TOKEN_CODES: [i64; 3] = [40001, 40014, 42001];
/// The platform is busy.
const BUSY: i64 = -1;
/// Longest text of the platform's that goes into a log line.
const MESSAGE_MAX: usize = 200;

impl Error {
    pub(super) fn unreachable(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let cause = std::iter::successors(std::error::Error::source(&error), |cause| cause.source()).last();
        Self::Unreachable(match cause {
            _ if error.is_timeout() => "no answer in time".to_owned(),
            Some(cause) => cause.to_string(),
            None => error.to_string(),
        })
    }

    pub(super) fn refused(code: i64, message: &str) -> Self {
        let message = message.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect();
        Self::Refused { code, message, advice: advice(code) }
    }

    /// Whether a new access token may help.
    pub(super) fn is_about_the_token(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if TOKEN_CODES.contains(code))
    }

    /// Whether the platform certainly did nothing: it said no, or was not asked.
    #[must_use]
    pub fn made_nothing(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::TokenNotTaken | Self::Crowded => true,
            // A failed probe may have done its work.
            Self::Resting { cause, asked, .. } => !asked || cause.made_nothing(),
            Self::Unreachable(_) | Self::Status(_) | Self::Unreadable(_) => false,
        }
    }

    /// What a call came to that was made again with a new token.
    pub(super) fn after_a_new_token(self) -> Self {
        if self.is_about_the_token() { Self::TokenNotTaken } else { self }
    }

    /// Whether the platform asks for patience, and the same call may be made again (docs/wechat.md, "Rules for every
    /// call"). That an answer did not come in time is something else: the platform may have worked.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { code: BUSY, .. })
    }

    /// Which failures are the same to an operator.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Unreachable(_) => Kind::Unreachable,
            Self::Status(status) => Kind::Status(*status),
            Self::Unreadable(_) => Kind::Unreadable,
            Self::Refused { code, .. } => Kind::Code(*code),
            Self::TokenNotTaken => Kind::TokenNotTaken,
            Self::Resting { cause, .. } => cause.kind(),
            Self::Crowded => Kind::Crowded,
        }
    }

    /// Whether somebody has to do something, or had better: it does not end by itself, or not soon.
    pub(super) fn needs_an_operator(&self) -> bool {
        match self.weight() {
            Some(Weight::Operator | Weight::Day) => true,
            Some(Weight::Minute) | None => false,
            Some(Weight::Hiccup) => matches!(self, Self::Refused { code, .. } if *code != BUSY),
        }
    }
}

/// What to do about a code of the platform's (docs/wechat.md, "Error codes").
fn advice(code: i64) -> &'static str {
    match code {
        BUSY => "the platform is busy, it will be asked again",
        40001 | 40125 => "WECHAT_APP_SECRET is wrong, was reset, or is not this app id's",
        40002 | 41001 | 41002 | 41004 | 43002 | 43003 | 44002 | 47001 | 40052 | 40053 => {
            "this is a defect of scan-login, or WECHAT_API_BASE is not the platform: please report it"
        }
        40003 => "the person is not of this account, or does not follow it any more",
        40013 => "WECHAT_APP_ID is wrong: it is case-sensitive and has no blanks",
        40014 | 42001 => "the access token has ended, a new one will be fetched",
        40164 => "add the address that the message names to the account's IP allow list (IP白名单)",
        40243 => {
            "the app secret is frozen (冻结): unfreeze it (解冻) in the console, which takes effect in about 10 minutes"
        }
        // A gateway rests until midnight whether or not the quota is cleared meanwhile (docs/wechat.md, "Trouble").
        45009 => {
            "the day's quota is used up: wait for midnight in Beijing, or clear the quota (POST /cgi-bin/clear_quota, \
             10 times a month) and restart the gateways, which rest until midnight otherwise"
        }
        45011 => "too many calls in this minute: it will be asked again",
        48001 => {
            "the account lacks the right to this call: to make QR codes it must be a certified service account (服务号), \
             or a test account (测试号)"
        }
        48004 => "the platform has blocked this API for the account: see the console's notices (通知)",
        50004 | 50007 => "the account or its interface is frozen: see the console's notices (通知)",
        89501 | 89503 => "the account's administrator must confirm in WeChat, on the phone",
        89506 | 89507 => "the account's administrator refused this address: try again tomorrow",
        _ => "see the platform's list of return codes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_certainly_made_nothing_counts_as_that_and_of_a_probe_its_cause_decides() {
        let (refused, timed_out) =
            (Error::refused(48001, ""), Error::Unreachable("no answer in time".into()));
        let nothing = |cause: &Error, asked| {
            let (cause, left) = (Arc::new(cause.clone()), Duration::from_secs(1));
            Error::Resting { cause, left, asked }.made_nothing()
        };
        for (cause, made_nothing) in [
            (&refused, true),
            (&Error::TokenNotTaken, true),
            (&timed_out, false),
            (&Error::Status(502), false),
            (&Error::Unreadable("the ticket"), false),
        ] {
            assert_eq!((cause.made_nothing(), nothing(cause, true)), (made_nothing, made_nothing), "{cause}");
            assert!(nothing(cause, false), "it was not asked: {cause}");
        }
        assert!(Error::Crowded.made_nothing());
    }
}
