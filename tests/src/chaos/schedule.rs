//! What breaks, when, and for how long: a pure function of the seed and of the kind of Redis.
//!
//! Four tracks run beside each other, see [`Track`]. In each, one disruption ends before the next begins. So there is always a
//! gateway and a callback that is up, and after each disruption there is time to recover. A track goes through all that can
//! happen in it before anything comes again, in an order that the seed decides.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deployment::{CALLBACKS, GATEWAYS, PAGE_LINKS};
use super::dice::Dice;

/// Which Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// One server, whose answered writes are on disk.
    Single,
    /// A primary, its replica, and three Sentinels.
    Sentinel,
    /// Three primaries, with a replica each.
    Cluster,
}

/// What breaks, and heals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disruption {
    /// After the end of the one before.
    pub pause: Duration,
    /// For how long.
    pub time: Duration,
    /// What.
    pub fault: Fault,
}

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fault {
    /// `SIGKILL`, and a new start.
    Kill(Replica),
    /// `SIGKILL` to all gateways but one, and new starts.
    KillAllBut(usize),
    /// `SIGSTOP`, and `SIGCONT`.
    Stop(Replica),
    /// `SIGTERM`, and a new start.
    Leave(Replica),
    /// A network.
    Network(Link, How),
    /// Redis itself.
    Redis(RedisFault),
}

/// One of our programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replica {
    /// By number.
    Gateway(usize),
    /// By number.
    Callback(usize),
}

/// A network between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// Between browsers and applications and nginx, or a gateway.
    Pages(usize),
    /// Between the platform and a callback.
    Pushes(usize),
    /// Between one of our programs and the only Redis; else between everybody and one server.
    Redis(usize),
}

/// What is wrong with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Connections end, and there are no new ones.
    Cut,
    /// Nothing passes.
    Hold,
    /// Nothing passes on its way back.
    HoldReplies,
    /// Everything is this much later.
    Delay(Duration),
}

/// What Redis can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedisFault {
    /// The only server is killed, and started on its data.
    Restart,
    /// A primary hangs, for less time than a failover takes to begin.
    Hang(u16),
    /// A primary is killed; when a replica has taken its place, it comes back.
    FailOver(u16),
    /// A primary hangs until a replica has taken its place, and goes on.
    FailOverByHanging(u16),
    /// A primary is killed whose replica does not have what was written last.
    FailOverToThePast(u16),
    /// A primary and its replica change places.
    ChangePlaces(u16),
    /// The server ends every subscription.
    DropSubscriptions,
    /// The server ends every connection.
    DropConnections,
}

/// What breaks one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The gateways.
    Gateways,
    /// What lies between browsers, applications and gateways.
    Pages,
    /// The callbacks, and what lies between the platform and them.
    Callbacks,
    /// Redis, and what leads to it.
    Redis,
}

/// All of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    seed: u64,
    kind: Kind,
    /// When nothing more begins.
    pub end: Duration,
}

impl Schedule {
    /// What this seed means for this kind of Redis, until `end`.
    #[must_use]
    pub fn of(seed: u64, kind: Kind, end: Duration) -> Self {
        Self { seed, kind, end }
    }

    /// What happens in a track: enough to last until the end.
    #[must_use]
    pub fn track(&self, track: Track) -> Vec<Disruption> {
        let mut dice = Dice::of(self.seed.wrapping_mul(4).wrapping_add(track as u64));
        let (mut at, mut disruptions, mut left) = (Duration::ZERO, Vec::new(), Vec::new());
        while at < self.end {
            if left.is_empty() {
                left = dice.shuffled(track.turns(self.kind));
            }
            // The first of Redis is what its kind is about, so that no run is without it.
            let first = disruptions.is_empty() && track == Track::Redis;
            let turn = if first { 0 } else { left.pop().unwrap_or_default() };
            let disruption = match track {
                Track::Gateways => of_gateways(&mut dice, turn),
                Track::Pages => of_pages(&mut dice, turn),
                Track::Callbacks => of_callbacks(&mut dice, turn),
                Track::Redis => of_redis(&mut dice, self.kind, turn, first),
            };
            at += disruption.pause + disruption.time;
            disruptions.push(disruption);
        }
        disruptions
    }
}

