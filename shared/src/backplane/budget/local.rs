//! Budgets that one process keeps by itself. take.lua has the same moves in Redis.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Budget, Exhausted, Period, Rate};
use crate::day;
use crate::login::Timestamp;

/// What sums of fractions may be off by, in milliseconds; far below a token of any rate.
const ROUNDING_MS: f64 = 0.5;
/// Names below this number are not worth looking through for full buckets.
const SWEEP_AT_LEAST: usize = 1024;
/// More are not remembered. Half of them go at once, the fullest first, so that looking through all of them is rare; who
/// has as many addresses is not stopped by counting them one by one, and whoever has used much up stays known.
const NAMES_MAX: usize = 100_000;
const NAMES_KEPT: usize = NAMES_MAX / 2;

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

    /// Which part of it is used up, from 0.
    fn used(self, rate: Rate, now: u64) -> f64 {
        match self {
            Self::Filling { full_at } => ((full_at - now as f64) / rate.period_ms() as f64).max(0.0),
            Self::Daily { day, taken } if day == day::number(Duration::from_millis(now)) => {
                f64::from(taken) / f64::from(rate.count())
            }
            Self::Daily { .. } => 0.0,
        }
    }
}

/// Budgets of one process: those of a process without a store that all share, and of what no store needs to know.
#[derive(Debug, Default)]
pub struct LocalBudgets(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    known: HashMap<String, Left>,
    sweep_at: usize,
}

/// What is left of one name's budget.
#[derive(Clone, Debug)]
struct Left {
    /// In the order of its rates.
    buckets: Vec<(Bucket, Rate)>,
    is_everybodys: bool,
}

impl Left {
    fn whole(budget: &Budget) -> Self {
        let buckets = budget.rates().iter().map(|rate| (Bucket::full(*rate), *rate)).collect();
        Self { buckets, is_everybodys: budget.is_everybodys }
    }

    /// Of the rate that is used up most.
    fn used(&self, now: u64) -> f64 {
        self.buckets.iter().map(|(bucket, rate)| bucket.used(*rate, now)).fold(0.0, f64::max)
    }
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
            let mut rest = names.of(budget);
            for (bucket, rate) in &mut rest.buckets {
                match bucket.less(amount, *rate, now.0) {
                    Ok(less) => *bucket = less,
                    Err(missing) if worst.is_none_or(|(_, most)| missing > most) => {
                        worst = Some((index, missing));
                    }
                    Err(_) => {}
                }
            }
            left.push(rest);
        }
        if let Some((budget, missing)) = worst {
            return Err(Exhausted { budget, retry_after: Duration::from_secs_f64(missing / 1000.0) });
        }
        names.sweep(now.0);
        for (budget, rest) in budgets.iter().zip(left) {
            names.known.insert(budget.name.clone(), rest);
        }
        Ok(())
    }

    /// Puts `amount` back into every budget, which was taken for nothing.
    pub fn give_back(&self, budgets: &[Budget], amount: u32) {
        let mut names = self.names();
        for budget in budgets {
            let known = names.known.get_mut(&budget.name);
            for (bucket, rate) in known.into_iter().flat_map(|left| &mut left.buckets) {
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
    fn of(&self, budget: &Budget) -> Left {
        let known = self.known.get(&budget.name);
        let same = known.filter(|left| left.buckets.iter().map(|(_, rate)| rate).eq(budget.rates()));
        same.cloned().unwrap_or_else(|| Left::whole(budget))
    }

    /// Drops full buckets whenever the names have doubled since it was last done, and then the fullest until few enough
    /// are left to double: so it costs a constant a name.
    fn sweep(&mut self, now: u64) {
        if self.known.len() < self.sweep_at.max(SWEEP_AT_LEAST) {
            return;
        }
        self.known.retain(|_, left| left.used(now) > 0.0);
        self.drop_fullest(self.known.len().saturating_sub(NAMES_KEPT), now);
        self.sweep_at = 2 * self.known.len();
    }

    /// Drops as many names, whose budgets are used up least. What is everybody's stays.
    fn drop_fullest(&mut self, number: usize, now: u64) {
        let somebodys = self.known.values().filter(|left| !left.is_everybodys);
        let mut used: Vec<f64> = somebodys.map(|left| left.used(now)).collect();
        let Some(last) = number.min(used.len()).checked_sub(1) else { return };
        let (less, last, _) = used.select_nth_unstable_by(last, f64::total_cmp);
        let (last, mut as_last) = (*last, 1 + less.iter().filter(|used| **used == *last).count());
        self.known.retain(|_, left| {
            let used = left.used(now);
            if left.is_everybodys || used > last {
                return true;
            }
            let spared = used == last && as_last == 0;
            as_last -= usize::from(used == last && !spared);
            spared
        });
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
        assert!(local.names().known.len() <= 2 * 5_000);
        (0..3 * NAMES_MAX).for_each(|name| take(name, 120_000));
        assert!(local.names().known.len() <= NAMES_MAX);
    }

    #[test]
    fn a_crowd_of_names_makes_nobody_forget_what_everybody_has_used_nor_who_has_used_most() {
        let local = LocalBudgets::default();
        let flood = 2 * NAMES_MAX;
        let everybody = Budget::of_everybody("total", format!("{}/day", 3 * flood).parse().unwrap());
        let greedy = budget("5/min,100/day");
        local.take(&greedy, 5, Timestamp(NOON)).unwrap();
        for name in 0..flood {
            let one = Budget::new(name, "5/min".parse().unwrap());
            let both = [one, everybody.clone()];
            // Who takes it writes it anew, so the crowd comes behind.
            let taken = if name < 1_000 { &both[..] } else { &both[..1] };
            local.take(taken, 1, Timestamp(NOON)).unwrap();
        }
        local.take(&greedy, 1, Timestamp(NOON)).unwrap_err();
        let left = u32::try_from(3 * flood - 1_000).unwrap();
        local.take(std::slice::from_ref(&everybody), left, Timestamp(NOON)).unwrap();
        local.take(std::slice::from_ref(&everybody), 1, Timestamp(NOON)).unwrap_err();
    }

    #[test]
    fn near_the_bound_too_names_are_looked_through_rarely() {
        let local = LocalBudgets::default();
        let mut sweeps = Vec::new();
        for name in 0..2 * NAMES_MAX {
            // Few have their budget back by the time of a sweep.
            let (rate, at) = if name % 1000 == 0 { ("5/s", 0) } else { ("5/h", 2_000) };
            let before = local.names().sweep_at;
            local.take(&[Budget::new(name, rate.parse().unwrap())], 1, Timestamp(NOON + at)).unwrap();
            if local.names().sweep_at != before {
                sweeps.push(name);
            }
        }
        let rare = sweeps.windows(2).all(|pair| pair[1] - pair[0] >= pair[0].min(NAMES_KEPT) / 2);
        assert!(rare, "{sweeps:?}");
        assert!(sweeps.len() <= 12, "{sweeps:?}");
    }
}
