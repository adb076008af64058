//! What the console does when a developer saves a callback URL (docs/wechat.md, "URL verification").

use serde::Serialize;

use super::delivery::Pusher;
use super::signature::sign;
use crate::account::Account;
use crate::{clock, random};

/// What the console says.
#[derive(Debug, Serialize)]
pub(crate) struct Verification {
    passed: bool,
    /// Absent when no answer came.
    status: Option<u16>,
    /// Why it did not pass.
    reason: Option<String>,
}

/// Sends a random `echostr`, signed, and expects status 200 and exactly that text.
pub(crate) async fn verify(account: &Account, pusher: &Pusher) -> Result<Verification, random::Error> {
    let (echo, nonce) = (random::digits()?, random::nonce()?);
    let timestamp = clock::system_time().to_string();
    let signature = sign(&[&account.token, &timestamp, &nonce]);
    let query =
        [("signature", signature), ("timestamp", timestamp), ("nonce", nonce), ("echostr", echo.clone())];
    Ok(match pusher.ask(&query).await {
        Err(failure) => Verification { passed: false, status: None, reason: Some(failure.to_string()) },
        Ok(answer) => {
            let reason = match answer.status {
                200 if answer.body == echo.as_bytes() => None,
                200 => Some("the body is not exactly the echostr".to_owned()),
                status => Some(format!("the status is {status}: only 200 counts")),
            };
            Verification { passed: reason.is_none(), status: Some(answer.status), reason }
        }
    })
}
