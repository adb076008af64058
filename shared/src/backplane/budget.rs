//! Budgets: how much of something somebody may have in a time. A budget has any number of rates, and all of them hold.
//!
//! A rate a second, minute or hour is a token bucket of the rate's size that fills evenly: a burst of the whole size is
//! fine, and then one more at a time. A rate a day is a count that begins anew at midnight in Beijing, because that is
//! where the platform's days begin (docs/wechat.md, "Quotas").

mod local;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

pub use self::local::LocalBudgets;
use crate::day;

/// So much a time, such as `20/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
    Day,
}

impl Period {
    fn millis(self) -> u64 {
        match self {
            Self::Second => 1_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => day::DAY.as_secs() * 1000,
        }
    }
}

impl Rate {
    /// How many in a period.
    pub(super) fn count(self) -> u32 {
        self.count.get()
    }

    /// The period in milliseconds; a day's is known by it.
    pub(super) fn period_ms(self) -> u64 {
        self.period.millis()
    }
}

/// Rates that hold together, such as `20/min,1000/day`; none at all is `off`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(Vec<Rate>);

/// Not rates.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not whole numbers above 0, each with /s, /min, /h or /day")]
pub struct NotRates;

impl Rates {
    /// Whether they allow everything.
    #[must_use]
    pub fn are_off(&self) -> bool {
        self.0.is_empty()
    }

    /// How many a day at most; `None` where no rate is of a day.
    #[must_use]
    pub fn per_day(&self) -> Option<u32> {
        self.0.iter().filter(|rate| rate.period == Period::Day).map(|rate| rate.count.get()).min()
    }

    /// The same rates, with `factor` times as many of each.
    #[must_use]
    pub fn times(&self, factor: NonZeroU32) -> Self {
        let more = |rate: &Rate| Rate { count: rate.count.saturating_mul(factor), period: rate.period };
        Self(self.0.iter().map(more).collect())
    }
}

impl FromStr for Rates {
    type Err = NotRates;

    fn from_str(text: &str) -> Result<Self, NotRates> {
        if text == "off" {
            return Ok(Self::default());
        }
        text.split(',').map(|rate| rate.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Rate {
    type Err = NotRates;

    fn from_str(text: &str) -> Result<Self, NotRates> {
        let (count, period) = text.split_once('/').ok_or(NotRates)?;
        let period = match period {
            "s" => Period::Second,
            "min" => Period::Minute,
            "h" => Period::Hour,
            "day" => Period::Day,
            _ => return Err(NotRates),
        };
        let plain = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|_| plain).ok_or(NotRates)?;
        Ok(Self { count, period })
    }
}

/// The budget of one name, such as one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    name: String,
    rates: Rates,
    is_everybodys: bool,
}

impl Budget {
    /// The budget of `name`, which is public within the store.
    #[must_use]
    pub fn new(name: impl fmt::Display, rates: Rates) -> Self {
        Self { name: name.to_string(), rates, is_everybodys: false }
    }

    /// The one budget that all have in common. A process that counts alone never forgets it.
    #[must_use]
    pub fn of_everybody(name: impl fmt::Display, rates: Rates) -> Self {
        Self { is_everybodys: true, ..Self::new(name, rates) }
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it allows everything.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.rates.are_off()
    }

    pub(super) fn rates(&self) -> &[Rate] {
        &self.rates.0
    }
}

/// What was taken from budgets. It can be given back once, and only to whoever kept the count.
#[derive(Debug)]
pub struct Taken<'b> {
    pub(super) budgets: &'b [Budget],
    pub(super) from: Keeper,
}

/// Who keeps the count of budgets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keeper {
    /// The store that all share.
    Store,
    /// This process, by itself.
    Process,
}

/// A budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Which of those that were asked for: the one that takes longest.
    pub budget: usize,
    /// When there is something again, if nobody else takes it.
    pub retry_after: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_strictly() {
        assert!("off".parse::<Rates>().unwrap().are_off());
        let rates: Rates = "20/min, 1000/day,3/s,7/h".parse().unwrap();
        assert_eq!(rates.0.iter().map(|rate| rate.count()).collect::<Vec<_>>(), [20, 1000, 3, 7]);
        for bad in
            ["", "20", "20/", "/min", "0/min", "-1/min", "+1/min", "1.5/min", "20/week", "20/min,", "none"]
        {
            assert_eq!(bad.parse::<Rates>(), Err(NotRates), "{bad}");
        }
    }
}
