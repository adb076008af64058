//! Access tokens (docs/wechat.md, "Tokens"): two families that never disturb each other. Pure: the caller brings the
//! time, in seconds.

use crate::random;

/// Life of a token.
const LIFE: u64 = 7200;
/// A token that has a successor is good for so long yet, and a stable one is renewed so long before its end.
const OVERLAP: u64 = 300;
/// Forced refreshes a day, and the seconds between two.
const FORCED_A_DAY: u32 = 20;
const FORCED_APART: u64 = 30;
/// A day of the platform begins at midnight in Beijing.
const BEIJING: u64 = 8 * 3600;
const DAY: u64 = 86_400;

/// A token as an endpoint hands it out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) token: String,
    /// Seconds that are left.
    pub(crate) expires_in: u64,
    /// Whether it was made for this call.
    pub(crate) is_new: bool,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no more forced refreshes today")]
    ForcedTooOften,
    #[error(transparent)]
    Randomness(#[from] random::Error),
}

/// Why a business call's token is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not of the shape of a token: 40014.
    Malformed,
    /// Not one of ours, replaced, or revoked: 40001.
    Unknown,
    /// Its two hours are over: 42001.
    Expired,
}

/// The tokens of the account.
#[derive(Default)]
pub(crate) struct Tokens {
    classic: Family,
    stable: Family,
    forced: Forced,
}

/// The newest token of an endpoint, and the one before it.
#[derive(Default)]
struct Family {
    current: Option<Token>,
    previous: Option<Token>,
}

struct Token {
    text: String,
    good_until: u64,
}

#[derive(Default)]
struct Forced {
    last: Option<u64>,
    day: u64,
    today: u32,
}

impl Tokens {
    /// `GET /cgi-bin/token`: a new token at every call; its predecessor is good for five more minutes, and the one before
    /// that no longer.
    pub(crate) fn classic(&mut self, now: u64) -> Result<Granted, Error> {
        self.classic.renew(now, OVERLAP)
    }

    /// `POST /cgi-bin/stable_token`: the same token until its last five minutes.
    pub(crate) fn stable(&mut self, now: u64) -> Result<Granted, Error> {
        match &self.stable.current {
            Some(token) if token.good_until > now + OVERLAP => {
                Ok(Granted { token: token.text.clone(), expires_in: token.good_until - now, is_new: false })
            }
            _ => self.stable.renew(now, OVERLAP),
        }
    }

    /// The same with `force_refresh`: a new token, and the earlier one is dead at once. Within 30 seconds of the last forced
    /// refresh it is the present token instead.
    pub(crate) fn forced(&mut self, now: u64) -> Result<Granted, Error> {
        if self.forced.last.is_some_and(|last| now < last + FORCED_APART) {
            return self.stable(now);
        }
        let day = (now + BEIJING) / DAY;
        if self.forced.day != day {
            self.forced = Forced { last: self.forced.last, day, today: 0 };
        }
        if self.forced.today >= FORCED_A_DAY {
            return Err(Error::ForcedTooOften);
        }
        self.forced.today += 1;
        self.forced.last = Some(now);
        self.stable.renew(now, 0)
    }

    /// Whether a business call may use this token.
    pub(crate) fn check(&self, token: &str, now: u64) -> Result<(), Refused> {
        let plausible = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if token.len() < 16 || !token.bytes().all(plausible) {
            return Err(Refused::Malformed);
        }
        let families = [&self.classic, &self.stable];
        let current = families.iter().filter_map(|family| family.current.as_ref());
        if let Some(found) = current.into_iter().find(|known| known.text == token) {
            return if now < found.good_until { Ok(()) } else { Err(Refused::Expired) };
        }
        let previous = families.iter().filter_map(|family| family.previous.as_ref());
        let good = previous.into_iter().any(|known| known.text == token && now < known.good_until);
        if good { Ok(()) } else { Err(Refused::Unknown) }
    }

    /// Makes every token worthless, as the platform does when it finds one leaked; the next one fetched is a new one.
    pub(crate) fn revoke(&mut self) {
        self.classic = Family::default();
        self.stable = Family::default();
    }
}

