//! What a run came to, for people.

use std::fmt::{self, Write as _};

use crate::history::Event;
use crate::report::Report;

/// Findings that are shown whole; all of them are in the JSON.
const FINDINGS_SHOWN: usize = 10;

/// Rows of cells, the first row being the head. The first column begins left, the others end right.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new<const N: usize>(head: [&str; N]) -> Self {
        Self(vec![head.map(str::to_owned).to_vec()])
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(Vec::from(cells));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.0 {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(line, "  {cell:<width$}")?,
                    _ => write!(line, "  {cell:>width$}")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan: Vec<_> = self.plan.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "{}, {}: {}", self.mode, self.when, plan.join(", "))?;
        let machine = &self.machine;
        writeln!(f, "{} processors, {}, Linux {}", machine.cpus, machine.processor, machine.kernel)?;
        self.counts(f)?;
        self.latencies(f)?;
        self.resources(f)?;
        self.verdict(f)
    }
}

impl Report {
    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pages) = self.connections {
            let mut table =
                Table::new(["pages", "held", "without code", "interrupted", "seconds", "a second"]);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let rate = pages.asked as f64 / pages.seconds.max(f64::MIN_POSITIVE);
            let [seconds, rate] = [pages.seconds, rate].map(|number| format!("{number:.1}"));
            let [asked, held, without, interrupted] =
                [pages.asked, pages.held, pages.without_code, pages.interrupted].map(|n| n.to_string());
            table.row([asked, held, without, interrupted, seconds, rate]);
            write!(f, "\n{table}")?;
        }
        if let Some(logins) = self.outcomes {
            let mut table = Table::new([
                "logins",
                "code shown",
                "shown late",
                "accepted",
                "refused",
                "delivered",
                "redeemed",
                "doubles",
                "interrupted",
                "probed",
            ]);
            let counts = [
                logins.begun,
                logins.shown,
                logins.shown_late,
                logins.accepted,
                logins.refused,
                logins.delivered,
                logins.redeemed,
                logins.doubles,
                logins.interrupted,
                logins.probed,
            ];
            table.row(counts.map(|count| count.to_string()));
            write!(f, "\n{table}")?;
        }
        Ok(())
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.latencies_us.is_empty() {
            let mut table = Table::new(["microseconds", "p50", "p90", "p99", "p99.9", "max", "count"]);
            for (name, summary) in &self.latencies_us {
                let times = [summary.p50, summary.p90, summary.p99, summary.p99_9, summary.max];
                let [p50, p90, p99, p99_9, max] = times.map(|time| format!("{time:.0}"));
                table.row([(*name).to_owned(), p50, p90, p99, p99_9, max, summary.count.to_string()]);
            }
            write!(f, "\n{table}")?;
        }
        if !self.ratios.is_empty() {
            let mut table = Table::new(["push to browser, as a multiple of", "p50", "p99"]);
            for ratio in &self.ratios {
                table.row([ratio.floor.to_owned(), format!("{:.1}", ratio.p50), format!("{:.1}", ratio.p99)]);
            }
            write!(f, "\n{table}")?;
        }
        Ok(())
    }

    fn resources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.memory.is_empty() {
            let mut table =
                Table::new(["resident memory", "before, KiB", "after, KiB", "bytes for each page"]);
            for memory in &self.memory {
                let [before, after] = [memory.before_kib, memory.after_kib].map(|kib| kib.to_string());
                table.row([memory.process.clone(), before, after, format!("{:.0}", memory.bytes_each)]);
            }
            write!(f, "\n{table}")?;
        }
        for missing in &self.missing {
            writeln!(f, "\nnot measured: {missing}")?;
        }
        for costs in &self.costs {
            let unit = if costs.a_second { "a second" } else { "each" };
            let head = format!("processor time of {}", costs.of);
            let mut table = Table::new([head.as_str(), &format!("ms {unit}")]);
            for (process, ms) in &costs.ms {
                table.row([process.clone(), format!("{ms:.3}")]);
            }
            table.row(["gateways and callbacks together".to_owned(), format!("{:.3}", costs.services_ms)]);
            write!(f, "\n{table}")?;
        }
        Ok(())
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(verdict) = self.verdict else { return Ok(()) };
        let mut table =
            Table::new(["checker", "losses", "strays", "doubles", "other violations", "not judged"]);
        let counts = [verdict.losses, verdict.strays, verdict.doubles, verdict.others, verdict.unjudged];
        let [losses, strays, doubles, others, unjudged] = counts.map(|count| count.to_string());
        table.row([String::new(), losses, strays, doubles, others, unjudged]);
        write!(f, "\n{table}")?;
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            writeln!(f, "\n  {finding}")?;
        }
        match self.findings.len().checked_sub(FINDINGS_SHOWN) {
            Some(more) if more > 0 => writeln!(f, "\n  and {more} more"),
            _ => Ok(()),
        }
    }
}

/// How many events a history has of each kind, for `check`.
pub fn kinds(events: &[Event]) -> impl fmt::Display {
    let mut kinds = std::collections::BTreeMap::new();
    for event in events {
        *kinds.entry(event.what.by()).or_insert(0_u64) += 1;
    }
    let mut table = Table::new(["events by", "count"]);
    for (kind, count) in kinds {
        table.row([kind.to_owned(), count.to_string()]);
    }
    table
}
