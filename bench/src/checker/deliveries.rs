//! What pages were told: every accepted scan, no other, and nothing after the end.

use super::index::{Index, Session};
use super::{Found, Rules, Violation};
use crate::history::Digest;

pub(super) fn check(index: &Index<'_>, rules: &Rules, found: &mut Found, unjudged: &mut usize) {
    found.0.extend(index.nameless.iter().map(|&at| (Violation::Stray { session: None }, vec![at])));
    for (&id, session) in &index.sessions {
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
    match index.there_since(session.login, at) {
        Some(there) if u128::from(there) >= rules.patience.as_micros() => {
            let shown = session.shown.iter().map(|(at, _)| *at);
            found.add(Violation::Lost { session: id }, shown.chain(scan.places()));
        }
        _ => *unjudged += 1,
    }
}

fn stray(index: &Index<'_>, id: Digest, session: &Session, found: &mut Found) {
    for &(at, _) in &session.delivered {
        let scanned = |scan: &super::index::Scan<'_>| scan.may_have_claimed() && scan.began() < at;
        if !index.scans_of(session).any(scanned) {
            let scans = index.scans_of(session).flat_map(super::index::Scan::places);
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