impl Family {
    fn renew(&mut self, now: u64, overlap: u64) -> Result<Granted, Error> {
        let text = format!("97_{}{}", random::alphanumeric(61)?, random::alphanumeric(72)?);
        let granted = Granted { token: text.clone(), expires_in: LIFE, is_new: true };
        self.previous = self.current.replace(Token { text, good_until: now + LIFE });
        if let Some(previous) = &mut self.previous {
            previous.good_until = previous.good_until.min(now + overlap);
        }
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon in Beijing, so that no test runs over midnight by accident.
    const NOON: u64 = 1_763_784_000;

    #[test]
    fn a_classic_call_makes_a_new_token_and_its_predecessor_lives_five_more_minutes() {
        let mut tokens = Tokens::default();
        let first = tokens.classic(NOON).unwrap();
        let second = tokens.classic(NOON + 100).unwrap();
        assert_ne!(first.token, second.token);
        assert_eq!((first.expires_in, second.expires_in), (7200, 7200));
        assert_eq!(tokens.check(&first.token, NOON + 399), Ok(()));
        assert_eq!(tokens.check(&first.token, NOON + 400), Err(Refused::Unknown));
        assert_eq!(tokens.check(&second.token, NOON + 100 + 7199), Ok(()));
        assert_eq!(tokens.check(&second.token, NOON + 100 + 7200), Err(Refused::Expired));
    }

    #[test]
    fn a_stable_call_returns_the_same_token_until_its_last_five_minutes() {
        let mut tokens = Tokens::default();
        let first = tokens.stable(NOON).unwrap();
        let same = tokens.stable(NOON + 6899).unwrap();
        assert_eq!((same.token, same.expires_in), (first.token.clone(), 301));
        assert!(first.is_new && !same.is_new);
        let renewed = tokens.stable(NOON + 6900).unwrap();
        assert_ne!(renewed.token, first.token);
        assert_eq!(renewed.expires_in, 7200);
        assert_eq!(tokens.check(&first.token, NOON + 7199), Ok(()), "the old one works to its end");
        assert_eq!(tokens.check(&first.token, NOON + 7200), Err(Refused::Unknown));
    }

    #[test]
    fn the_families_never_disturb_each_other() {
        let mut tokens = Tokens::default();
        let stable = tokens.stable(NOON).unwrap();
        let classic = tokens.classic(NOON).unwrap();
        for _ in 0..3 {
            tokens.classic(NOON + 1).unwrap();
        }
        assert_eq!(tokens.check(&stable.token, NOON + 1000), Ok(()));
        assert_eq!(tokens.check(&classic.token, NOON + 1000), Err(Refused::Unknown));
        let classic = tokens.classic(NOON + 1000).unwrap();
        tokens.forced(NOON + 1000).unwrap();
        assert_eq!(tokens.check(&classic.token, NOON + 2000), Ok(()));
        assert_eq!(tokens.check(&stable.token, NOON + 1000), Err(Refused::Unknown));
    }

    #[test]
    fn forcing_kills_the_earlier_token_but_not_twice_within_thirty_seconds_nor_more_than_twenty_times_a_day()
    {
        let mut tokens = Tokens::default();
        let first = tokens.stable(NOON).unwrap();
        let forced = tokens.forced(NOON + 1).unwrap();
        assert_ne!(first.token, forced.token);
        assert_eq!(tokens.check(&first.token, NOON + 1), Err(Refused::Unknown));
        assert_eq!(tokens.forced(NOON + 30).unwrap().token, forced.token, "too close: the present token");
        for call in 1..20 {
            tokens.forced(NOON + 1 + call * 30).unwrap();
        }
        assert!(matches!(tokens.forced(NOON + 1000), Err(Error::ForcedTooOften)));
        tokens.forced(NOON + DAY).unwrap();
    }

    #[test]
    fn revoked_and_made_up_tokens_are_told_apart_from_malformed_ones() {
        let mut tokens = Tokens::default();
        let token = tokens.stable(NOON).unwrap().token;
        tokens.revoke();
        assert_eq!(tokens.check(&token, NOON), Err(Refused::Unknown));
        assert_ne!(tokens.stable(NOON).unwrap().token, token);
        assert_eq!(tokens.check("no token at all!", NOON), Err(Refused::Malformed));
        assert_eq!(tokens.check("short", NOON), Err(Refused::Malformed));
    }
}
