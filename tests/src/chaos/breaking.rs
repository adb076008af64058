//! Does what the schedule says.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time;

use super::deployment::{Deployment, Networks, Programs};
use super::diary::Diary;
use super::schedule::{Disruption, Fault, How, Link, Replica, Schedule, Track};
use super::store::Store;
use crate::program::Program;
use crate::relay::{Direction, Relay};

/// A program that leaves has ended within `GRACE_TIME`, 25 s: a redeem that no replica has keeps it that long. On a busy machine
/// the rest takes its time, too.
const LEAVING: Duration = Duration::from_secs(40);

/// Plays all tracks until the schedule's end; then everything is whole.
pub async fn play(schedule: &Schedule, deployment: &mut Deployment, diary: &Diary) {
    let (Programs { gateways, callbacks }, networks, store) = deployment.parts();
    let play = Play { schedule, diary };
    let of_gateways =
        play.track(Track::Gateways, async |disruption| gateways_suffer(disruption, gateways).await);
    let of_pages = play.track(Track::Pages, async |disruption| networks_suffer(disruption, networks).await);
    let of_callbacks = play
        .track(Track::Callbacks, async |disruption| callbacks_suffer(disruption, callbacks, networks).await);
    let of_redis = play.track(Track::Redis, async |disruption| redis_suffers(disruption, store).await);
    // In one task: the programs end with the thread that started them.
    tokio::join!(Box::pin(of_gateways), Box::pin(of_pages), Box::pin(of_callbacks), Box::pin(of_redis));
}

struct Play<'a> {
    schedule: &'a Schedule,
    diary: &'a Diary,
}

impl Play<'_> {
    async fn track(&self, track: Track, mut suffer: impl AsyncFnMut(Disruption)) {
        for disruption in self.schedule.track(track) {
            time::sleep(disruption.pause).await;
            if self.diary.elapsed() >= self.schedule.end {
                break;
            }
            let begun = self.diary.begins(disruption.fault);
            suffer(disruption).await;
            self.diary.ends(disruption.fault, begun);
        }
    }
}

async fn gateways_suffer(Disruption { fault, time: lasting, .. }: Disruption, gateways: &mut [Program]) {
    if let Fault::KillAllBut(spared) = fault {
        let killed: Vec<usize> = (0..gateways.len()).filter(|number| *number != spared).collect();
        for &number in &killed {
            gateways[number].kill();
        }
        time::sleep(lasting).await;
        for number in killed {
            gateways[number].restart().await;
        }
    } else if let Some(Replica::Gateway(number)) = fault.replica() {
        program_suffers(fault, lasting, &mut gateways[number]).await;
    }
}

async fn callbacks_suffer(disruption: Disruption, callbacks: &mut [Program], networks: Networks<'_>) {
    match disruption.fault.replica() {
        Some(Replica::Callback(number)) => {
            program_suffers(disruption.fault, disruption.time, &mut callbacks[number]).await;
        }
        _ => networks_suffer(disruption, networks).await,
    }
}

async fn program_suffers(fault: Fault, lasting: Duration, program: &mut Program) {
    match fault {
        Fault::Stop(_) => {
            program.signal(Signal::SIGSTOP);
            time::sleep(lasting).await;
            program.signal(Signal::SIGCONT);
            return;
        }
        Fault::Leave(_) => {
            assert_eq!(program.terminate_within(LEAVING).await, Some(0), "a program did not leave well");
        }
        _ => program.kill(),
    }
    time::sleep(lasting).await;
    program.restart().await;
}

async fn networks_suffer(disruption: Disruption, networks: Networks<'_>) {
    if let Fault::Network(link, how) = disruption.fault
        && let Some(network) = networks.of(link)
    {
        network_suffers(network, how, disruption.time).await;
    }
}

async fn redis_suffers(disruption: Disruption, store: &mut Store) {
    match disruption.fault {
        Fault::Redis(fault) => store.suffer(fault, disruption.time).await,
        Fault::Network(Link::Redis(number), how) => {
            if let Some(network) = store.network(number) {
                network_suffers(network, how, disruption.time).await;
            }
            store.is_whole().await;
        }
        _ => {}
    }
}

async fn network_suffers(network: &Relay, how: How, lasting: Duration) {
    match how {
        How::Cut => network.cut(),
        How::Hold => network.hold_all(),
        How::HoldReplies => network.hold(Direction::Replies),
        How::Delay(delay) => network.delay(delay),
    }
    time::sleep(lasting).await;
    network.heal();
}

impl Fault {
    /// The program that it happens to.
    fn replica(self) -> Option<Replica> {
        match self {
            Self::Kill(replica) | Self::Stop(replica) | Self::Leave(replica) => Some(replica),
            _ => None,
        }
    }
}
