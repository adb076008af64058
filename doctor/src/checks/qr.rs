//! Whether the account may make QR codes: by making one.

use std::time::Duration;

use shared::login::{Scene, SessionId};
use tokio::time::{self, Instant};

use super::token::{Fetched, NoToken, SLOW, SLOW_REMEDY, failure};
use crate::report::{Finding, in_milliseconds};
use crate::settings::Deployment;

const NAME: &str = "qr right";
/// Two calls with their retries, and both again when the token is renewed.
const LIMIT: Duration = Duration::from_secs(30);
/// The shortest that the platform's pages speak of (docs/wechat.md, "QR codes"). Nobody sees the code.
const LIFETIME: Duration = Duration::from_secs(30);

/// Makes a code that nobody sees.
pub(super) async fn check(deployment: &Deployment, fetched: &Result<Fetched, NoToken>) -> Finding {
    let platform = match fetched {
        Ok(fetched) => &fetched.platform,
        Err(NoToken::NotAsked(why)) => return Finding::skip(NAME, why),
        Err(_) => return Finding::skip(NAME, "it needs a token, and there is none"),
    };
    let scene = Scene::random(&SessionId::random());
    let asked = Instant::now();
    match time::timeout(LIMIT, platform.create_qr_code(&scene, LIFETIME)).await {
        Ok(Ok(_)) => {
            let elapsed = asked.elapsed();
            let found = format!(
                "a code was made, within {}; it lives {} s and costs one of the day's",
                in_milliseconds(elapsed),
                LIFETIME.as_secs()
            );
            if elapsed < SLOW { Finding::ok(NAME, found) } else { Finding::warn(NAME, found, SLOW_REMEDY) }
        }
        Ok(Err(error)) => failure(NAME, deployment, &error),
        Err(_) => Finding::fail(NAME, format!("no answer within {} s", LIMIT.as_secs()), SLOW_REMEDY),
    }
}
