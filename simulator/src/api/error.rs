//! The platform's errors (docs/wechat.md, "Error codes"): one table.

use super::call::Call;
use crate::{people, random, tokens};

/// A call that is answered with an `errcode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// By its number; a fault may ask for any.
    Code(i64),
    /// 40164, which names the caller's address.
    AddressNotAllowed,
}

impl Refusal {
    pub(super) const BUSY: Self = Self::Code(-1);
    pub(super) const INVALID_CREDENTIAL: Self = Self::Code(40001);
    pub(super) const WRONG_GRANT_TYPE: Self = Self::Code(40002);
    pub(super) const INVALID_OPENID: Self = Self::Code(40003);
    pub(super) const INVALID_MESSAGE_TYPE: Self = Self::Code(40008);
    pub(super) const INVALID_APP_ID: Self = Self::Code(40013);
    pub(super) const MALFORMED_TOKEN: Self = Self::Code(40014);
    pub(super) const INVALID_ACTION_NAME: Self = Self::Code(40052);
    pub(super) const INVALID_ACTION_INFO: Self = Self::Code(40053);
    pub(super) const INVALID_URL: Self = Self::Code(40066);
    pub(super) const INVALID_SECRET: Self = Self::Code(40125);
    pub(super) const TOKEN_MISSING: Self = Self::Code(41001);
    pub(super) const APP_ID_MISSING: Self = Self::Code(41002);
    pub(super) const SECRET_MISSING: Self = Self::Code(41004);
    pub(super) const TOKEN_EXPIRED: Self = Self::Code(42001);
    pub(super) const GET_REQUIRED: Self = Self::Code(43001);
    pub(super) const POST_REQUIRED: Self = Self::Code(43002);
    pub(super) const EMPTY_BODY: Self = Self::Code(44002);
    pub(super) const EMPTY_TEXT: Self = Self::Code(44004);
    pub(super) const TEXT_TOO_LONG: Self = Self::Code(45002);
    pub(super) const DAILY_LIMIT: Self = Self::Code(45009);
    pub(super) const WINDOW_CLOSED: Self = Self::Code(45015);
    pub(super) const TOO_MANY_PERMANENT: Self = Self::Code(45029);
    pub(super) const MESSAGES_USED_UP: Self = Self::Code(45047);
    pub(super) const NOT_JSON: Self = Self::Code(47001);
    pub(super) const CLEARS_USED_UP: Self = Self::Code(48006);

    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Code(code) => *code,
            Self::AddressNotAllowed => 40164,
        }
    }

    /// The text before ` rid: …`. For logs only: nobody may branch on it, as its wording changes.
    pub(super) fn message(self, call: &Call) -> String {
        let text = match self.code() {
            40164 => return format!("invalid ip {0} ipv6 ::ffff:{0}, not in whitelist", call.peer),
            -1 => "system error",
            40001 => {
                "invalid credential, access_token is invalid or not latest, could get access_token by \
                 getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
            }
            40002 => "invalid grant_type",
            40003 => "invalid openid",
            40008 => "invalid message type",
            40013 => "invalid appid",
            40014 => "invalid access_token",
            40052 => "invalid action name",
            40053 => "invalid action info",
            40066 => "invalid url",
            40125 => "invalid appsecret",
            40243 => "appsecret is frozen",
            41001 => "access_token missing",
            41002 => "appid missing",
            41004 => "appsecret missing",
            42001 => "access_token expired",
            43001 => "require GET method",
            43002 => "require POST method",
            44002 => "empty post data",
            44004 => "empty content",
            45002 => "content size out of limit",
            45009 => "reach max api daily quota limit",
            45011 => "api minute-quota reach limit, must slower",
            45015 => "response out of time limit or subscription is canceled",
            45029 => "qrcode count out of limit",
            45047 => "out of response count limit",
            47001 => "data format error",
            48001 => "api unauthorized",
            48006 => "forbid to clear quota because of reaching the limit",
            _ => "simulated error",
        };
        text.to_owned()
    }
}

/// A system without randomness is as busy as one can be.
impl From<random::Error> for Refusal {
    fn from(_: random::Error) -> Self {
        Self::BUSY
    }
}

impl From<tokens::Error> for Refusal {
    fn from(error: tokens::Error) -> Self {
        match error {
            tokens::Error::ForcedTooOften => Self::DAILY_LIMIT,
            tokens::Error::Randomness(_) => Self::BUSY,
        }
    }
}

impl From<people::Refused> for Refusal {
    fn from(refused: people::Refused) -> Self {
        match refused {
            people::Refused::Closed => Self::WINDOW_CLOSED,
            people::Refused::UsedUp => Self::MESSAGES_USED_UP,
        }
    }
}
