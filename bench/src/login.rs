//! Login mode: so many logins a second, over pages that wait. What they take, and whether every one ends as it should.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::settings::Secret;
use simulator::Pushes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time;
use tokio_util::task::TaskTracker;

mod visit;

use self::visit::{Stage, Visit};
use crate::application::Application;
use crate::browser::Gateways;
use crate::checker::{Rules, check};
use crate::endpoint::Endpoint;
use crate::floor::{Floor, RedisUrl, Sample};
use crate::history::Probe;
use crate::latency::Latencies;
use crate::measure::measure;
use crate::pace::{Schedule, Ticks};
use crate::phone::{Phone, Texts};
use crate::recorder::Recorder;
use crate::report::{Costs, Per};
use crate::resources::{Process, Usage};
use crate::run::{self, Crowd, Error, Outcome, Target};
use crate::turns::Away;

/// For what opening pages leaves behind.
const SETTLE: Duration = Duration::from_secs(1);
/// What a login may take beyond its patience: the phone's three attempts of 5 s, and the application's five of 20 s with
/// the pauses between them.
const LAST_WORDS: Duration = Duration::from_secs(180);
/// The floor's messages a second, at least.
const FLOOR_RATE: f64 = 1.0;
/// A person logs in so many times, so that their counts mean something.
const LOGINS_A_PERSON: u64 = 4;

/// Everything that a login needs besides a browser.
#[derive(Clone, Debug)]
pub struct Parties {
    /// Where pushes go; a repeat goes to another one.
    pub callbacks: Vec<Endpoint>,
    /// Where codes are redeemed; after a failure at another one.
    pub redeem_at: Vec<Endpoint>,
    /// What the application shows there.
    pub redeem_secret: Secret,
    /// Who tells the scenes of codes.
    pub simulator: Endpoint,
    /// The account that the simulator plays.
    pub account: simulator::Config,
    /// What phones are answered.
    pub texts: Texts,
    /// Where the floor is measured; left out, it is not.
    pub redis: Option<RedisUrl>,
}

/// How many, how fast, how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pages that wait beside the logins, and how many of them are opened a second.
    pub connections: u64,
    /// See [`Self::connections`].
    pub connect_rate: f64,
    /// Logins a second.
    pub rate: f64,
    /// For how long.
    pub time: Duration,
    /// From the opening of a page to the scan of its code.
    pub lead: Duration,
    /// How long a page and a phone wait before they give up.
    pub patience: Duration,
    /// How long a page stays after its success, to see whether more comes.
    pub linger: Duration,
    /// Every login with a number that this divides is made difficult; 0 for none.
    pub probe_every: u64,
    /// How long the floor is measured alone.
    pub floor_time: Duration,
    /// What the checker takes for granted.
    pub rules: Rules,
}