impl Track {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gateways, Self::Pages, Self::Callbacks, Self::Redis];

    /// How many things can happen in it.
    fn turns(self, kind: Kind) -> usize {
        match self {
            Self::Gateways => 6,
            Self::Pages => 4,
            Self::Callbacks => 5,
            Self::Redis if kind == Kind::Single => 10,
            Self::Redis => 11,
        }
    }
}

fn of_gateways(dice: &mut Dice, turn: usize) -> Disruption {
    let gateway = Replica::Gateway(dice.below(GATEWAYS));
    let (fault, time) = match turn {
        0 | 1 => (Fault::Kill(gateway), dice.millis(200, 3000)),
        2 => (Fault::KillAllBut(dice.below(GATEWAYS)), dice.millis(500, 2500)),
        3 | 4 => (Fault::Stop(gateway), dice.millis(300, 4000)),
        _ => (Fault::Leave(gateway), dice.millis(200, 2000)),
    };
    Disruption { pause: dice.millis(700, 2500), time, fault }
}

fn of_pages(dice: &mut Dice, turn: usize) -> Disruption {
    let pages = Link::Pages(dice.below(PAGE_LINKS));
    let (how, time) = match turn {
        0 | 1 => (How::Cut, dice.millis(50, 2500)),
        _ => (dice.slowness(), dice.millis(300, 4000)),
    };
    Disruption { pause: dice.millis(1000, 4000), time, fault: Fault::Network(pages, how) }
}

fn of_callbacks(dice: &mut Dice, turn: usize) -> Disruption {
    let callback = Replica::Callback(dice.below(CALLBACKS));
    let pushes = Link::Pushes(dice.below(CALLBACKS));
    let (fault, time) = match turn {
        0 => (Fault::Kill(callback), dice.millis(200, 3000)),
        // The platform's patience is 5 s.
        1 => (Fault::Stop(callback), dice.millis(300, 6500)),
        2 => (Fault::Leave(callback), dice.millis(200, 2000)),
        3 => (Fault::Network(pushes, How::Cut), dice.millis(50, 2500)),
        _ => (Fault::Network(pushes, dice.slowness()), dice.millis(300, 6500)),
    };
    Disruption { pause: dice.millis(700, 2500), time, fault }
}

fn of_redis(dice: &mut Dice, kind: Kind, turn: usize, first: bool) -> Disruption {
    let who = u16::try_from(dice.below(1000)).unwrap_or_default();
    let link = Link::Redis(dice.below(kind.links()));
    let (fault, time) = match (turn, kind) {
        (0..=2, Kind::Single) => (Fault::Redis(RedisFault::Restart), dice.millis(0, 2500)),
        (_, _) if first => (Fault::Redis(RedisFault::FailOverToThePast(who)), dice.millis(500, 1500)),
        (0, _) => (Fault::Redis(RedisFault::FailOver(who)), dice.millis(0, 2000)),
        (1, _) => (Fault::Redis(RedisFault::FailOverByHanging(who)), dice.millis(0, 2000)),
        (2, _) => (Fault::Redis(RedisFault::ChangePlaces(who)), Duration::ZERO),
        (10, _) => (Fault::Redis(RedisFault::FailOverToThePast(who)), dice.millis(100, 1500)),
        (3, _) => (Fault::Redis(RedisFault::Hang(who)), kind.disturbance(dice)),
        (4, _) => (Fault::Redis(RedisFault::DropSubscriptions), Duration::ZERO),
        (5, _) => (Fault::Redis(RedisFault::DropConnections), Duration::ZERO),
        (6 | 7, _) => (Fault::Network(link, How::Cut), kind.disturbance(dice)),
        _ => (Fault::Network(link, dice.slowness()), kind.disturbance(dice)),
    };
    // Sentinels let 12 s pass between two failovers; a Cluster's nodes need a while to agree again.
    let pause = match fault {
        Fault::Redis(
            RedisFault::FailOver(_)
            | RedisFault::FailOverByHanging(_)
            | RedisFault::FailOverToThePast(_)
            | RedisFault::ChangePlaces(_),
        ) if !first => dice.millis(13_000, 16_000),
        _ => dice.millis(1500, 4000),
    };
    Disruption { pause, time, fault }
}

