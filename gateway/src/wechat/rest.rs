//! What a failure says about the calls that would follow it, and how long none is made (docs/wechat.md, "Trouble").

use std::time::Duration;

use shared::day;

use super::Error;
use crate::protocol::whole_seconds;

/// The first rest after a hiccup; each one that follows without a success between is twice as long, up to the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// While somebody has to mend something: soon enough for whoever has just done it, too seldom to count as hammering.
const OPERATOR_REST: Duration = Duration::from_secs(30);
/// 45011 counts within a minute.
const MINUTE: Duration = Duration::from_secs(60);
/// The minute's count begins anew for all replicas at once: they come back within this time after it.
const MINUTE_SPREAD: Duration = Duration::from_secs(10);
/// After the platform's midnight: for a clock that is wrong, and so that replicas do not come back together.
const MIDNIGHT_DELAY: Duration = Duration::from_secs(60);
const MIDNIGHT_SPREAD: Duration = Duration::from_secs(60);
/// Where midnight did not help, the day ends at another time than we think (docs/wechat.md, "Quotas").
const UNKNOWN_DAY_REST: Duration = Duration::from_secs(600);
/// A day's quota that is used up so soon after midnight is the last day's: a clock is wrong, or the day ends later.
const EARLY: Duration = Duration::from_secs(900);
/// When a browser may try again after a failure that makes nothing rest yet.
const AFTER_HICCUP: Duration = Duration::from_secs(3);

/// What a failure says about the calls that would follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It may pass by itself: a few in a row mean that the platform is in trouble.
    Hiccup,
    /// The quota of this minute is used up.
    Minute,
    /// The quota of this day is used up.
    Day,
    /// Every call will fail until an operator has mended something.
    Operator,
}

/// The moment of a failure, and its luck.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Time since 1970, by the wall clock: quotas go by it.
    pub(super) since_1970: Duration,
    /// From 0 to 1, so that replicas do not come back together.
    pub(super) dice: f64,
}

impl Error {
    /// What this failure says about the calls that would follow it; `None` where it is about one person, and the platform
    /// works. 40001 is the token endpoint's here, for other calls get a second try and then [`Error::TokenNotTaken`].
    pub(super) fn weight(&self) -> Option<Weight> {
        Some(match self {
            Self::Unreachable(_) | Self::Status(_) | Self::Unreadable(_) => Weight::Hiccup,
            Self::TokenNotTaken => Weight::Operator,
            // We did not ask.
            Self::Crowded => return None,
            Self::Resting { cause, .. } => return cause.weight(),
            Self::Refused { code, .. } => match code {
                40003 => return None,
                45009 => Weight::Day,
                45011 => Weight::Minute,
                // Secret, app id and addresses; rights; the administrator.
                40001 | 40013 | 40125 | 40164 | 40243 | 48001 | 48004 | 50004 | 50007 | 89501 | 89503
                | 89506 | 89507 => Weight::Operator,
                // Codes that nobody has told us about may be about one call alone.
                _ => Weight::Hiccup,
            },
        })
    }

    /// When a browser may try again, in whole seconds and never 0. For a call that was not made because the platform is
    /// given a rest that is what is left of it; after any other failure no rest that it begins is longer.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_after_at(since_1970())
    }

    fn retry_after_at(&self, since_1970: Duration) -> Duration {
        let rest = |weight: Weight, dice| weight.rest(0, false, Moment { since_1970, dice });
        Duration::from_secs(whole_seconds(match (self, self.weight()) {
            (Self::Resting { left, .. }, _) => *left,
            (_, None | Some(Weight::Hiccup)) => AFTER_HICCUP,
            // Whatever the lot that fell.
            (_, Some(weight)) => rest(weight, 0.0).max(rest(weight, 1.0)),
        }))
    }
}

impl Weight {
    /// How long nobody asks after this failure, when `rests` such times in a row have not helped. `again` says that one
    /// of them was for a day already.
    pub(super) fn rest(self, rests: u32, again: bool, at: Moment) -> Duration {
        match self {
            Self::Hiccup => {
                jittered(FIRST_REST.saturating_mul(1 << rests.min(16)).min(LONGEST_REST), at.dice)
            }
            Self::Operator => jittered(OPERATOR_REST, at.dice),
            Self::Minute => MINUTE + MINUTE_SPREAD.mul_f64(at.dice),
            Self::Day if again || day::since_midnight(at.since_1970) < EARLY => {
                jittered(UNKNOWN_DAY_REST, at.dice)
            }
            Self::Day => {
                day::until_midnight(at.since_1970) + MIDNIGHT_DELAY + MIDNIGHT_SPREAD.mul_f64(at.dice)
            }
        }
    }
}

