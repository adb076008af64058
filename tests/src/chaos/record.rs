//! What a run was: what repeats it, and what was broken when.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::outages::Outage;
use super::schedule::Kind;

/// All that a verdict needs beside the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// As in [`super::Plan`].
    pub kind: Kind,
    /// As in [`super::Plan`].
    pub seed: u64,
    /// As in [`super::Plan`].
    pub logins: u64,
    /// As in [`super::Plan`].
    pub rate: f64,
    /// As in [`super::Plan`].
    pub replication_wait: u8,
    /// What was broken.
    pub outages: Vec<Outage>,
}

impl Record {
    /// The command that makes the run again.
    #[must_use]
    pub fn command(&self) -> String {
        let Self { kind, seed, logins, rate, replication_wait, .. } = self;
        format!(
            "cargo run -p tests --bin chaos -- --redis {kind} --seed {seed} --logins {logins} --rate {rate} \
             --replication-wait {replication_wait}"
        )
    }

    /// How often each kind of disruption came.
    #[must_use]
    pub fn disruptions(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for outage in &self.outages {
            *counts.entry(outage.fault.name()).or_default() += 1;
        }
        counts
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        Ok(serde_json::to_writer(BufWriter::new(File::create(path)?), self)?)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }
}
