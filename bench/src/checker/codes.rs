//! What codes were good for: one session, one person, once.

use super::index::{Code, Index, Redeeming};
use super::{Found, Violation};
use crate::history::{Digest, Redemption};

/// The answer to a code that is unknown, not yet scanned, or used (docs/http-api.md, "POST /api/redeem").
const GONE: u16 = 410;

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    for (&id, code) in &index.codes {
        if code.sessions.len() > 1 {
            found.add(Violation::CodeShared { code: id }, code.sessions.values().copied());
        }
        let identities: Vec<_> = code.attempts.values().filter_map(identity).collect();
        if let [(first, _), (second, _), ..] = identities[..] {
            found.add(Violation::RedeemedTwice { code: id }, [first, second]);
        }
        for (at, openid) in identities {
            wrong_identity(index, id, code, at, openid, found);
        }
        if !code.sessions.is_empty() {
            good_code_refused(id, code, found);
        }
    }
}

fn identity<'a>(attempt: &Redeeming<'a>) -> Option<(usize, &'a str)> {
    match attempt.outcome? {
        (at, Redemption::Identity { openid, .. }) => Some((at, openid)),
        _ => None,
    }
}

/// The person must be the one whose scan was accepted; while nobody's was, one whose scan may have been.
fn wrong_identity(
    index: &Index<'_>,
    id: Digest,
    code: &Code<'_>,
    at: usize,
    openid: &str,
    found: &mut Found,
) {
    let scans = || {
        let sessions = code.sessions.keys().filter_map(|session| index.sessions.get(session));
        sessions.flat_map(|session| index.scans_of(session))
    };
    let known = scans().any(|scan| scan.accepted().is_some());
    let right = scans().any(|scan| {
        let good = if known { scan.accepted().is_some() } else { scan.may_have_claimed() };
        good && scan.openid == openid
    });
    if !right {
        let proof =
            scans().flat_map(super::index::Scan::places).chain([at]).chain(code.sessions.values().copied());
        found.add(Violation::WrongIdentity { code: id, openid: openid.to_owned() }, proof);
    }
}

/// A refusal is right only if another attempt, begun before it, can have spent the code.
fn good_code_refused(id: Digest, code: &Code<'_>, found: &mut Found) {
    for (number, attempt) in &code.attempts {
        let Some((at, Redemption::Refused(GONE))) = attempt.outcome else { continue };
        let others = code.attempts.iter().filter(|(other, _)| *other != number);
        let mut before = others.map(|(_, other)| other).filter(|other| other.began < at);
        let may_have_spent = |other: &Redeeming<'_>| match other.outcome {
            Some((_, Redemption::Refused(status))) => *status >= 500,
            Some((_, Redemption::Identity { .. } | Redemption::None)) | None => true,
        };
        if !before.any(may_have_spent) {
            found.add(Violation::GoodCodeRefused { code: id }, [attempt.began, at]);
            return;
        }
    }
}
