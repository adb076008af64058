//! What people were told about how often they have logged in: 1, 2, 3, each number once. The driver's people are new in
//! every run.

use std::collections::BTreeMap;

use super::index::Index;
use super::{Found, Violation, WrongCount};
use crate::history::{Digest, Redemption};

/// One person's login, as far as it can be known.
#[derive(Default)]
struct Login {
    began: usize,
    /// Places and counts.
    told: Vec<(usize, u64)>,
}

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    let mut people: BTreeMap<&str, BTreeMap<Result<Digest, &str>, Login>> = BTreeMap::new();
    for scan in index.scans.values().filter(|scan| scan.may_have_claimed()) {
        let login = index.session_of(scan).ok_or(scan.scene);
        let logins = people.entry(scan.openid).or_default();
        let login = logins.entry(login).or_insert_with(|| Login { began: usize::MAX, told: Vec::new() });
        login.began = login.began.min(scan.began());
        let counts = scan.answers().filter_map(|(at, answer)| match answer {
            crate::history::Answer::Accepted(count) => Some((at, *count)),
            _ => None,
        });
        login.told.extend(counts);
    }
    for code in index.codes.values() {
        for attempt in code.attempts.values() {
            let Some((at, Redemption::Identity { openid, count })) = attempt.outcome else { continue };
            let logins = people.get_mut(openid.as_str());
            let login = logins.and_then(|logins| {
                let session = code.sessions.keys().find(|session| logins.contains_key(&Ok(**session)))?;
                logins.get_mut(&Ok(*session))
            });
            if let Some(login) = login {
                login.told.push((at, *count));
            }
        }
    }
    for (openid, logins) in people {
        let mut logins: Vec<Login> = logins.into_values().collect();
        logins.iter_mut().for_each(|login| login.told.sort_unstable());
        logins.sort_unstable_by_key(|login| login.began);
        check_person(openid, &logins, found);
    }
}

/// `logins` in the order in which they began.
fn check_person(openid: &str, logins: &[Login], found: &mut Found) {
    let mut add = |(at, count): (usize, u64), wrong, other: Option<usize>| {
        let openid = openid.to_owned();
        found.add(Violation::WrongCount { openid, count, wrong }, [Some(at), other].into_iter().flatten());
    };
    let mut of_whom: BTreeMap<u64, usize> = BTreeMap::new();
    for login in logins {
        let Some(&(first_at, first)) = login.told.first() else { continue };
        if let Some(&changed) = login.told.iter().find(|(_, count)| *count != first) {
            add(changed, WrongCount::Changed, Some(first_at));
        }
        let begun = logins.iter().filter(|login| login.began < first_at).count();
        if first == 0 || first > begun as u64 {
            add((first_at, first), WrongCount::TooHigh, None);
        }
        if let Some(&other) = of_whom.get(&first) {
            add((first_at, first), WrongCount::Repeated, Some(other));
        }
        of_whom.entry(first).or_insert(first_at);
        let earlier = logins.iter().filter_map(|earlier| earlier.told.first());
        let mut earlier = earlier.filter(|(at, _)| *at < login.began);
        if let Some(&(at, _)) = earlier.find(|(_, count)| *count > first) {
            add((first_at, first), WrongCount::OutOfOrder, Some(at));
        }
    }
}