/// Up to a quarter less.
pub(super) fn jittered(time: Duration, dice: f64) -> Duration {
    time.mul_f64(1.0 - dice.clamp(0.0, 1.0) / 4.0)
}

/// The time since 1970, by the wall clock.
pub(super) fn since_1970() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// 2025-11-22 16:30:00 in Beijing.
    const AFTERNOON: Duration = Duration::from_secs(1_763_800_200);
    const TO_MIDNIGHT: Duration = Duration::from_secs(7 * 3600 + 1800);
    const MIDNIGHT: Duration = Duration::from_secs(1_763_827_200);
    const NEARLY_MIDNIGHT: Duration = Duration::from_millis(1_763_827_199_999);

    fn rest(code: i64, rests: u32, again: bool, dice: f64) -> Duration {
        Error::refused(code, "").weight().unwrap().rest(rests, again, Moment { since_1970: AFTERNOON, dice })
    }

    #[test]
    fn rests_after_hiccups_double_up_to_half_a_minute() {
        let rests: Vec<u64> = (0..8).map(|n| rest(-1, n, false, 0.0).as_secs()).collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(rest(-1, u32::MAX, false, 0.0), LONGEST_REST);
        assert_eq!(rest(-1, 0, false, 1.0), Duration::from_millis(750));
    }

    #[test]
    fn quotas_are_left_alone_for_the_time_that_they_name() {
        for dice in [0.0, 0.5, 1.0] {
            assert!((60..=70).contains(&rest(45011, 3, true, dice).as_secs()));
            let beyond = rest(45009, 3, false, dice).checked_sub(TO_MIDNIGHT).unwrap();
            assert!((60..=120).contains(&beyond.as_secs()), "the day and a little more: {beyond:?}");
        }
    }

    #[test]
    fn a_quota_that_midnight_did_not_fill_is_looked_at_every_ten_minutes() {
        assert_eq!(rest(45009, 1, true, 0.0), UNKNOWN_DAY_REST);
        assert!(rest(45009, 1, true, 1.0) > UNKNOWN_DAY_REST / 2);
    }

    #[test]
    fn a_quota_that_is_used_up_just_after_midnight_is_the_last_days() {
        assert_eq!(AFTERNOON + TO_MIDNIGHT, MIDNIGHT);
        let second = Duration::from_secs(1);
        let rest = |since_1970| Weight::Day.rest(0, false, Moment { since_1970, dice: 0.0 });
        assert_eq!(rest(MIDNIGHT - second), second + MIDNIGHT_DELAY);
        for early in [Duration::ZERO, second, EARLY - second] {
            assert_eq!(rest(MIDNIGHT + early), UNKNOWN_DAY_REST, "{early:?}");
        }
        assert_eq!(rest(MIDNIGHT + EARLY), day::DAY - EARLY + MIDNIGHT_DELAY);
    }

    #[test]
    fn what_an_operator_must_mend_is_looked_at_every_half_minute() {
        for code in
            [40001, 40013, 40125, 40164, 40243, 48001, 48004, 50004, 50007, 89501, 89503, 89506, 89507]
        {
            for rests in [0, 1, 100] {
                assert_eq!(rest(code, rests, true, 0.0), OPERATOR_REST, "{code}");
                assert!(rest(code, rests, true, 1.0) > OPERATOR_REST / 2, "{code}");
            }
        }
        assert_eq!(Error::TokenNotTaken.weight(), Some(Weight::Operator));
        assert_eq!(Error::refused(40003, "").weight(), None);
    }

    #[test]
    fn who_waits_for_retry_after_finds_the_first_rest_over() {
        let failures = [-1, 40001, 40164, 45009, 45011, 48001, 99999].map(|code| Error::refused(code, ""));
        let others = [
            Error::TokenNotTaken,
            Error::Status(502),
            Error::Unreadable("x"),
            Error::Unreachable("x".into()),
        ];
        for failure in failures.into_iter().chain(others) {
            for since_1970 in [MIDNIGHT, AFTERNOON, NEARLY_MIDNIGHT] {
                for dice in [0.0, 0.3, 1.0] {
                    let rest = failure.weight().unwrap().rest(0, false, Moment { since_1970, dice });
                    assert!(failure.retry_after_at(since_1970) >= rest, "{failure}: {rest:?}");
                }
            }
        }
    }

    #[test]
    fn who_was_not_asked_for_is_told_what_is_left_rounded_up_and_never_0() {
        let told = |left| {
            Error::Resting { cause: Arc::new(Error::TokenNotTaken), left, asked: false }
                .retry_after()
                .as_secs()
        };
        let millis = Duration::from_millis;
        assert_eq!(
            [Duration::ZERO, millis(1), millis(1000), millis(1001), millis(40_000)].map(told),
            [1, 1, 1, 2, 40]
        );
    }
}
