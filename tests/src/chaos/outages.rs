//! When what was broken, and what that can excuse: nothing is excused by a failover that did not happen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deployment::GATEWAYS;
use super::schedule::{Fault, Kind, Link, RedisFault, Replica};

/// A failover loses what had not reached the replica, which is what was written milliseconds before it began; and the driver
/// notes a message a little before or after the diary notes what is broken.
const BEFORE: Duration = Duration::from_secs(1);
/// How long after its end a failover is still seen: its replica stands in by then, the old primary follows it, and clients have
/// left that within 3 s (docs/redis.md, "An old primary that lives on"). What they heard of it may have been held for another
/// 4 s on its way to a page, or in a gateway that was stopped.
const AFTER: Duration = Duration::from_secs(7);
/// How long after its end an outage of Redis is still felt by a redeem: a gateway tries again within the second, a try takes
/// up to 2 s, and clients have left an old primary within 3 s.
const FELT: Duration = Duration::from_secs(4);
/// Where the replica stands in after so long, a disturbance that was meant to be shorter may have become a failover on a
/// busy machine: the `down-after-milliseconds` of the suite's Sentinels.
const FAILOVER_TIME: Duration = Duration::from_secs(1);

/// A disruption that was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// What.
    pub fault: Fault,
    /// When it began, in microseconds, as the history counts them.
    pub from_us: u64,
    /// When it was whole again.
    pub until_us: u64,
}

impl Outage {
    /// Whether it is felt at any moment between these two, where it is for so long after its end.
    fn reaches(&self, from_us: u64, until_us: u64, after: Duration) -> bool {
        self.from_us.saturating_sub(micros(BEFORE)) <= until_us
            && self.until_us.saturating_add(micros(after)) >= from_us
    }
}

/// All that were, with one kind of Redis.
#[derive(Clone, Copy, Debug)]
pub struct Outages<'a> {
    /// Which Redis.
    pub kind: Kind,
    /// In any order.
    pub all: &'a [Outage],
}

