//! Budgets that all replicas share, and what each counts alone while the server does not answer.

use std::time::Duration;

use fred::types::{FromValue, Value};

use super::RedisBackplane;
use super::keys::Keys;
use super::scripts::evaluate;
use crate::backplane::Error;
use crate::backplane::budget::{Budget, Exhausted, Keeper, Taken};
use crate::login::Timestamp;

/// How long the budgets' slot may be on its way to another node before this replica counts alone: pages wait for it.
const BUDGET_PATIENCE: Duration = Duration::from_millis(200);

/// See [`Backplane`](crate::backplane::Backplane) for what each method promises.
impl RedisBackplane {
    pub(in crate::backplane) async fn take<'b>(&self, budgets: &'b [Budget]) -> Result<Taken<'b>, Exhausted> {
        match self.change::<(u64, u64)>(budgets, 1).await {
            Ok((0, _)) => Ok(Taken { budgets, from: Keeper::Store }),
            Ok((number, wait_ms)) => Err(Exhausted {
                budget: usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1),
                retry_after: Duration::from_millis(wait_ms),
            }),
            Err(error) => {
                tracing::debug!(%error, "this replica counts alone");
                self.alone.take(budgets, 1, Timestamp::of_this_machine())?;
                Ok(Taken { budgets, from: Keeper::Process })
            }
        }
    }

    pub(in crate::backplane) async fn give_back(&self, taken: Taken<'_>) {
        match taken.from {
            Keeper::Process => self.alone.give_back(taken.budgets, 1),
            Keeper::Store => {
                if let Err(error) = self.change::<Value>(taken.budgets, -1).await {
                    tracing::debug!(%error, "a budget keeps what was taken for nothing");
                }
            }
        }
    }

    async fn change<R: FromValue>(&self, budgets: &[Budget], amount: i64) -> Result<R, Error> {
        let mut arguments: Vec<Value> = vec![amount.into()];
        for (number, budget) in (1_i64..).zip(budgets) {
            for rate in budget.rates() {
                let period_ms = i64::try_from(rate.period_ms()).unwrap_or(i64::MAX);
                arguments.extend([number.into(), i64::from(rate.count()).into(), period_ms.into()]);
            }
        }
        let keys = budgets.iter().map(Keys::budget).collect();
        evaluate(self.client(), &self.scripts.take, keys, arguments, BUDGET_PATIENCE).await
    }
}
