//! Idle mode: pages that wait. What they cost, how fast they come, how soon they show a code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time;

use crate::browser::Gateways;
use crate::checker::{Rules, check};
use crate::measure::measure;
use crate::recorder::Recorder;
use crate::report::{Connections, Costs, Per};
use crate::run::{self, Crowd, Error, Outcome, Target};

/// For what opening pages leaves behind, before anything is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// How many, how fast, how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pages that are held.
    pub connections: u64,
    /// Pages opened a second.
    pub rate: f64,
    /// How long all of them are held.
    pub hold: Duration,
    /// Pages that are opened before anything is measured, and held too: what a process allocates once is no page's cost.
    pub warm_up: u64,
}

/// Opens pages, holds them, and looks at what they cost.
///
/// # Errors
///
/// The run cannot begin; what happens to single pages is in its outcome.
pub async fn run(target: &Target, plan: &Plan, recorder: Arc<Recorder>) -> Result<Outcome, Error> {
    run::check_servers("gateway", &target.gateways)?;
    run::check_open_files(plan.warm_up + plan.connections)?;
    let gateways = Arc::new(Gateways::of(target));
    let mut crowd = Crowd::new(gateways, recorder.clone());
    crowd.open(0..plan.warm_up, plan.rate).await;
    time::sleep(SETTLE).await;

    let (before, measured) = (run::look(target)?, plan.warm_up..plan.warm_up + plan.connections);
    let opening = crowd.open(measured.clone(), plan.rate).await;
    let opened = run::look_again(target);
    time::sleep(SETTLE).await;
    let (settled, held_from) = (run::look_again(target), Instant::now());
    time::sleep(plan.hold).await;
    let (after, held) = (run::look_again(target), held_from.elapsed());
    drop(crowd);

    let names = target.gateways.iter().map(ToString::to_string).collect();
    let history = recorder.finish(names, Vec::new());
    let (times, outcomes) = measure(&history, &measured);
    let mut report = run::report(
        "idle",
        vec![
            ("connections", plan.connections.to_string()),
            ("rate a second", plan.rate.to_string()),
            ("hold", humantime::format_duration(plan.hold).to_string()),
            ("warm-up", plan.warm_up.to_string()),
        ],
    );
    report.connections = Some(Connections {
        asked: plan.connections,
        held: outcomes.open,
        without_code: opening.failed,
        interrupted: outcomes.interrupted,
        seconds: opening.took.as_secs_f64(),
    });
    report.memory(&before, &after, outcomes.open);
    report.costs(Costs::between("opening a page", &before, &opened, Per::Each(plan.connections)));
    report.costs(Costs::between("holding all of them", &settled, &after, Per::Second(held)));
    report.latency("planned opening to QR code", &times.code);
    let judgement = check(&history, &Rules::default());
    report.judged(&judgement);
    Ok(Outcome { report, history, judgement })
}
