//! What a run came to, for machines: one JSON object.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::checker::{Finding, Judgement, Violation};
use crate::latency::{Latencies, Summary};
use crate::measure::Outcomes;
use crate::resources::{Process, Usage};

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `idle`, `login` or `floor`.
    pub mode: &'static str,
    /// When it began, RFC 3339.
    pub when: String,
    /// Where.
    pub machine: Machine,
    /// What was asked for, by name.
    pub plan: Vec<(&'static str, String)>,
    /// The pages that were held.
    pub connections: Option<Connections>,
    /// What became of the logins.
    pub outcomes: Option<Outcomes>,
    /// What the checker found of each kind that has a name of its own, and of all.
    pub verdict: Option<Verdict>,
    /// In microseconds, in the order of the table.
    pub latencies_us: Vec<(&'static str, Summary)>,
    /// The push to the browser, as a multiple of the floor.
    pub ratios: Vec<Ratio>,
    /// Resident memory.
    pub memory: Vec<Memory>,
    /// Processor time.
    pub costs: Vec<Costs>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
    /// What must not have happened, with its proof.
    pub findings: Vec<Finding>,
}

/// The machine that everything shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cpus: usize,
    /// What the processor calls itself.
    pub processor: String,
    /// The kernel.
    pub kernel: String,
}

/// How opening and holding pages went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Connections {
    /// Pages that were to be opened.
    pub asked: u64,
    /// Of these, open in the end.
    pub held: u64,
    /// Of these, without a code.
    pub without_code: u64,
    /// Sockets that the other side ended or refused.
    pub interrupted: u64,
    /// From the first opening to the last code.
    pub seconds: f64,
}

/// How many findings of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Accepted scans that the page never heard of.
    pub losses: usize,
    /// Successes that nobody can have scanned for.
    pub strays: usize,
    /// Claims, codes and successes that there were twice.
    pub doubles: usize,
    /// Anything else.
    pub others: usize,
    /// Accepted scans whose page never came back, or not for long enough to judge.
    pub unjudged: usize,
}

/// A latency as a multiple of a floor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Of which floor.
    pub floor: &'static str,
    /// By p50.
    pub p50: f64,
    /// By p99.
    pub p99: f64,
}

/// A process's resident memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Whose.
    pub process: String,
    /// Before the pages came.
    pub before_kib: u64,
    /// With all of them there.
    pub after_kib: u64,
    /// The difference for each page, in bytes.
    pub bytes_each: f64,
}

/// What something took of the processor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// What.
    pub of: &'static str,
    /// Milliseconds for each of them, or for each second, by process.
    pub ms: Vec<(String, f64)>,
    /// The services' together.
    pub services_ms: f64,
    /// Whether it is for each second.
    pub a_second: bool,
}

/// What costs are shared among.
#[derive(Clone, Copy, Debug)]
pub enum Per {
    /// So many things.
    Each(u64),
    /// The seconds of this time.
    Second(Duration),
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, Into::into);
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        let processor =
            model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self { cpus, processor: processor.to_owned(), kernel: kernel.trim().to_owned() }
    }
}

impl Report {
    pub(crate) fn new(
        mode: &'static str,
        when: String,
        machine: Machine,
        plan: Vec<(&'static str, String)>,
    ) -> Self {
        Self {
            mode,
            when,
            machine,
            plan,
            connections: None,
            outcomes: None,
            verdict: None,
            latencies_us: Vec::new(),
            ratios: Vec::new(),
            memory: Vec::new(),
            costs: Vec::new(),
            missing: Vec::new(),
            findings: Vec::new(),
        }
    }

    pub(crate) fn latency(&mut self, name: &'static str, latencies: &Latencies) -> Summary {
        let summary = latencies.summary();
        self.latencies_us.push((name, summary));
        summary
    }

    /// Compares with a floor that was measured.
    pub(crate) fn ratio(&mut self, floor: &'static str, of: Summary, to: Summary) {
        if of.count > 0 && to.count > 0 && to.p50 > 0.0 {
            self.ratios.push(Ratio { floor, p50: of.p50 / to.p50, p99: of.p99 / to.p99 });
        }
    }

    pub(crate) fn memory(&mut self, before: &[(Process, Usage)], after: &[(Process, Usage)], pages: u64) {
        for (process, before, after) in both(before, after) {
            let (before_kib, after_kib) = (before.rss_kib, after.rss_kib);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let bytes_each = (after_kib as f64 - before_kib as f64) * 1024.0 / pages.max(1) as f64;
            self.memory.push(Memory { process: process.name.clone(), before_kib, after_kib, bytes_each });
        }
        let gateways = self.memory.iter().filter(|memory| memory.process.starts_with("gateway"));
        if gateways.clone().count() > 1 {
            let sum = |of: fn(&Memory) -> u64| gateways.clone().map(of).sum();
            let (before_kib, after_kib) = (sum(|memory| memory.before_kib), sum(|memory| memory.after_kib));
            let bytes_each = gateways.map(|memory| memory.bytes_each).sum();
            let process = "gateways together".to_owned();
            self.memory.push(Memory { process, before_kib, after_kib, bytes_each });
        }
    }

    pub(crate) fn costs(&mut self, costs: Costs) {
        self.costs.push(costs);
    }

    pub(crate) fn judged(&mut self, judgement: &Judgement) {
        let mut verdict = Verdict { unjudged: judgement.unjudged, ..Verdict::default() };
        for finding in &judgement.findings {
            match finding.violation {
                Violation::Lost { .. } => verdict.losses += 1,
                Violation::Stray { .. } => verdict.strays += 1,
                Violation::Doubled { .. }
                | Violation::ClaimedTwice { .. }
                | Violation::QrShared { .. }
                | Violation::SessionShared { .. }
                | Violation::CodeShared { .. }
                | Violation::RedeemedTwice { .. } => verdict.doubles += 1,
                _ => verdict.others += 1,
            }
        }
        self.verdict = Some(verdict);
        self.findings.clone_from(&judgement.findings);
    }
}

impl Costs {
    /// What every process took between two looks.
    #[must_use]
    pub fn between(
        of: &'static str,
        before: &[(Process, Usage)],
        after: &[(Process, Usage)],
        per: Per,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let (share, a_second) = match per {
            Per::Each(number) => (number.max(1) as f64, false),
            Per::Second(time) => (time.as_secs_f64().max(f64::MIN_POSITIVE), true),
        };
        let (mut ms, mut services_ms) = (Vec::new(), 0.0);
        for (process, before, after) in both(before, after) {
            let took = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0 / share;
            ms.push((process.name.clone(), took));
            services_ms += if process.is_service() { took } else { 0.0 };
        }
        Self { of, ms, services_ms, a_second }
    }
}

/// The processes that were there at both looks.
fn both<'a>(
    before: &'a [(Process, Usage)],
    after: &'a [(Process, Usage)],
) -> impl Iterator<Item = (&'a Process, &'a Usage, &'a Usage)> {
    before.iter().filter_map(|(process, before)| {
        let (_, after) = after.iter().find(|(other, _)| other == process)?;
        Some((process, before, after))
    })
}
