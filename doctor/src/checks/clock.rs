//! Whether this machine's clock agrees with Redis' and the platform's.

use std::time::{Duration, SystemTime};

use reqwest::Client;
use shared::backplane::Diagnosis;

use crate::outside::{self, Failure};
use crate::report::Finding;
use crate::settings::Deployment;

const NAME: &str = "clock";
/// Asking the platform for its time.
const LIMIT: Duration = Duration::from_secs(3);
/// A call that is refused for want of a token: whatever is answered has a Date.
const ANY_CALL: &str = "/cgi-bin/getcallbackip";
/// A difference that nobody needs to care about. The platform's time is known to the second.
const UNIMPORTANT: Duration = Duration::from_secs(3);
/// The header has whole seconds: on average half of one is missing.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// How far another clock is from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Skew {
    by: Duration,
    ahead: bool,
}

impl Skew {
    fn of(theirs: SystemTime, ours: SystemTime) -> Self {
        match theirs.duration_since(ours) {
            Ok(by) => Self { by, ahead: true },
            Err(behind) => Self { by: behind.duration(), ahead: false },
        }
    }
}

/// Compares with each clock that there is.
pub(super) async fn check(deployment: &Deployment, redis: Option<&Diagnosis>) -> Vec<Finding> {
    let max = deployment.max_skew;
    let with_redis = match redis.and_then(|redis| redis.times) {
        Some((theirs, ours)) => judge("Redis'", Skew::of(theirs, ours), max),
        None => Finding::skip(NAME, "Redis' clock is not known: see redis"),
    };
    let with_platform = match &deployment.api_base {
        Err(why) => Finding::skip(NAME, format!("the platform's clock is not asked: {why}")),
        Ok(base) => match platform_time(base).await {
            Ok((theirs, ours)) => judge("the platform's", Skew::of(theirs, ours), max),
            Err(why) => Finding::skip(NAME, format!("the platform's clock cannot be read: {why}")),
        },
    };
    vec![with_redis, with_platform]
}

/// The platform's time and ours.
async fn platform_time(base: &str) -> Result<(SystemTime, SystemTime), String> {
    let mut builder = Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none());
    if base.starts_with("http://") {
        // As the gateway does: a simulator nearby, which no proxy finds and which has no certificate.
        builder = builder.no_proxy().tls_certs_only([]);
    }
    let http = builder.build().map_err(|_| Failure::NoCertificates.to_string())?;
    let before = SystemTime::now();
    let response = http
        .get(format!("{base}{ANY_CALL}"))
        .send()
        .await
        .map_err(|error| Failure::of(&error).to_string())?;
    let ours = before + before.elapsed().unwrap_or_default() / 2;
    let date = outside::date(response.headers()).ok_or("its answer has no Date")?;
    Ok((date + HALF_A_SECOND, ours))
}

fn judge(whose: &str, skew: Skew, max: Duration) -> Finding {
    let by = format!("{}.{} s", skew.by.as_secs(), skew.by.subsec_millis() / 100);
    let ahead = if skew.ahead { "ahead of" } else { "behind" };
    let found = format!("{whose} clock is {by} {ahead} this machine's");
    let remedy = "let the time be synchronised on every machine: timedatectl set-ntp true";
    if skew.by > max {
        let max = humantime::format_duration(max);
        let found =
            format!("{found}, and pushes may differ by {max} (CALLBACK_MAX_SKEW): they would be refused");
        Finding::fail(NAME, found, remedy)
    } else if skew.by > UNIMPORTANT {
        Finding::warn(NAME, found, remedy)
    } else {
        Finding::ok(NAME, format!("{whose} clock and this machine's agree, to {by}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    const MAX: Duration = Duration::from_secs(600);

    #[test]
    fn a_clock_is_judged_by_what_it_would_cost() {
        let status = |seconds, ahead| {
            judge("Redis'", Skew { by: Duration::from_secs_f64(seconds), ahead }, MAX).status
        };
        for ahead in [true, false] {
            assert_eq!(status(0.3, ahead), Status::Ok);
            assert_eq!(status(3.0, ahead), Status::Ok);
            assert_eq!(status(3.1, ahead), Status::Warn);
            assert_eq!(status(600.0, ahead), Status::Warn);
            assert_eq!(status(600.1, ahead), Status::Fail);
        }
    }

    #[test]
    fn it_says_which_clock_is_ahead() {
        let now = SystemTime::now();
        let later = now + Duration::from_millis(3500);
        assert!(judge("Redis'", Skew::of(later, now), MAX).found.contains("3.5 s ahead of this machine's"));
        assert!(judge("Redis'", Skew::of(now, later), MAX).found.contains("3.5 s behind this machine's"));
    }
}
