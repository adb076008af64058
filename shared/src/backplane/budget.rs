//! Budgets: how much of something somebody may have in a time. A budget has any number of rates, and all of them hold.
//!
//! A rate a second, minute or hour is a token bucket of the rate's size that fills evenly: a burst of the whole size is
//! fine, and then one more at a time. A rate a day is a count that begins anew at midnight in Beijing, because that is
//! where the platform's days begin (docs/wechat.md, "Quotas").

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::day;
use crate::login::Timestamp;

/// What sums of fractions may be off by, in milliseconds; far below a token of any rate.
const ROUNDING_MS: f64 = 0.5;
/// Names below this number are not worth looking through for full buckets, and above that one nobody is remembered: who
/// has as many addresses is not stopped by counting them one by one.
const SWEEP_AT_LEAST: usize = 1024;
const NAMES_MAX: usize = 100_000;

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
}

impl Budget {
    /// The budget of `name`, which is public within the store.
    #[must_use]
    pub fn new(name: impl fmt::Display, rates: Rates) -> Self {
        Self { name: name.to_string(), rates }
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn rates(&self) -> &[Rate] {
        &self.rates.0
    }
}

/// A budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Which of those that were asked for: the one that takes longest.
    pub budget: usize,
    /// When there is something again, if nobody else takes it.
    pub retry_after: Duration,
}

/// What is left of one rate.
#[derive(Clone, Copy, Debug)]
enum Bucket {
    /// The time at which it will be full again, in milliseconds.
    Filling { full_at: f64 },
    /// What was taken on a day, counted from 1970 in Beijing.
    Daily { day: u64, taken: u32 },
}

impl Bucket {
    fn full(rate: Rate) -> Self {
        match rate.period {
            Period::Day => Self::Daily { day: 0, taken: 0 },
            Period::Second | Period::Minute | Period::Hour => Self::Filling { full_at: 0.0 },
        }
    }

    /// What it is after `amount` was taken at `now`, or how many milliseconds are missing.
    fn less(self, amount: u32, rate: Rate, now: u64) -> Result<Self, f64> {
        let now_ms = now as f64;
        match self {
            Self::Filling { full_at } => {
                let period = rate.period_ms() as f64;
                // A clock that went back must not keep anybody waiting for longer than an empty bucket does.
                let full_at = full_at.clamp(now_ms, now_ms + period);
                let full_at = full_at + f64::from(amount) * period / f64::from(rate.count());
                let missing = full_at - now_ms - period;
                if missing <= ROUNDING_MS { Ok(Self::Filling { full_at }) } else { Err(missing) }
            }
            Self::Daily { day, taken } => {
                let now = Duration::from_millis(now);
                let today = day::number(now);
                let taken = if day == today { taken } else { 0 }.saturating_add(amount);
                if taken <= rate.count() {
                    Ok(Self::Daily { day: today, taken })
                } else {
                    Err(day::until_midnight(now).as_secs_f64() * 1000.0)
                }
            }
        }
    }

    /// What it is after `amount` was given back.
    fn more(self, amount: u32, rate: Rate) -> Self {
        match self {
            Self::Filling { full_at } => {
                let token = rate.period_ms() as f64 / f64::from(rate.count());
                Self::Filling { full_at: full_at - f64::from(amount) * token }
            }
            Self::Daily { day, taken } => Self::Daily { day, taken: taken.saturating_sub(amount) },
        }
    }

    fn is_full(self, now: u64) -> bool {
        match self {
            Self::Filling { full_at } => full_at <= now as f64,
            Self::Daily { day, taken } => taken == 0 || day != day::number(Duration::from_millis(now)),
        }
    }
}

/// Budgets of one process: those of a process without a store that all share, and of what no store needs to know.
#[derive(Debug, Default)]
pub struct LocalBudgets(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    /// For each name, a bucket a rate, in the order of its rates.
    buckets: HashMap<String, Vec<Bucket>>,
    sweep_at: usize,
}

impl LocalBudgets {
    /// Takes `amount` from every budget, or from none if one of them has too little. `now` never goes backwards by much.
    ///
    /// # Errors
    ///
    /// One has too little.
    pub fn take(&self, budgets: &[Budget], amount: u32, now: Timestamp) -> Result<(), Exhausted> {
        let mut names = self.names();
        let mut left = Vec::with_capacity(budgets.len());
        let mut worst: Option<(usize, f64)> = None;
        for (index, budget) in budgets.iter().enumerate() {
            let mut buckets = names.of(budget);
            for (bucket, rate) in buckets.iter_mut().zip(budget.rates()) {
                match bucket.less(amount, *rate, now.0) {
                    Ok(less) => *bucket = less,
                    Err(missing) if worst.is_none_or(|(_, most)| missing > most) => {
                        worst = Some((index, missing));
                    }
                    Err(_) => {}
                }
            }
            left.push(buckets);
        }
        if let Some((budget, missing)) = worst {
            return Err(Exhausted { budget, retry_after: Duration::from_secs_f64(missing / 1000.0) });
        }
        names.sweep(now.0);
        for (budget, buckets) in budgets.iter().zip(left) {
            names.buckets.insert(budget.name.clone(), buckets);
        }
        Ok(())
    }

