//! A second opinion on queries, and queries that the harness completes.

use crate::account::{TOKEN, now};
use crate::cipher::sign;

/// A query, decoded.
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Completes and encodes a query. Where an input says `*`, the right thing is put in: `timestamp=*-60` is a minute ago,
    /// `signature=*` the platform's signature, and `msg_signature=*` that over `encrypted` as well.
    #[must_use]
    pub fn complete(text: &str, encrypted: &str) -> String {
        let timed = replaced(text, "timestamp=*", |offset| {
            let offset: i64 = offset.parse().unwrap_or(0);
            format!("timestamp={}", now().saturating_add(offset))
        });
        let query = Self::decode(&timed);
        let (timestamp, nonce) = (query.first("timestamp"), query.first("nonce"));
        let signed =
            replaced(&timed, "signature=*", |_| format!("signature={}", sign(&[TOKEN, timestamp, nonce])));
        replaced(&signed, "msg_signature=*", |_| {
            format!("msg_signature={}", sign(&[TOKEN, timestamp, nonce, encrypted]))
        })
    }

    /// Decodes a query by the rules of HTML forms.
    #[must_use]
    pub fn decode(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The first value of this name; nothing where there is none.
    #[must_use]
    pub fn first(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The first value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| &*pair.1)
    }

    /// Whether no name is there twice.
    #[must_use]
    pub fn is_unambiguous(&self) -> bool {
        self.0.iter().enumerate().all(|(at, pair)| self.0[..at].iter().all(|other| other.0 != pair.0))
    }

    /// Whether it is the platform's and of now; `None` within two seconds of the limit, where the clock decides.
    #[must_use]
    pub fn is_authentic(&self) -> Option<bool> {
        let (timestamp, nonce) = (self.first("timestamp"), self.first("nonce"));
        let signed = self.first("signature").to_ascii_lowercase() == sign(&[TOKEN, timestamp, nonce]);
        let spelled = timestamp.len() == 10 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        if !signed || !spelled || !(1..=128).contains(&nonce.len()) {
            return Some(false);
        }
        match now().abs_diff(timestamp.parse().unwrap()) {
            ..598 => Some(true),
            598..603 => None,
            _ => Some(false),
        }
    }
}

/// Replaces the pairs that begin with `marked`, up to the next `&`; what stands behind the mark is handed on.
fn replaced(query: &str, marked: &str, by: impl Fn(&str) -> String) -> String {
    let pairs = query.split('&').map(|pair| pair.strip_prefix(marked).map_or(pair.to_owned(), &by));
    pairs.collect::<Vec<_>>().join("&")
}

fn decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let hex = |at: usize| behind.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        rest = match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                &behind[2..]
            }
            (b'+', ..) => {
                decoded.push(b' ');
                behind
            }
            _ => {
                decoded.push(byte);
                behind
            }
        };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
