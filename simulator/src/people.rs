//! Who follows the account, and how many messages it may still send to whom (docs/wechat.md, "Customer-service
//! messages"). Pure: the caller brings the time.

use std::collections::{HashMap, VecDeque};

/// People that are remembered; whoever was first met is forgotten first.
const CAPACITY: usize = 200_000;

/// What a person did that lets the account write to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Wrote,
    TappedMenu,
    Followed,
    Scanned,
}

impl Act {
    /// How many messages, for how many seconds.
    fn allowance(self) -> (u8, u64) {
        match self {
            Self::Wrote => (5, 48 * 3600),
            Self::TappedMenu | Self::Followed | Self::Scanned => (3, 60),
        }
    }
}

/// Why a message cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The person did nothing lately, or does not follow: 45015.
    Closed,
    /// All messages of the open windows are used up: 45047.
    UsedUp,
}

/// One person as the account's server may ask for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) follows: bool,
    /// Of the last follow.
    pub(crate) subscribe_time: u64,
    /// The scene of the code through which they followed, and its number.
    pub(crate) followed_through: Option<(String, u32)>,
    /// Only of an account that is bound to an Open Platform account.
    pub(crate) unionid: Option<String>,
    windows: [Option<Window>; 4],
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until: u64,
    left: u8,
}

/// Everybody who ever did something, as far as there is room.
#[derive(Default)]
pub(crate) struct People {
    people: HashMap<String, Person>,
    by_arrival: VecDeque<String>,
}

impl People {
    /// What is known about somebody.
    pub(crate) fn get(&self, openid: &str) -> Option<&Person> {
        self.people.get(openid)
    }

    /// Somebody follows, through a code or (`None`) without one.
    pub(crate) fn follow(&mut self, openid: &str, through: Option<(String, u32)>, now: u64) {
        let person = self.meet(openid);
        (person.follows, person.subscribe_time, person.followed_through) = (true, now, through);
        person.open(Act::Followed, now);
    }

    /// Somebody is taken to have followed before; changes nothing if they do.
    pub(crate) fn assume_follower(&mut self, openid: &str, now: u64) {
        let person = self.meet(openid);
        if !person.follows {
            (person.follows, person.subscribe_time, person.followed_through) = (true, now, None);
        }
    }

    /// Somebody no longer follows, and cannot be written to.
    pub(crate) fn unfollow(&mut self, openid: &str) {
        let person = self.meet(openid);
        person.follows = false;
        person.windows = [None; 4];
    }

    /// Somebody did something that opens a window.
    pub(crate) fn act(&mut self, openid: &str, act: Act, now: u64) {
        self.meet(openid).open(act, now);
    }

    /// The Open Platform's name for somebody.
    pub(crate) fn unite(&mut self, openid: &str, unionid: String) {
        self.meet(openid).unionid = Some(unionid);
    }

    /// Takes one message from the open window that ends first.
    pub(crate) fn write_to(&mut self, openid: &str, now: u64) -> Result<(), Refused> {
        let Some(person) = self.people.get_mut(openid).filter(|person| person.follows) else {
            return Err(Refused::Closed);
        };
        let mut open: Vec<_> =
            person.windows.iter_mut().flatten().filter(|window| now < window.until).collect();
        if open.is_empty() {
            return Err(Refused::Closed);
        }
        open.sort_by_key(|window| window.until);
        let window = open.into_iter().find(|window| window.left > 0).ok_or(Refused::UsedUp)?;
        window.left -= 1;
        Ok(())
    }

    fn meet(&mut self, openid: &str) -> &mut Person {
        if !self.people.contains_key(openid) {
            if self.people.len() >= CAPACITY
                && let Some(first) = self.by_arrival.pop_front()
            {
                self.people.remove(&first);
            }
            self.by_arrival.push_back(openid.to_owned());
        }
        self.people.entry(openid.to_owned()).or_default()
    }
}

impl Person {
    fn open(&mut self, act: Act, now: u64) {
        let (left, seconds) = act.allowance();
        self.windows[act as usize] = Some(Window { until: now + seconds, left });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_opens_three_messages_for_a_minute() {
        let mut people = People::default();
        assert_eq!(people.write_to("o1", 100), Err(Refused::Closed));
        people.assume_follower("o1", 100);
        people.act("o1", Act::Scanned, 100);
        for _ in 0..3 {
            assert_eq!(people.write_to("o1", 159), Ok(()));
        }
        assert_eq!(people.write_to("o1", 159), Err(Refused::UsedUp));
        assert_eq!(people.write_to("o1", 160), Err(Refused::Closed));
        people.act("o1", Act::Wrote, 160);
        assert_eq!(people.write_to("o1", 160 + 48 * 3600 - 1), Ok(()));
        people.unfollow("o1");
        assert_eq!(people.write_to("o1", 161), Err(Refused::Closed));
    }

    #[test]
    fn memory_is_bounded_and_the_first_who_came_is_forgotten_first() {
        let mut people = People::default();
        for number in 0..=CAPACITY {
            people.assume_follower(&format!("o{number}"), 1);
        }
        assert_eq!((people.people.len(), people.by_arrival.len()), (CAPACITY, CAPACITY));
        assert!(people.get("o0").is_none());
        assert!(people.get("o1").is_some());
    }
}