/// Logs people in, and looks at what it costs.
///
/// # Errors
///
/// The run cannot begin; what happens to single logins is in its outcome.
pub async fn run(
    target: &Target,
    parties: &Parties,
    plan: &Plan,
    recorder: Arc<Recorder>,
) -> Result<Outcome, Error> {
    run::check_servers("gateway", &target.gateways)?;
    run::check_servers("callback", &parties.callbacks)?;
    run::check_servers("gateway to redeem at", &parties.redeem_at)?;
    let stage = Arc::new(stage(target, parties, plan, &recorder)?);
    let logins = plan.connections..plan.connections + plan.logins();
    run::check_open_files(plan.connections + plan.pages_at_once())?;
    let mut crowd = Crowd::new(stage.gateways.clone(), recorder.clone());
    if plan.connections > 0 {
        crowd.open(0..plan.connections, plan.connect_rate).await;
        time::sleep(SETTLE).await;
    }

    let begun = |redis| Floor::begin(redis, plan.rate.max(FLOOR_RATE)).map_err(Error::Floor);
    let floor = parties.redis.as_ref().map(begun).transpose()?;
    let (before, alone) = (run::look(target)?, Instant::now());
    time::sleep(plan.floor_time).await;
    let (begin, idle) = (run::look_again(target), alone.elapsed());

    let loaded = Instant::now();
    let (opened, logged_in) =
        tokio::join!(look_when_opened(target, plan, loaded), log_in(&stage, plan, logins.clone()));
    logged_in?;
    let end = run::look_again(target);
    // The thread that ends it waits for the next message, which is soon.
    let (floor, unmeasured) = match floor.map(Floor::end).transpose() {
        Ok(floor) => (floor.unwrap_or_default(), None),
        // It ends with the first connection that breaks, and the logins do not.
        Err(error) => (Vec::new(), Some(format!("the floor ({error})"))),
    };
    drop(crowd);

    let names = |endpoints: &[Endpoint]| endpoints.iter().map(ToString::to_string).collect();
    let history = recorder.finish(names(&target.gateways), names(&parties.callbacks));
    let judgement = check(&history, &plan.rules);
    let mut report = run::report("login", plan.named());
    report.missing.extend(unmeasured);
    let (times, outcomes) = measure(&history, &logins);
    let push = report.latency("push received to browser", &times.push);
    report.latency("push planned to browser", &times.push_planned);
    report.latency("push received to phone's answer", &times.answer);
    report.latency("redeeming", &times.redeem);
    report.latency("planned opening to QR code", &times.code);
    report.latency("the driver's own lateness", &times.late);
    let during = loaded..loaded + plan.lead + plan.time;
    for (name, window) in
        [("Redis floor, alone", alone..alone + idle), ("Redis floor, during the logins", during)]
    {
        let floor = report.latency(name, &within(&floor, &window));
        report.ratio(name, push, floor);
    }
    report.outcomes = Some(outcomes);
    report.costs(Costs::between("a login", &begin, &end, Per::Each(outcomes.begun)));
    if let Some(opened) = opened {
        let each = Per::Each(outcomes.begun);
        report.costs(Costs::between("the opening of its page", &begin, &opened, each));
        report.costs(Costs::between("the rest, from the scan on", &opened, &end, each));
    }
    report.costs(Costs::between("holding the pages that wait", &before, &begin, Per::Second(idle)));
    report.judged(&judgement);
    Ok(Outcome { report, history, judgement })
}

/// What the processes have taken when the pages are open, where the plan has no code scanned before that.
async fn look_when_opened(target: &Target, plan: &Plan, begin: Instant) -> Option<Vec<(Process, Usage)>> {
    if plan.lead < plan.time {
        return None;
    }
    time::sleep_until((begin + plan.lead).into()).await;
    Some(run::look_again(target))
}

fn within(samples: &[Sample], window: &Range<Instant>) -> Latencies {
    samples.iter().filter(|sample| window.contains(&sample.sent)).map(|sample| sample.took).collect()
}

fn stage(target: &Target, parties: &Parties, plan: &Plan, recorder: &Arc<Recorder>) -> Result<Stage, Error> {
    let phone = Phone::new(
        Pushes::new(parties.account.clone())?,
        parties.callbacks.clone(),
        parties.simulator.clone(),
        parties.texts.clone(),
        recorder.clone(),
    );
    let (redeem_at, secret) = (parties.redeem_at.clone(), parties.redeem_secret.clone());
    // A load balancer takes a gateway out for everybody.
    let away = if redeem_at == target.gateways { target.away.clone() } else { Away::default() };
    Ok(Stage {
        gateways: Arc::new(Gateways::of(target)),
        phone,
        application: Application::new(redeem_at, away, secret, recorder.clone()),
        recorder: recorder.clone(),
        patience: plan.patience,
        linger: plan.linger,
    })
}