impl Outages<'_> {
    /// Whether a failover can have lost what was written, or changed what was said, at that moment.
    #[must_use]
    pub fn failover_at(&self, at_us: u64) -> bool {
        self.failover_within(at_us, at_us)
    }

    /// The same, at any moment between these two.
    #[must_use]
    pub fn failover_within(&self, from_us: u64, until_us: u64) -> bool {
        self.all.iter().any(|outage| self.may_be_failover(outage) && outage.reaches(from_us, until_us, AFTER))
    }

    /// Whether a code that this redeem endpoint (nginx, then each gateway) had to give back at the first moment may be spent
    /// at the second all the same: the gateway was broken in between, or a failover took the giving back away, or Redis, or the
    /// way there, has just been broken for the gateway.
    #[must_use]
    pub fn keep_from_giving_back(&self, endpoint: u16, from_us: u64, until_us: u64) -> bool {
        self.all.iter().any(|outage| match outage.fault {
            _ if self.may_be_failover(outage) => outage.reaches(from_us, until_us, FELT),
            // With one server, the way of one program to it.
            Fault::Network(Link::Redis(number), _) if self.kind == Kind::Single => {
                number < GATEWAYS
                    && (endpoint == 0 || usize::from(endpoint) == number + 1)
                    && outage.reaches(until_us, until_us, FELT)
            }
            Fault::Redis(_) | Fault::Network(Link::Redis(_), _) => outage.reaches(until_us, until_us, FELT),
            Fault::Kill(Replica::Gateway(number))
            | Fault::Stop(Replica::Gateway(number))
            | Fault::Leave(Replica::Gateway(number)) => {
                (endpoint == 0 || usize::from(endpoint) == number + 1)
                    && outage.reaches(from_us, until_us, FELT)
            }
            Fault::KillAllBut(spared) => {
                usize::from(endpoint) != spared + 1 && outage.reaches(from_us, until_us, FELT)
            }
            _ => false,
        })
    }

    fn may_be_failover(&self, outage: &Outage) -> bool {
        let long = outage.until_us - outage.from_us >= micros(FAILOVER_TIME);
        self.kind != Kind::Single
            && match outage.fault {
                Fault::Redis(
                    RedisFault::FailOver(_)
                    | RedisFault::FailOverByHanging(_)
                    | RedisFault::FailOverToThePast(_)
                    | RedisFault::ChangePlaces(_),
                ) => true,
                Fault::Redis(RedisFault::Hang(_)) | Fault::Network(Link::Redis(_), _) => long,
                _ => false,
            }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::schedule::How;
    use super::*;

    fn outage(fault: Fault) -> Outage {
        Outage { fault, from_us: 20_000_000, until_us: 24_000_000 }
    }

    #[test]
    fn a_failover_is_one_from_just_before_it_begins_until_it_is_settled() {
        let all = [outage(Fault::Redis(RedisFault::FailOver(1)))];
        for kind in [Kind::Sentinel, Kind::Cluster] {
            let at = |at_us| Outages { kind, all: &all }.failover_at(at_us);
            assert_eq!([18_900_000, 19_100_000, 30_900_000, 31_100_000].map(at), [false, true, true, false]);
        }
        assert!(!Outages { kind: Kind::Single, all: &all }.failover_at(22_000_000));
    }

    #[test]
    fn a_short_disturbance_is_no_failover_and_a_long_one_may_be() {
        for fault in [Fault::Redis(RedisFault::Hang(1)), Fault::Network(Link::Redis(0), How::Hold)] {
            let long = outage(fault);
            let short = Outage { until_us: 20_900_000, ..long };
            let may = |outage| Outages { kind: Kind::Sentinel, all: &[outage] }.failover_at(20_500_000);
            assert_eq!([short, long].map(may), [false, true]);
        }
        let dropped = [outage(Fault::Redis(RedisFault::DropConnections)), outage(Fault::KillAllBut(0))];
        assert!(!Outages { kind: Kind::Cluster, all: &dropped }.failover_at(22_000_000));
    }

    #[test]
    fn a_redeem_suffers_from_redis_and_from_its_own_gateway() {
        let suffered = |kind, fault, endpoint, from_us, until_us| {
            Outages { kind, all: &[outage(fault)] }.keep_from_giving_back(endpoint, from_us, until_us)
        };
        let suffers = |fault, endpoint| suffered(Kind::Single, fault, endpoint, 22_000_000, 22_000_000);
        assert!(suffers(Fault::Redis(RedisFault::Restart), 3));
        let killed = Fault::Kill(Replica::Gateway(1));
        assert_eq!([0, 1, 2, 3].map(|endpoint| suffers(killed, endpoint)), [true, false, true, false]);
        let spared = Fault::KillAllBut(1);
        assert_eq!([0, 1, 2, 3].map(|endpoint| suffers(spared, endpoint)), [true, true, false, true]);
        assert!(!suffers(Fault::Kill(Replica::Callback(1)), 2));
        let cut = |link| Fault::Network(Link::Redis(link), How::Cut);
        assert_eq!([0, 1, 2, 3].map(|endpoint| suffers(cut(1), endpoint)), [true, false, true, false]);
        assert!(!suffers(cut(GATEWAYS), 0), "a callback's");
        // What is long over at the refusal, the gateway has made up for; but not for its own end, nor for a failover.
        let long_after = |kind, fault| suffered(kind, fault, 2, 22_000_000, 29_000_000);
        assert!(!long_after(Kind::Single, Fault::Redis(RedisFault::Restart)));
        assert!(!long_after(Kind::Single, cut(1)));
        assert!(long_after(Kind::Single, killed));
        for kind in [Kind::Sentinel, Kind::Cluster] {
            assert!(!long_after(kind, Fault::Redis(RedisFault::DropConnections)));
            assert!(long_after(kind, Fault::Redis(RedisFault::FailOver(1))));
        }
    }
}
