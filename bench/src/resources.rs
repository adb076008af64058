//! What processes take of the machine: resident memory and processor time, from /proc.

use std::fs;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// A process that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What it is called in tables. Those that begin with `gateway` or `callback` are the services.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// What a process has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in KiB.
    pub rss_kib: u64,
    /// User and system time since its start, in steps of (usually) 10 ms.
    pub cpu: Duration,
}

/// A text is no process.
#[derive(Debug, thiserror::Error)]
#[error("a name and a process id, such as gateway=1234")]
pub struct Malformed;

impl FromStr for Process {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (name, pid) = text.split_once('=').ok_or(Malformed)?;
        let plausible = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.len() <= 32;
        let pid = pid.parse().ok().filter(|pid| *pid > 0 && plausible).ok_or(Malformed)?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        Self { name: "bench".to_owned(), pid: std::process::id() }
    }

    /// Whether it is one of the services.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.name.starts_with("gateway") || self.name.starts_with("callback")
    }

    /// What it has taken so far.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn usage(&self) -> io::Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        parse(&status, &stat).ok_or_else(|| io::Error::other("/proc is not as it should be"))
    }
}

/// Reads /proc/PID/status and /proc/PID/stat, as proc(5) has them.
fn parse(status: &str, stat: &str) -> Option<Usage> {
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    // The name may hold anything, blanks and parentheses too; after it, user and system time are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let a_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|ticks| *ticks > 0)?;
    Some(Usage { rss_kib, cpu: Duration::from_millis(ticks * 1000 / a_second) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let usage = Process::this().usage().unwrap();
        assert!((500..10_000_000).contains(&usage.rss_kib), "{usage:?}");
        let status = "Name:\tx\nVmRSS:\t    1234 kB\n";
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 1 1 1";
        let usage = parse(status, stat).unwrap();
        assert_eq!((usage.rss_kib, usage.cpu), (1234, Duration::from_secs(3)));
    }

    #[test]
    fn a_process_is_a_name_and_a_number() {
        assert_eq!("gateway=12".parse::<Process>().unwrap().pid, 12);
        for bad in ["", "gateway", "gateway=", "gateway=x", "gateway=0", "=12", "-=12"] {
            assert!(bad.parse::<Process>().is_err(), "{bad}");
        }
    }
}
