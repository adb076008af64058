//! What was found, and how it is shown: a line each, with what to do about it below.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

/// Columns of a line; what is longer goes on below.
const WIDTH: usize = 100;
/// Where a finding's text begins: behind `FAIL  callback  `.
const INDENT: usize = 16;
/// Stands before what to do.
const ARROW: &str = "-> ";

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
    /// Not looked at.
    Skip,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }

    /// The colour of the word on a terminal: it says nothing that the word does not.
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Fail => "\x1b[1;31m",
            Self::Skip => "\x1b[2m",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    /// The check's name, at most 8 columns.
    pub(crate) check: &'static str,
    /// What was found, or why nothing was looked at.
    pub(crate) found: String,
    /// What to click or change.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { status: Status::Ok, check, found: found.into(), remedy: None }
    }

    /// It works; what to do about it all the same.
    pub(crate) fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warn, check, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// It does not work; what to do.
    pub(crate) fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Fail, check, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// It does not work, and what was found says itself what to do.
    pub(crate) fn fail_as_said(check: &'static str, found: impl Into<String>) -> Self {
        Self { status: Status::Fail, check, found: found.into(), remedy: None }
    }

    /// It was not looked at, and why.
    pub(crate) fn skip(check: &'static str, why: impl Into<String>) -> Self {
        Self { status: Status::Skip, check, found: why.into(), remedy: None }
    }

    /// Whether something does not work.
    pub(crate) fn is_fail(&self) -> bool {
        self.status == Status::Fail
    }

    /// The lines that show it, each with its end.
    fn render(&self, coloured: bool) -> String {
        let word = format!("{:<4}", self.status.word());
        let word = if coloured { format!("{}{word}\x1b[0m", self.status.colour()) } else { word };
        let mut lines = format!("{word}  {:<8}  {}\n", self.check, wrap(&self.found, INDENT));
        if let Some(remedy) = &self.remedy {
            let indent = INDENT + ARROW.len();
            lines.push_str(&format!("{:INDENT$}{ARROW}{}\n", "", wrap(remedy, indent)));
        }
        lines
    }
}

/// `text` on lines that end within [`WIDTH`], each but the first behind `indent` blanks. Broken at blanks only, so that
/// what is to be copied stays whole: a URL, a menu's name.
fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        if !wrapped.is_empty() && column + 1 + word.width() > WIDTH {
            wrapped.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if !wrapped.is_empty() {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += word.width();
    }
    wrapped
}

/// A short time as people read it; rounded up, for nothing takes no time.
pub(crate) fn in_milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_micros().div_ceil(1000))
}

/// What is said so far. Every finding is printed at once, for some of them take seconds.
#[derive(Debug)]
pub(crate) struct Report {
    coloured: bool,
    /// How many there are of each status.
    counts: [usize; 4],
}

impl Report {
    /// Colours are for terminals, and for those who did not ask to be spared (<https://no-color.org>).
    pub(crate) fn new() -> Self {
        let spared = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { coloured: io::stdout().is_terminal() && !spared, counts: [0; 4] }
    }

    /// Shows a finding.
    pub(crate) fn add(&mut self, finding: &Finding) {
        self.counts[finding.status as usize] += 1;
        say(&finding.render(self.coloured));
    }

    /// Shows several.
    pub(crate) fn add_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.add(&finding);
        }
    }

    /// Shows the sum, and says whether nothing failed.
    pub(crate) fn end(&self) -> bool {
        say(&format!("\n{}\n", sum(self.counts)));
        self.counts[Status::Fail as usize] == 0
    }
}

fn sum([ok, warn, fail, skip]: [usize; 4]) -> String {
    let warnings = if warn == 1 { "1 warning".to_owned() } else { format!("{warn} warnings") };
    format!("{fail} failed, {warnings}, {ok} ok, {skip} skipped.")
}

/// Nobody is left to tell if standard output is gone.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_remedy_is_below() {
        let finding = Finding::fail("token", "the platform refuses: 40125", "set WECHAT_APP_SECRET");
        assert_eq!(
            finding.render(false),
            "FAIL  token     the platform refuses: 40125\n                -> set WECHAT_APP_SECRET\n"
        );
        assert_eq!(Finding::ok("aes/mode", "fits").render(false), "ok    aes/mode  fits\n");
        assert_eq!(Finding::skip("page", "why").render(false), "skip  page      why\n");
        assert_eq!(Finding::warn("redis", "a", "b").render(false).lines().count(), 2);
    }

    #[test]
    fn the_word_says_what_the_colour_says() {
        for status in [Status::Ok, Status::Warn, Status::Fail, Status::Skip] {
            let finding = Finding { status, check: "page", found: "x".to_owned(), remedy: None };
            let (coloured, plain) = (finding.render(true), finding.render(false));
            assert!(coloured.contains(status.word()) && coloured.starts_with('\x1b'));
            assert!(plain.starts_with(status.word()) && !plain.contains('\x1b'));
        }
    }

    #[test]
    fn no_line_is_longer_than_a_hundred_columns() {
        let chinese = "设置与开发 > 开发接口管理 > 基本配置 > IP白名单 添加这台服务器的出口地址。 ".repeat(4);
        let english = "set WECHAT_APP_SECRET at the gateway, then run it again; ".repeat(6);
        for text in [chinese.trim(), english.trim()] {
            let lines = Finding::fail("ip list", text, text).render(false);
            assert!(lines.lines().all(|line| line.width() <= WIDTH), "{lines}");
            assert!(lines.lines().skip(1).all(|line| line.starts_with(&" ".repeat(INDENT))), "{lines}");
            assert!(lines.lines().all(|line| line == line.trim_end()), "{lines}");
            let words = lines.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words, format!("FAIL ip list {text} -> {text}"), "nothing is lost");
        }
    }

    #[test]
    fn what_is_longer_than_a_line_stays_whole() {
        let url = format!("https://login.example.com/{}", "a".repeat(120));
        let lines = Finding::ok("callback", format!("it is a redirect to {url} and more")).render(false);
        assert!(lines.lines().any(|line| line.trim() == url), "{lines}");
        assert_eq!(lines.lines().count(), 3, "{lines}");
    }

    #[test]
    fn the_sum_counts_each_status() {
        assert_eq!(sum([3, 1, 0, 2]), "0 failed, 1 warning, 3 ok, 2 skipped.");
        assert_eq!(sum([0, 2, 1, 0]), "1 failed, 2 warnings, 0 ok, 0 skipped.");
    }
}
