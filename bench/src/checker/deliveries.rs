//! What pages were told: every accepted scan, no other, and nothing after the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::index::{Index, Scan, Session};
use super::{Found, Rules, Violation};
use crate::history::Digest;

/// What a session lives at least after a scan: `SESSION_TTL` by default (docs/settings.md). After that the server may have
/// forgotten it.
const SESSION_LIFE: Duration = Duration::from_secs(15 * 60);

pub(super) fn check(index: &Index<'_>, rules: &Rules, found: &mut Found, unjudged: &mut usize) {
    found.0.extend(index.nameless.iter().map(|&at| (Violation::Stray { session: None }, vec![at])));
    let mut showed = BTreeMap::new();
    for (&id, session) in &index.sessions {
        for &(at, qr) in &session.shown {
            let &mut (first, other) = showed.entry(qr).or_insert((at, id));
            if other != id {
                found.add(Violation::QrShared { qr }, [first, at]);
                break;
            }
        }
        if let Some(at) = session.shared {
            let first = session.shown.iter().chain(&session.delivered).map(|(at, _)| *at).min();
            found.add(Violation::SessionShared { session: id }, first.into_iter().chain([at]));
        }
        lost(index, rules, id, session, found, unjudged);
        stray(index, id, session, found);
        if let Some(proof) = session.doubled {
            found.add(Violation::Doubled { session: id }, proof);
        }
        code_changed(id, session, found);
        after_final(id, session, found);
    }
}

fn lost(
    index: &Index<'_>,
    rules: &Rules,
    id: Digest,
    session: &Session,
    found: &mut Found,
    unjudged: &mut usize,
) {
    if !session.delivered.is_empty() {
        return;
    }
    let accepted = index.scans_of(session).filter_map(|scan| Some((scan.accepted()?.0, scan)));
    let Some((at, scan)) = accepted.min_by_key(|(at, _)| *at) else { return };
    let proof = || session.shown.iter().map(|(at, _)| *at).chain(scan.places());
    // However short the page was there: it was told that it waits for nothing.
    if let Some(given_up) = session.given_up
        && !has_lived(index, scan, given_up)
    {
        found.add(Violation::Lost { session: id }, proof().chain([given_up]));
        return;
    }
    // At one stretch until it left; or, coming and going, long enough in all to be shown the code that was scanned.
    let at_last = index.there_since(session.login, at).unwrap_or_default();
    let waited = at_last.max(index.waited_since(session, at));
    if u128::from(waited) >= rules.patience.as_micros() {
        found.add(Violation::Lost { session: id }, proof());
    } else {
        *unjudged += 1;
    }
}

/// Whether the session's life after this scan can have been over at that place.
fn has_lived(index: &Index<'_>, scan: &Scan<'_>, at: usize) -> bool {
    let since = index.at(at).saturating_sub(index.at(scan.began()));
    u128::from(since) >= SESSION_LIFE.as_micros()
}

fn stray(index: &Index<'_>, id: Digest, session: &Session, found: &mut Found) {
    for &(at, _) in &session.delivered {
        let scanned = |scan: &Scan<'_>| scan.may_have_claimed() && scan.began() < at;
        if !index.scans_of(session).any(scanned) {
            let scans = index.scans_of(session).flat_map(Scan::places);
            found.add(Violation::Stray { session: Some(id) }, scans.chain([at]));
            return;
        }
    }
}

fn code_changed(id: Digest, session: &Session, found: &mut Found) {
    let Some(&(first_at, first)) = session.delivered.first() else { return };
    if let Some(&(at, _)) = session.delivered.iter().find(|(_, code)| *code != first) {
        found.add(Violation::CodeChanged { session: id }, [first_at, at]);
    }
}

fn after_final(id: Digest, session: &Session, found: &mut Found) {
    let mut add = |proof: [usize; 2]| found.add(Violation::StateAfterFinal { session: id }, proof);
    let news = session.shown.iter().map(|(at, _)| *at);
    if let Some(&(succeeded, _)) = session.delivered.first()
        && let Some(later) = news.clone().chain(session.expired.iter().copied()).find(|at| *at > succeeded)
    {
        add([succeeded, later]);
    }
    if let Some(over) = session.over
        && let Some(later) = news.clone().find(|at| *at > over)
    {
        add([over, later]);
    }
    // A code that another one has replaced.
    for (number, &(at, qr)) in session.shown.iter().enumerate() {
        let before = &session.shown[..number];
        let seen = before.iter().rposition(|(_, earlier)| *earlier == qr);
        if let Some(seen) = seen
            && let Some(&(replaced, _)) = before[seen..].iter().find(|(_, other)| *other != qr)
        {
            add([replaced, at]);
        }
    }
}
