//! What phones were told: one claim a login, of a living scene, and always the same answer.

use std::collections::BTreeMap;

use super::index::{Index, Scan};
use super::{Found, Violation};
use crate::history::{Answer, Digest};

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    // A login has one claim, whichever of its scenes it is; what no page of the history showed stands for itself.
    let mut logins: BTreeMap<Result<Digest, &str>, Vec<&Scan<'_>>> = BTreeMap::new();
    for scan in index.scans.values() {
        logins.entry(index.session_of(scan).ok_or(scan.scene)).or_default().push(scan);
    }
    for (login, scans) in &logins {
        claimed_twice(login.ok(), scans, found);
        answer_changed(scans, found);
    }
    for (&id, session) in &index.sessions {
        // The only scan that can have led to the success did, though the phone had no answer.
        let mut claiming = index.scans_of(session).filter(|scan| scan.may_have_claimed());
        let only = claiming.next().filter(|_| claiming.next().is_none() && !session.delivered.is_empty());
        let accepted = index.scans_of(session).filter(|scan| scan.accepted().is_some());
        for scan in accepted.chain(only.filter(|scan| scan.accepted().is_none())) {
            let own = session.shown.iter().rposition(|(_, qr)| *qr == scan.qr);
            let newer = own.and_then(|own| session.shown.get(own + 1));
            if let Some(&(replaced, _)) = newer
                && replaced < scan.began()
            {
                let proof = scan.places().chain([replaced]);
                found.add(Violation::DeadSceneClaimed { session: id }, proof);
            }
        }
    }
}

fn claimed_twice(session: Option<Digest>, scans: &[&Scan<'_>], found: &mut Found) {
    let mut accepted = scans.iter().filter(|scan| scan.accepted().is_some());
    let Some(first) = accepted.next() else { return };
    if let Some(other) = accepted.find(|scan| (scan.openid, scan.scene) != (first.openid, first.scene)) {
        found.add(Violation::ClaimedTwice { session }, first.places().chain(other.places()));
    }
}

/// Whoever was accepted gets that answer from every attempt: the claim is idempotent, and before it there is no scene that
/// a page could have shown. Every refusal is in the proof: none may come after the acceptance, and each before needs its reason.
fn answer_changed(scans: &[&Scan<'_>], found: &mut Found) {
    for accepted in scans.iter().filter(|scan| scan.accepted().is_some()) {
        let same = scans.iter().filter(|scan| (scan.openid, scan.scene) == (accepted.openid, accepted.scene));
        let refused =
            same.flat_map(|scan| scan.attempts.values()).filter_map(|attempt| match attempt.answer {
                Some((at, Answer::Used)) => Some((at, attempt.pushed)),
                _ => None,
            });
        let refused: Vec<_> = refused.flat_map(|(at, pushed)| [pushed, at]).collect();
        if !refused.is_empty() {
            let openid = accepted.openid.to_owned();
            found.add(Violation::AnswerChanged { openid }, accepted.places().chain(refused));
            return;
        }
    }
}
