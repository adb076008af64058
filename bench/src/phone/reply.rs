//! What a phone shows, understood: the callback's texts are templates (docs/settings.md, "Callback").

use std::str::FromStr;

use crate::history::Answer;

/// The callback's own texts, where nobody has set others.
pub const SUCCESS: &str = r"{nickname},登录成功!\n这是你第{count}次登录,玩的开心!";
/// See [`SUCCESS`].
pub const USED: &str = "这个二维码已被使用或已失效，请刷新登录页面后扫描新的二维码。";
/// See [`SUCCESS`].
pub const RETRY: &str = "服务暂时繁忙，请稍后再扫描一次二维码。";

/// A text of the callback's settings, as a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Exact(String),
    /// `{nickname}`: anything.
    Anything,
    /// `{count}`.
    Number,
}

/// The callback would refuse this text.
#[derive(Debug, thiserror::Error)]
#[error("a text as the callback's settings have it, with {{nickname}}, {{count}} and \\n")]
pub struct MalformedText;

/// The texts by which the phone is told how a scan went.
#[derive(Clone, Debug)]
pub struct Texts {
    /// `REPLY_SUCCESS`.
    pub success: Text,
    /// `REPLY_USED`.
    pub used: Text,
    /// `REPLY_RETRY`.
    pub retry: Text,
}

impl FromStr for Text {
    type Err = MalformedText;

    fn from_str(text: &str) -> Result<Self, MalformedText> {
        let mut parts = Vec::new();
        let text = text.replace("\\n", "\n");
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(MalformedText)?;
            parts.push(Part::Exact(before.to_owned()));
            parts.push(match name {
                "nickname" => Part::Anything,
                "count" => Part::Number,
                _ => return Err(MalformedText),
            });
            rest = after;
        }
        parts.push(Part::Exact(rest.to_owned()));
        parts.retain(|part| *part != Part::Exact(String::new()));
        if parts.is_empty() { Err(MalformedText) } else { Ok(Self(parts)) }
    }
}

impl Text {
    /// Whether it tells a number.
    pub(crate) fn counts(&self) -> bool {
        self.0.contains(&Part::Number)
    }

    /// Whether `shown` is this text, and with which number; 0 where the text has none.
    fn matches(&self, shown: &str) -> Option<u64> {
        matches(&self.0, shown, 0)
    }
}

fn matches(parts: &[Part], shown: &str, number: u64) -> Option<u64> {
    let Some((part, rest)) = parts.split_first() else { return shown.is_empty().then_some(number) };
    match part {
        Part::Exact(text) => matches(rest, shown.strip_prefix(text.as_str())?, number),
        Part::Number => {
            let digits = shown.len() - shown.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (digits, after) = shown.split_at(digits);
            matches(rest, after, digits.parse().ok()?)
        }
        Part::Anything => {
            let ends = shown.char_indices().map(|(at, _)| at).chain([shown.len()]);
            ends.into_iter().find_map(|end| matches(rest, shown.get(end..)?, number))
        }
    }
}

impl Default for Texts {
    fn default() -> Self {
        let text = |text: &str| text.parse().expect("the constants are well-formed");
        Self { success: text(SUCCESS), used: text(USED), retry: text(RETRY) }
    }
}

impl Texts {
    /// What the phone was told; `None` where it shows nothing.
    #[must_use]
    pub fn read(&self, shown: Option<&str>) -> Answer {
        let Some(shown) = shown else { return Answer::Other };
        if let Some(count) = self.success.matches(shown) {
            Answer::Accepted(count)
        } else if self.used.matches(shown).is_some() {
            Answer::Used
        } else if self.retry.matches(shown).is_some() {
            Answer::Busy
        } else {
            Answer::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_whatever_the_name_is() {
        let (used, retry) = ("used".parse().unwrap(), "{nickname}, again".parse().unwrap());
        let texts = Texts { used, retry, ..Texts::default() };
        let success = |name: &str, count: &str| format!("{name},登录成功!\n这是你第{count}次登录,玩的开心!");
        for (shown, answer) in [
            (success("微信用户", "17").as_str(), Answer::Accepted(17)),
            (&success("a,登录成功!", "1"), Answer::Accepted(1)),
            (&success("", "1"), Answer::Accepted(1)),
            (&success("x", ""), Answer::Other),
            (&success("x", "-1"), Answer::Other),
            ("used", Answer::Used),
            ("used ", Answer::Other),
            ("微信用户, again", Answer::Busy),
        ] {
            assert_eq!(texts.read(Some(shown)), answer, "{shown}");
        }
        assert_eq!(texts.read(None), Answer::Other);
    }

    #[test]
    fn what_the_callback_would_refuse_is_refused() {
        for text in ["", "{", "{name}", "a{count"] {
            assert!(text.parse::<Text>().is_err(), "{text}");
        }
    }
}
