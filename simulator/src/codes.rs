//! QR codes with a scene (docs/wechat.md, "QR codes"). Pure: the caller brings the time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{random, ticket};

/// Codes that are kept at once, so that months of development do not fill the memory: two days of the platform's quota.
const CAPACITY: usize = 200_000;
/// Permanent codes, which never make room; the platform's own limit of 45029 is 100,000.
const PERMANENT_CAPACITY: usize = 10_000;
/// A code that is over is remembered for so long, to tell "expired" from "never heard of".
const REMEMBERED: u64 = 3600;

/// What a code stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    /// The EventKey of a scan: the string, or the number in digits.
    pub(crate) key: String,
    /// The number of a numeric scene, as `user/info` tells it; 0 for a string.
    pub(crate) number: u32,
}

/// One QR code.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    id: String,
    pub(crate) scene: Scene,
    pub(crate) created: u64,
    /// `None` for a permanent one.
    pub(crate) expire_seconds: Option<u32>,
}

/// What is known about a QR code's text.
#[derive(Debug)]
pub(crate) enum Found {
    Live(Code),
    Expired,
    Unknown,
}

/// No room for another permanent code, or no randomness for its id.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("too many permanent codes")]
    Full,
    #[error(transparent)]
    Randomness(#[from] random::Error),
}

/// Every code that was made and is not yet forgotten.
pub(crate) struct Codes {
    /// What comes before the id in each code's text: `PUBLIC_URL/q/`.
    prefix: String,
    capacity: usize,
    next: u64,
    /// By age.
    codes: BTreeMap<u64, Code>,
    by_id: HashMap<String, u64>,
    /// When each is forgotten; permanent ones never are.
    forgotten_at: BTreeSet<(u64, u64)>,
    permanent: usize,
}

impl Codes {
    pub(crate) fn new(public_url: &str) -> Self {
        Self {
            prefix: format!("{public_url}/q/"),
            capacity: CAPACITY,
            next: 0,
            codes: BTreeMap::new(),
            by_id: HashMap::new(),
            forgotten_at: BTreeSet::new(),
            permanent: 0,
        }
    }

    /// Makes a code. Its id has 128 random bits of its own, so that the text in the picture tells nothing about the scene.
    pub(crate) fn create(
        &mut self,
        scene: Scene,
        expire_seconds: Option<u32>,
        now: u64,
    ) -> Result<Code, Error> {
        self.make_room(now);
        // The ids of temporary codes that were seen begin with 02, those of permanent ones with 01.
        let id = format!("{}{}", if expire_seconds.is_some() { "02" } else { "01" }, random::id()?);
        let code = Code { id: id.clone(), scene, created: now, expire_seconds };
        match code.over_at() {
            Some(over) => {
                self.forgotten_at.insert((over + REMEMBERED, self.next));
            }
            None if self.permanent >= PERMANENT_CAPACITY => return Err(Error::Full),
            None => self.permanent += 1,
        }
        self.codes.insert(self.next, code.clone());
        self.by_id.insert(id, self.next);
        self.next += 1;
        Ok(code)
    }

    /// The very text inside the QR picture.
    pub(crate) fn url(&self, code: &Code) -> String {
        format!("{}{}", self.prefix, code.id)
    }

    /// The key of the picture, which scan events carry too.
    pub(crate) fn ticket(&self, code: &Code) -> String {
        let created = u32::try_from(code.created).unwrap_or(u32::MAX);
        ticket::encode(&self.url(code), created, code.expire_seconds.unwrap_or(0))
    }

    /// Looks up what a scanner read.
    pub(crate) fn find(&self, content: &str, now: u64) -> Found {
        let known = content.strip_prefix(&self.prefix).and_then(|id| self.by_id.get(id));
        match known.and_then(|sequence| self.codes.get(sequence)) {
            Some(code) if code.over_at().is_none_or(|over| now < over) => Found::Live(code.clone()),
            Some(_) => Found::Expired,
            None => Found::Unknown,
        }
    }

    /// The text of the code with this id, live or over.
    pub(crate) fn content(&self, id: &str) -> Option<String> {
        self.by_id.contains_key(id).then(|| format!("{}{id}", self.prefix))
    }

    /// Live codes, newest first.
    pub(crate) fn newest(&self, now: u64) -> impl Iterator<Item = &Code> {
        self.codes.values().rev().filter(move |code| code.over_at().is_none_or(|over| now < over))
    }

    /// Forgets what has been over for long, and what is over first when there is still no room.
    fn make_room(&mut self, now: u64) {
        while let Some(&(at, sequence)) = self.forgotten_at.first() {
            if at > now && self.codes.len() < self.capacity {
                return;
            }
            self.forgotten_at.pop_first();
            if let Some(code) = self.codes.remove(&sequence) {
                self.by_id.remove(&code.id);
            }
        }
    }
}

impl Code {
    fn over_at(&self) -> Option<u64> {
        self.expire_seconds.map(|seconds| self.created + u64::from(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(key: &str) -> Scene {
        Scene { key: key.to_owned(), number: 0 }
    }

    #[test]
    fn a_code_is_live_until_its_seconds_are_over_and_unknown_an_hour_later() {
        let mut codes = Codes::new("http://localhost:8082");
        let code = codes.create(scene("a"), Some(120), 1000).unwrap();
        let url = codes.url(&code);
        assert!(matches!(codes.find(&url, 1119), Found::Live(live) if live.scene.key == "a"));
        assert!(matches!(codes.find(&url, 1120), Found::Expired));
        codes.create(scene("b"), Some(120), 1000 + 120 + REMEMBERED).unwrap();
        assert!(matches!(codes.find(&url, 9999), Found::Unknown));
        assert!(matches!(codes.find("http://elsewhere/q/x", 1000), Found::Unknown));
    }

    #[test]
    fn the_text_in_the_picture_tells_nothing_about_the_scene() {
        let mut codes = Codes::new("http://localhost:8082");
        let texts: Vec<String> =
            (0..2).map(|_| codes.create(scene("same"), Some(60), 1).unwrap().id).collect();
        assert_ne!(texts[0], texts[1]);
        assert!(texts.iter().all(|id| id.len() == 24 && id.starts_with("02") && !id.contains("same")));
    }

    #[test]
    fn memory_is_bounded_and_what_is_over_first_goes_first() {
        let mut codes = Codes { capacity: 10, ..Codes::new("http://localhost:8082") };
        let long = codes.create(scene("long"), Some(2_592_000), 1).unwrap();
        let permanent = codes.create(scene("permanent"), None, 1).unwrap();
        for _ in 0..100 {
            codes.create(scene("x"), Some(60), 2).unwrap();
        }
        assert_eq!((codes.codes.len(), codes.by_id.len()), (10, 10));
        for kept in [long, permanent] {
            assert!(matches!(codes.find(&codes.url(&kept), 2), Found::Live(_)));
        }
    }
}
