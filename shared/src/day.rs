//! The platform's days, by which its daily quotas go: they begin at midnight in Beijing (docs/wechat.md, "Quotas").

use std::time::Duration;

/// How long each of them is, for China knows no summer time.
pub const DAY: Duration = Duration::from_secs(86_400);
/// Beijing's clock is ahead of UTC by this.
const AHEAD: Duration = Duration::from_secs(8 * 3600);

/// The number of the day in which a moment lies, counted from 1970.
#[must_use]
pub fn number(since_1970: Duration) -> u64 {
    (since_1970 + AHEAD).as_secs() / DAY.as_secs()
}

/// How much of the day has passed.
#[must_use]
pub fn since_midnight(since_1970: Duration) -> Duration {
    let begins = DAY.as_secs() * number(since_1970);
    since_1970 + AHEAD - Duration::from_secs(begins)
}

/// What is left of the day; never 0.
#[must_use]
pub fn until_midnight(since_1970: Duration) -> Duration {
    DAY - since_midnight(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_in_beijing() {
        // 2025-11-22 16:30:00 in Beijing.
        let afternoon = Duration::from_millis(1_763_800_200_250);
        let (passed, left) = (since_midnight(afternoon), until_midnight(afternoon));
        assert_eq!(passed, Duration::from_millis((16 * 3600 + 1800) * 1000 + 250));
        assert_eq!(passed + left, DAY);
        let (midnight, moment) = (afternoon + left, Duration::from_nanos(1));
        assert_eq!((since_midnight(midnight), until_midnight(midnight)), (Duration::ZERO, DAY));
        assert_eq!(until_midnight(midnight - moment), moment);
        assert_eq!(
            [afternoon, midnight - moment, midnight].map(|at| number(at) - number(afternoon)),
            [0, 0, 1]
        );
    }
}
