//! What people did and saw, counted.

use std::collections::BTreeSet;

use bench::history::{Answer, Digest, History, Redemption, What};

/// What people did and saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages that people opened in order to log in.
    pub logins: usize,
    /// Of these, made difficult on purpose.
    pub probed: usize,
    /// Scans that the phone said had logged somebody in.
    pub accepted: usize,
    /// Sessions that got their success.
    pub delivered: usize,
    /// Codes that were redeemed.
    pub redeemed: usize,
    /// Sockets that pages lost.
    pub lost_sockets: usize,
    /// Sockets with which pages resumed their session.
    pub resumed: usize,
    /// Attempts to push, and those that were not the first of their scan.
    pub pushes: usize,
    /// See [`Self::pushes`].
    pub repeated_pushes: usize,
}

impl Counts {
    /// Counts them.
    #[must_use]
    pub fn of(history: &History, logins: u64) -> Self {
        let mut counts = Self { logins: usize::try_from(logins).unwrap_or(usize::MAX), ..Self::default() };
        let (mut accepted, mut delivered, mut redeemed) =
            (BTreeSet::new(), BTreeSet::<Digest>::new(), BTreeSet::new());
        let mut resuming = BTreeSet::new();
        for event in &history.events {
            match &event.what {
                What::Probed { .. } => counts.probed += 1,
                What::Opening { resuming: true, .. } => drop(resuming.insert(event.login)),
                What::Opened => counts.resumed += usize::from(resuming.remove(&event.login)),
                What::Refused { .. } => drop(resuming.remove(&event.login)),
                What::Closed { .. } => counts.lost_sockets += 1,
                What::Delivered { session, .. } => delivered.extend(session),
                What::Pushed { attempt, .. } => {
                    counts.pushes += 1;
                    counts.repeated_pushes += usize::from(*attempt > 1);
                }
                What::Answered { scan, answer: Answer::Accepted(_), .. } => drop(accepted.insert(*scan)),
                What::Redeemed { code, outcome: Redemption::Identity { .. }, .. } => {
                    redeemed.insert(*code);
                }
                _ => {}
            }
        }
        (counts.accepted, counts.delivered, counts.redeemed) =
            (accepted.len(), delivered.len(), redeemed.len());
        counts
    }
}