impl Kind {
    /// Networks that lead to Redis.
    #[must_use]
    pub fn links(self) -> usize {
        match self {
            Self::Single => GATEWAYS + CALLBACKS,
            Self::Sentinel => 2,
            Self::Cluster => 6,
        }
    }

    /// Replicas of a primary.
    #[must_use]
    pub fn replicas(self) -> u8 {
        u8::from(self != Self::Single)
    }

    /// Where there are replicas, what lasts longer is a failover.
    fn disturbance(self, dice: &mut Dice) -> Duration {
        if self == Self::Single { dice.millis(100, 4000) } else { dice.millis(100, 900) }
    }
}

impl Dice {
    fn slowness(&mut self) -> How {
        match self.below(3) {
            0 => How::Hold,
            1 => How::HoldReplies,
            _ => How::Delay(self.millis(20, 200)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = [Self::Single, Self::Sentinel, Self::Cluster];
        kinds
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| "single, sentinel or cluster".to_owned())
    }
}

impl Fault {
    /// What kind of disruption it is, for counting.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill(Replica::Gateway(_)) => "gateway killed",
            Self::Kill(Replica::Callback(_)) => "callback killed",
            Self::KillAllBut(_) => "all gateways but one killed",
            Self::Stop(Replica::Gateway(_)) => "gateway stopped",
            Self::Stop(Replica::Callback(_)) => "callback stopped",
            Self::Leave(Replica::Gateway(_)) => "gateway left",
            Self::Leave(Replica::Callback(_)) => "callback left",
            Self::Network(Link::Pages(_), How::Cut) => "browsers cut",
            Self::Network(Link::Pages(_), _) => "browsers held or delayed",
            Self::Network(Link::Pushes(_), How::Cut) => "pushes cut",
            Self::Network(Link::Pushes(_), _) => "pushes held or delayed",
            Self::Network(Link::Redis(_), How::Cut) => "link to Redis cut",
            Self::Network(Link::Redis(_), _) => "link to Redis held or delayed",
            Self::Redis(RedisFault::Restart) => "Redis killed",
            Self::Redis(RedisFault::Hang(_)) => "primary hung for a while",
            Self::Redis(RedisFault::FailOver(_)) => "failover: primary killed",
            Self::Redis(RedisFault::FailOverToThePast(_)) => "failover: replica behind",
            Self::Redis(RedisFault::FailOverByHanging(_)) => "failover: primary hung",
            Self::Redis(RedisFault::ChangePlaces(_)) => "failover: by hand",
            Self::Redis(RedisFault::DropSubscriptions) => "subscriptions dropped",
            Self::Redis(RedisFault::DropConnections) => "connections dropped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Single, Kind::Sentinel, Kind::Cluster];
    const HOUR: Duration = Duration::from_secs(3600);

    fn all(seed: u64, kind: Kind, end: Duration) -> Vec<Vec<Disruption>> {
        Track::ALL.map(|track| Schedule::of(seed, kind, end).track(track)).into()
    }

    #[test]
    fn the_seed_decides_everything() {
        for kind in KINDS {
            assert_eq!(all(7, kind, HOUR), all(7, kind, HOUR));
            for (long, (other, short)) in
                all(7, kind, HOUR).iter().zip(all(8, kind, HOUR).iter().zip(all(7, kind, HOUR / 60)))
            {
                assert_ne!(long, other);
                // A longer run begins as a shorter one does.
                assert!(long.starts_with(&short));
            }
        }
    }

    #[test]
    fn nothing_is_left_out_and_everything_heals() {
        for kind in KINDS {
            let disruptions = all(1, kind, HOUR).concat();
            let mut names: Vec<_> = disruptions.iter().map(|disruption| disruption.fault.name()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), if kind == Kind::Single { 17 } else { 20 }, "{names:?}");
            // The longest back-off of a page is 15 s, and people wait for 30 s.
            assert!(disruptions.iter().all(|disruption| disruption.time < Duration::from_secs(7)));
            assert!(disruptions.iter().all(|disruption| disruption.pause >= Duration::from_millis(700)));
        }
    }
}
