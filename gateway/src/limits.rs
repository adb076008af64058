//! How much one visitor may ask for, so that a flood of pages burns neither the account's QR codes nor this replica.

use std::num::NonZeroU32;
use std::time::Duration;

use shared::backplane::{Budget, Exhausted, LocalBudgets, Rates};
use shared::client::Client;
use shared::login::Timestamp;

/// Connections that a client may open for each QR code that it may have: every page of an office may come back a few
/// times at once when a replica ends.
const VISITS_A_CODE: NonZeroU32 = NonZeroU32::new(30).expect("30 is not 0");

/// How many QR codes may be made. The account has 100,000 a day, a test account 10,000 (docs/wechat.md, "Quotas").
#[derive(Clone, Debug)]
pub struct QrLimits {
    /// For one client: an IPv4 address, or an IPv6 /64 (`QR_LIMIT_PER_CLIENT`).
    pub per_client: Rates,
    /// For one network: an IPv4 /24, or an IPv6 /48 (`QR_LIMIT_PER_NETWORK`).
    pub per_network: Rates,
    /// For the whole deployment (`QR_LIMIT_TOTAL`).
    pub total: Rates,
}

impl QrLimits {
    /// What a QR code for `client` is taken from.
    pub(crate) fn budgets(&self, client: Client) -> Vec<Budget> {
        let all = [
            Budget::new(format_args!("client:{}", client.addresses().addr()), self.per_client.clone()),
            Budget::new(format_args!("network:{}", client.network()), self.per_network.clone()),
            Budget::of_everybody("total", self.total.clone()),
        ];
        all.into_iter().filter(|budget| !budget.is_off()).collect()
    }
}

/// Who connects how often to this replica. Follows from the limit of QR codes for one client, and is off with it.
#[derive(Debug)]
pub(crate) struct Visits {
    rates: Rates,
    counted: LocalBudgets,
}

impl Visits {
    pub(crate) fn new(limits: &QrLimits) -> Self {
        Self { rates: limits.per_client.times(VISITS_A_CODE), counted: LocalBudgets::default() }
    }

    /// Somebody connects.
    ///
    /// # Errors
    ///
    /// Too often: the time after which it may be tried again.
    pub(crate) fn admit(&self, client: Client) -> Result<(), Duration> {
        self.take(client, 1)
    }

    /// Somebody came with a session that nobody has: that costs as much as a QR code would, so that guessing is as slow.
    pub(crate) fn count_unknown(&self, client: Client) {
        // Who has less than that left has nothing left.
        let _ = (0..VISITS_A_CODE.get()).try_for_each(|_| self.take(client, 1));
    }

    fn take(&self, client: Client, amount: u32) -> Result<(), Duration> {
        if self.rates.are_off() {
            return Ok(());
        }
        let budget = Budget::new(client.addresses(), self.rates.clone());
        let taken = self.counted.take(&[budget], amount, Timestamp::of_this_machine());
        taken.map_err(|Exhausted { retry_after, .. }| retry_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_client: &str) -> QrLimits {
        let (per_client, off) = (per_client.parse().unwrap(), Rates::default());
        QrLimits { per_client, per_network: off.clone(), total: off }
    }

    fn client(address: &str) -> Client {
        Client::new(address.parse().unwrap())
    }

    #[test]
    fn a_code_is_taken_from_client_network_and_total_unless_they_are_off() {
        let mut limits = limits("20/min");
        limits.total = "5/day".parse().unwrap();
        let budgets = limits.budgets(client("2001:db8:1:2:3::4"));
        assert_eq!(budgets.iter().map(Budget::name).collect::<Vec<_>>(), ["client:2001:db8:1:2::", "total"]);
        limits.per_network = "200/min".parse().unwrap();
        let budgets = limits.budgets(client("203.0.113.7"));
        let names: Vec<_> = budgets.iter().map(Budget::name).collect();
        assert_eq!(names, ["client:203.0.113.7", "network:203.0.113.0/24", "total"]);
    }

    #[test]
    fn a2_connecting_is_limited_for_each_client_alone() {
        let visits = Visits::new(&limits("2/h"));
        for _ in 0..60 {
            visits.admit(client("203.0.113.7")).unwrap();
        }
        assert!(visits.admit(client("203.0.113.7")).unwrap_err() <= Duration::from_secs(60));
        visits.admit(client("203.0.113.8")).unwrap();
    }

    #[test]
    fn a3_an_unknown_session_costs_as_much_as_a_code() {
        let visits = Visits::new(&limits("2/h"));
        for _ in 0..2 {
            visits.admit(client("203.0.113.7")).unwrap();
            visits.count_unknown(client("203.0.113.7"));
        }
        visits.admit(client("203.0.113.7")).unwrap_err();
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let visits = Visits::new(&limits("off"));
        (0..10_000).for_each(|_| visits.count_unknown(client("203.0.113.7")));
        visits.admit(client("203.0.113.7")).unwrap();
    }
}
