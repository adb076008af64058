//! Why a call was refused, and the one table that makes it an HTTP status.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::cipher::Undecipherable;
use crate::xml::Malformed;

/// Why a call was refused. What is authentic and well-formed never is, whatever becomes of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a query parameter is doubled, or there are too many")]
    Query,
    #[error("the signature is missing or wrong")]
    Signature,
    #[error("the timestamp is malformed or too far from the clock")]
    Stale,
    #[error("the signature came before with another message: somebody has seen it and tries to forge")]
    Replayed,
    #[error("the message mode is {configured} here, but the push is {push}")]
    Mode { configured: &'static str, push: &'static str },
    #[error("the encrypted part cannot be read")]
    Undecipherable(#[from] Undecipherable),
    #[error("the push is addressed to another account")]
    Account,
    #[error("the body is not the platform's XML")]
    Malformed(#[from] Malformed),
    #[error("the echostr is missing or too long")]
    Echostr,
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the body is framed wrongly, or broke off")]
    Broken,
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::Query
            | Self::Signature
            | Self::Stale
            | Self::Replayed
            | Self::Mode { .. }
            | Self::Undecipherable(_)
            | Self::Account => StatusCode::FORBIDDEN,
            Self::Malformed(_) | Self::Echostr | Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// All the names that there are.
    pub(crate) const NAMES: &[&str] = &[
        "query",
        "signature",
        "stale",
        "replayed",
        "mode",
        "undecipherable",
        "account",
        "malformed",
        "echostr",
        "too_large",
        "slow",
        "broken",
    ];

    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Mode { .. } => "mode",
            Self::Undecipherable(_) => "undecipherable",
            Self::Account => "account",
            Self::Malformed(_) => "malformed",
            Self::Echostr => "echostr",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Broken => "broken",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.status().into_response()
    }
}
