//! What the owner of a waiting login remembers, to write it again where the store has lost it.

use std::time::Duration;

use tokio::time::Instant;

use crate::login::{CodeHash, Deadlines};

/// Everything of a waiting login's record that its owner cannot find out otherwise.
#[derive(Clone, Debug)]
pub(in crate::backplane) struct Keepsake {
    /// Random part of the scene, hash of the ticket, hash of the code, and the text in the QR code: in one piece, for there
    /// is one of it for each idle browser.
    words: Box<str>,
    shown_until: Instant,
    claimable_until: Instant,
    life: Duration,
    gone_at: Instant,
}

/// What is left of a keepsake's times, and its words.
#[derive(Debug)]
pub(in crate::backplane) struct Kept<'k> {
    pub(in crate::backplane) nonce: &'k str,
    pub(in crate::backplane) ticket: &'k str,
    pub(in crate::backplane) code_hash: &'k str,
    pub(in crate::backplane) content: &'k str,
    pub(in crate::backplane) deadlines: Deadlines,
    pub(in crate::backplane) life: Duration,
    /// What is left of the record's life.
    pub(in crate::backplane) left: Duration,
}

impl Keepsake {
    /// A record that was written at `asked` or a little later. `ticket` is its hash.
    pub(in crate::backplane) fn new(
        words: [&str; 3],
        code_hash: CodeHash,
        deadlines: Deadlines,
        life: Duration,
        asked: Instant,
    ) -> Self {
        Self::of(words, &code_hash.text(), deadlines, life, asked)
    }

    /// The same login with another code, from `asked` on.
    pub(in crate::backplane) fn with_code(
        &self,
        words: [&str; 3],
        deadlines: Deadlines,
        asked: Instant,
    ) -> Self {
        Self::of(words, self.words.split(' ').nth(2).unwrap_or_default(), deadlines, self.life, asked)
    }

    fn of(
        [nonce, ticket, content]: [&str; 3],
        code_hash: &str,
        deadlines: Deadlines,
        life: Duration,
        asked: Instant,
    ) -> Self {
        Self {
            words: format!("{nonce} {ticket} {code_hash} {content}").into(),
            shown_until: asked + deadlines.shown,
            claimable_until: asked + deadlines.claimable,
            life,
            gone_at: asked + life,
        }
    }

    /// As it is at `now`; `None` once the record's life is over.
    pub(in crate::backplane) fn at(&self, now: Instant) -> Option<Kept<'_>> {
        let left = self.gone_at.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let until = |end: Instant| end.saturating_duration_since(now);
        // A content may hold blanks: it is the last.
        let mut words = self.words.splitn(4, ' ');
        Some(Kept {
            nonce: words.next()?,
            ticket: words.next()?,
            code_hash: words.next()?,
            content: words.next()?,
            deadlines: Deadlines { shown: until(self.shown_until), claimable: until(self.claimable_until) },
            life: self.life,
            left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::SessionId;

    #[test]
    fn a_keepsake_ends_with_the_record_and_its_code_before() {
        let (asked, second) = (Instant::now(), Duration::from_secs(1));
        let hash = SessionId::random().code().hash();
        let deadlines = Deadlines { shown: 9 * second, claimable: 10 * second };
        let keepsake = Keepsake::new(["n", "t", "a text"], hash, deadlines, 60 * second, asked);
        let kept = keepsake.at(asked + 4 * second).unwrap();
        assert_eq!((kept.nonce, kept.ticket, kept.content), ("n", "t", "a text"));
        assert_eq!(CodeHash::parse(kept.code_hash), Some(hash));
        assert_eq!((kept.deadlines.shown, kept.deadlines.claimable), (5 * second, 6 * second));
        assert_eq!((kept.life, kept.left), (60 * second, 56 * second));
        assert!(keepsake.at(asked + 20 * second).unwrap().deadlines.claimable.is_zero());
        assert!(keepsake.at(asked + 60 * second).is_none());
    }
}
