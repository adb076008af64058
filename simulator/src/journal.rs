//! What happened lately, for tests: calls and counters. No openid, scene, token or code is in it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Entries that are kept; the oldest make room.
const CAPACITY: usize = 1000;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// The account's server called the API.
    Call {
        at: u64,
        path: &'static str,
        /// 0 for success; absent where a fault left the call without an answer in JSON.
        #[serde(skip_serializing_if = "Option::is_none")]
        errcode: Option<i64>,
    },
    /// The platform pushed a message or an event.
    Push { at: u64, event: String, verdicts: Vec<&'static str> },
}

/// Counts since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counters {
    /// Tokens that `/cgi-bin/token` handed out.
    pub(crate) classic_tokens: u64,
    /// Tokens that `/cgi-bin/stable_token` handed out, the same one again included.
    pub(crate) stable_tokens: u64,
    /// Those among them that were asked for with `force_refresh`.
    pub(crate) forced_tokens: u64,
    /// Tokens of either endpoint that were made: the same one again is none.
    pub(crate) tokens_made: u64,
    pub(crate) qr_codes: u64,
    pub(crate) user_infos: u64,
    pub(crate) custom_messages: u64,
    pub(crate) quota_clears: u64,
    /// Calls by path, failed ones included.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) pushes: u64,
    /// Requests that the pushes took.
    pub(crate) attempts: u64,
    /// Pushes without any good answer.
    pub(crate) failed_pushes: u64,
}

/// The log behind `GET /simulator/log`.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    pub(crate) counters: Counters,
}

impl Journal {
    pub(crate) fn call(&mut self, at: u64, path: &'static str, errcode: Option<i64>) {
        *self.counters.calls.entry(path).or_default() += 1;
        self.add(Entry::Call { at, path, errcode });
    }

    pub(crate) fn push(&mut self, at: u64, event: String, verdicts: Vec<&'static str>, failed: bool) {
        self.counters.pushes += 1;
        self.counters.attempts += verdicts.len() as u64;
        self.counters.failed_pushes += u64::from(failed);
        self.add(Entry::Push { at, event, verdicts });
    }

    /// Oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    fn add(&mut self, entry: Entry) {
        if self.entries.len() >= CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_entries_are_kept_and_all_are_counted() {
        let mut journal = Journal::default();
        for at in 0..=CAPACITY as u64 {
            journal.call(at, "/cgi-bin/token", Some(0));
        }
        assert_eq!(journal.entries().count(), CAPACITY);
        assert_eq!(journal.counters.calls["/cgi-bin/token"], CAPACITY as u64 + 1);
    }
}