/// Opens the pages of all logins and scans their codes, each at its planned moment; then waits until the last has ended.
async fn log_in(stage: &Arc<Stage>, plan: &Plan, logins: Range<u64>) -> io::Result<()> {
    let visits = TaskTracker::new();
    let opens = Schedule::new(Instant::now(), plan.rate);
    let scans = Schedule::new(opens.moment(0) + plan.lead, plan.rate);
    let count = logins.end - logins.start;
    // Each visit's bell, in the order of the visits; there is room for all of them.
    let (hang, mut bells) = mpsc::channel(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS));
    let people = people(count)?;
    let opening = async {
        let mut ticks = Ticks::of(opens, count);
        for (number, login) in (0..).zip(logins) {
            let Some(due) = ticks.next().await else { break };
            let (bell, rings) = oneshot::channel();
            // Fails when the other loop has failed.
            let _ = hang.send(bell).await;
            let person = &people[usize::try_from(number).unwrap_or_default() % people.len()];
            let probe = plan.probe(number);
            let visit = Visit { login, openid: person.clone(), opens: due, rings, probe };
            visits.spawn(visit.make(stage.clone()));
        }
    };
    let scanning = async {
        let mut ticks = Ticks::of(scans, count);
        while let Some(due) = ticks.next().await
            && let Some(bell) = bells.recv().await
        {
            // Fails for a visit that has ended already.
            let _: Result<(), Instant> = bell.send(due);
        }
    };
    tokio::join!(opening, scanning);
    visits.close();
    // Every visit has limits of its own; this one is for the case that they are wrong.
    let _ = time::timeout(plan.patience * 2 + plan.linger + LAST_WORDS, visits.wait()).await;
    Ok(())
}

/// People whom nobody has met before: their login counts begin at 1.
fn people(logins: u64) -> io::Result<Vec<String>> {
    let run = u64::from_be_bytes(crate::random::bytes()?);
    Ok((0..logins.div_ceil(LOGINS_A_PERSON).max(1))
        .map(|number| format!("o{run:016x}-{number:09}"))
        .collect())
}

impl Plan {
    /// Logins in all.
    #[must_use]
    pub fn logins(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let logins = (self.rate * self.time.as_secs_f64()).round() as u64;
        logins.max(1)
    }

    /// Pages of logins that are open at the same time while all goes well, with as many again for when it does not.
    fn pages_at_once(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let pages = (self.rate * (self.lead + self.linger).as_secs_f64()).ceil() as u64;
        (2 * pages).min(self.logins())
    }

    fn probe(&self, number: u64) -> Option<Probe> {
        let turn =
            number.checked_rem(self.probe_every).filter(|rest| *rest == 0).map(|_| number / self.probe_every);
        let turn = usize::try_from(turn?).unwrap_or_default();
        Some(Probe::ALL[turn % Probe::ALL.len()])
    }

    fn named(&self) -> Vec<(&'static str, String)> {
        let time = |time| humantime::format_duration(time).to_string();
        vec![
            ("pages that wait", self.connections.to_string()),
            ("logins a second", self.rate.to_string()),
            ("for", time(self.time)),
            ("scanned after", time(self.lead)),
            ("patience", time(self.patience)),
            (
                "probed",
                if self.probe_every == 0 { "none".to_owned() } else { format!("1 in {}", self.probe_every) },
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let second = Duration::from_secs(1);
        Plan {
            connections: 0,
            connect_rate: 1.0,
            rate: 10.0,
            time: second,
            lead: second,
            patience: second,
            linger: second,
            probe_every: 3,
            floor_time: second,
            rules: Rules::default(),
        }
    }

    #[test]
    fn every_kind_of_difficulty_comes_in_turn() {
        let probes: Vec<_> = (0..18).filter_map(|number| plan().probe(number)).collect();
        assert_eq!(probes[..5], Probe::ALL);
        assert_eq!(probes[5], Probe::ALL[0]);
        assert_eq!(Plan { probe_every: 0, ..plan() }.probe(0), None);
    }

    #[tokio::test]
    async fn a_run_against_nobody_is_refused() {
        let endpoint: Endpoint = "http://127.0.0.1:1".parse().unwrap();
        let target = Target::of(vec![endpoint.clone()]);
        let parties = Parties {
            callbacks: Vec::new(),
            redeem_at: vec![endpoint.clone()],
            redeem_secret: Secret::new("secret"),
            simulator: endpoint,
            account: simulator::Config::random("http://localhost/", "http://localhost").unwrap(),
            texts: Texts::default(),
            redis: None,
        };
        let refused = run(&target, &parties, &plan(), Arc::default()).await;
        assert!(matches!(refused, Err(Error::Nobody("callback"))));
    }
}