    /// Puts `amount` back into every budget, which was taken for nothing.
    pub fn give_back(&self, budgets: &[Budget], amount: u32) {
        let mut names = self.names();
        for budget in budgets {
            for (bucket, rate) in
                names.buckets.get_mut(&budget.name).into_iter().flatten().zip(budget.rates())
            {
                *bucket = bucket.more(amount, *rate);
            }
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // Nothing in there panics between two writes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn of(&self, budget: &Budget) -> Vec<Bucket> {
        let known = self.buckets.get(&budget.name).filter(|buckets| buckets.len() == budget.rates().len());
        known.cloned().unwrap_or_else(|| budget.rates().iter().copied().map(Bucket::full).collect())
    }

    /// Drops full buckets whenever the names have doubled since it was last done, so that it costs a constant a name.
    fn sweep(&mut self, now: u64) {
        if self.buckets.len() < self.sweep_at.max(SWEEP_AT_LEAST) {
            return;
        }
        self.buckets.retain(|_, buckets| !buckets.iter().all(|bucket| bucket.is_full(now)));
        if self.buckets.len() >= NAMES_MAX {
            self.buckets.clear();
        }
        self.sweep_at = (2 * self.buckets.len()).min(NAMES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon in Beijing, so that no test runs over midnight by accident.
    const NOON: u64 = 1_763_784_000_000;

    fn budget(rates: &str) -> [Budget; 1] {
        [Budget::new("somebody", rates.parse().unwrap())]
    }

    fn wait(refused: Result<(), Exhausted>) -> Duration {
        refused.unwrap_err().retry_after
    }

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

    #[test]
    fn a_bucket_allows_its_size_at_once_and_then_one_at_a_time() {
        // Sevenths of a minute are no whole milliseconds.
        let (local, seven) = (LocalBudgets::default(), budget("7/min"));
        let take = |at: u64| local.take(&seven, 1, Timestamp(NOON + at));
        for _ in 0..7 {
            take(0).unwrap();
        }
        let refused = wait(take(0));
        assert_eq!(refused.as_millis(), 60_000 / 7);
        assert_eq!(wait(take(8_000)).as_millis(), 571, "asking costs nothing");
        take(8_572).unwrap();
        take(8_572).unwrap_err();
        take(60_000 * 10).unwrap();
        for _ in 0..6 {
            take(60_000 * 10).unwrap();
        }
        take(60_000 * 10).unwrap_err();
    }

    #[test]
    fn a_day_ends_at_midnight_in_beijing() {
        let (local, two) = (LocalBudgets::default(), budget("2/day"));
        let evening = Timestamp(NOON + 11 * 3_600_000);
        local.take(&two, 1, Timestamp(NOON)).unwrap();
        local.take(&two, 1, evening).unwrap();
        assert_eq!(wait(local.take(&two, 1, evening)), Duration::from_secs(3600));
        local.take(&two, 2, Timestamp(NOON + 12 * 3_600_000)).unwrap();
        local.take(&two, 1, Timestamp(NOON + 12 * 3_600_000)).unwrap_err();
    }

    #[test]
    fn nothing_is_taken_from_any_if_one_is_empty_and_the_longest_wait_is_told() {
        let local = LocalBudgets::default();
        let of = |name: &str, rates: &str| Budget::new(name, rates.parse().unwrap());
        let both = [of("one", "2/min"), of("all", "1/h")];
        local.take(&both, 1, Timestamp(NOON)).unwrap();
        for _ in 0..5 {
            let refused = local.take(&both, 1, Timestamp(NOON)).unwrap_err();
            assert_eq!((refused.budget, refused.retry_after), (1, Duration::from_secs(3600)));
        }
        local.take(&both[..1], 1, Timestamp(NOON)).unwrap();
        local.take(&both[..1], 1, Timestamp(NOON)).unwrap_err();
    }

    #[test]
    fn what_was_taken_for_nothing_can_be_given_back() {
        let (local, one) = (LocalBudgets::default(), budget("1/min,1/day"));
        for _ in 0..5 {
            local.take(&one, 1, Timestamp(NOON)).unwrap();
            local.take(&one, 1, Timestamp(NOON)).unwrap_err();
            local.give_back(&one, 1);
        }
    }

    #[test]
    fn a_clock_that_went_back_keeps_nobody_waiting_for_longer_than_an_empty_bucket() {
        let (local, one) = (LocalBudgets::default(), budget("1/min"));
        local.take(&one, 1, Timestamp(NOON + 3_600_000)).unwrap();
        assert!(wait(local.take(&one, 1, Timestamp(NOON))) <= Duration::from_secs(60));
    }

    #[test]
    fn names_that_have_their_budget_back_are_forgotten_and_their_number_is_bounded() {
        let local = LocalBudgets::default();
        let take = |name: usize, at: u64| {
            local.take(&[Budget::new(name, "5/min".parse().unwrap())], 1, Timestamp(NOON + at)).unwrap();
        };
        (0..5_000).for_each(|name| take(name, 0));
        (5_000..10_000).for_each(|name| take(name, 120_000));
        assert!(local.names().buckets.len() <= 2 * 5_000);
        (0..3 * NAMES_MAX).for_each(|name| take(name, 120_000));
        assert!(local.names().buckets.len() <= NAMES_MAX);
    }
}
