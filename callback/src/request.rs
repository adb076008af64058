//! What arrives: the query's parameters and a body that is bounded in size and time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, HttpBody};
use axum::extract;
use axum::http::Uri;
use futures_util::StreamExt;
use shared::backplane::Stamp;
use tokio::time;

use crate::error::Error;
use crate::signature::Token;

/// The platform sends at most seven parameters (docs/wechat.md, "Pushes"); a proxy may add some.
const PARAMETERS_MAX: usize = 16;
/// Far above the platform's, of about ten digits.
const NONCE_MAX: usize = 128;
/// Digits of a timestamp in seconds, from 2001 until 2286.
const TIMESTAMP_DIGITS: usize = 10;
/// The platform's push is a few KiB, compatible ones three times as much (docs/wechat.md, "Encryption").
const BODY_MAX: usize = 64 * 1024;
/// The platform sends a push in one go and gives up after 5 s (docs/wechat.md, "Delivery"): what takes longer than
/// this could not be answered in time.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The parameters that mean something, none of them twice: two readers of a doubled one could see different things.
#[derive(Default)]
pub(crate) struct Query {
    signature: String,
    timestamp: String,
    nonce: String,
    /// What the platform wants to hear when it verifies the address.
    pub(crate) echostr: Option<String>,
    encrypt_type: Option<String>,
    msg_signature: Option<String>,
}

impl Query {
    /// Reads what is there; what is missing shows when it is asked for.
    pub(crate) fn read(uri: &Uri) -> Result<Self, Error> {
        let extract::Query(pairs) =
            extract::Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Error::Query)?;
        if pairs.len() > PARAMETERS_MAX {
            return Err(Error::Query);
        }
        let mut pairs: Vec<(String, Option<String>)> =
            pairs.into_iter().map(|(name, value)| (name, Some(value))).collect();
        pairs.sort_unstable();
        if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Query);
        }
        let mut take =
            |name: &str| pairs.iter_mut().find(|pair| pair.0 == name).and_then(|pair| pair.1.take());
        Ok(Self {
            signature: take("signature").unwrap_or_default(),
            timestamp: take("timestamp").unwrap_or_default(),
            nonce: take("nonce").unwrap_or_default(),
            echostr: take("echostr"),
            encrypt_type: take("encrypt_type"),
            msg_signature: take("msg_signature"),
        })
    }

    /// Checks that the caller knows the Token, and that it said so lately.
    pub(crate) fn authenticate(&self, token: &Token, max_skew: Duration) -> Result<(), Error> {
        let nonce_fits = (1..=NONCE_MAX).contains(&self.nonce.len());
        if !nonce_fits || !token.has_signed(&self.timestamp, &self.nonce, &self.signature) {
            return Err(Error::Signature);
        }
        let timestamp = self.seconds().ok_or(Error::Stale)?;
        if is_fresh(timestamp, now(), max_skew) { Ok(()) } else { Err(Error::Stale) }
    }

    /// What it is known by: the signature in the spelling that the platform has, for it may be written in upper case too.
    pub(crate) fn stamp(&self, token: &Token) -> Stamp {
        Stamp::of(&token.sign(&self.timestamp, &self.nonce))
    }

    /// The timestamp in the one spelling that the platform has: the signed text has no separators, so digits that
    /// wander between timestamp and nonce would keep the signature.
    fn seconds(&self) -> Option<u64> {
        (self.timestamp.len() == TIMESTAMP_DIGITS).then(|| self.timestamp.parse().ok()).flatten()
    }

    /// Whether it announces an encrypted body. `raw` and nothing at all mean a plain one.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypt_type.as_deref().is_some_and(|kind| kind != "raw")
    }

    /// The signature over the encrypted part, where the query announces one in the way that the platform does.
    pub(crate) fn msg_signature(&self) -> Option<&str> {
        self.msg_signature.as_deref().filter(|_| self.encrypt_type.as_deref() == Some("aes"))
    }

    /// Checks that the encrypted part is the platform's.
    pub(crate) fn authenticate_encrypted(
        &self,
        token: &Token,
        signature: &str,
        encrypted: &str,
    ) -> Result<(), Error> {
        let signed = token.has_signed_encrypted(&self.timestamp, &self.nonce, encrypted, signature);
        if signed { Ok(()) } else { Err(Error::Signature) }
    }
}

/// Whether a timestamp lies within the window, whose ends belong to it. All in whole seconds.
fn is_fresh(timestamp: u64, now: u64, max_skew: Duration) -> bool {
    now.abs_diff(timestamp) <= max_skew.as_secs()
}

/// Refuses a body that says beforehand that it is too large.
pub(crate) fn check_size(body: &Body) -> Result<(), Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > BODY_MAX { Err(Error::TooLarge) } else { Ok(()) }
}

/// The whole body. Who sends it too slowly loses the connection.
pub(crate) async fn read(body: Body) -> Result<Vec<u8>, Error> {
    let whole = async {
        let mut chunks = body.into_data_stream();
        let mut whole = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Error::Broken)?;
            if whole.len() + chunk.len() > BODY_MAX {
                return Err(Error::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    };
    time::timeout(BODY_TIMEOUT, whole).await.unwrap_or(Err(Error::Slow))
}

/// Seconds since 1970 by our clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c3_the_ends_of_the_window_belong_to_it() {
        let (at, skew) = (1_763_800_030, Duration::from_secs(600));
        for (timestamp, fresh) in
            [(at - 600, true), (at - 601, false), (at, true), (at + 600, true), (at + 601, false)]
        {
            assert_eq!(is_fresh(timestamp, at, skew), fresh, "{timestamp}");
        }
    }
}
