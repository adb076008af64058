//! What is written to logs, and what is not.

use std::io;
use std::sync::{Arc, Mutex};

use callback::Mode;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::platform::{ALICE, BOB, MAX_SKEW, Platform, Push, compatible, event, message, now, safe};

/// This thread's log lines.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        let lines = Self::default();
        // What carries the calls is held at warnings by the programs (shared/src/telemetry.rs), here left out.
        let ours = filter_fn(|line| line.target().split("::").next() == Some("callback"));
        let layer = fmt::layer().with_ansi(false).with_writer(lines.clone()).with_filter(ours);
        (lines, tracing::subscriber::set_default(tracing_subscriber::registry().with(layer)))
    }

    /// What was written since the last time.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn every_mode_refusal_is_one_line_that_names_both_modes() {
    let (lines, _guard) = Lines::capture();
    for (mode, name) in [(safe(), "safe"), (compatible(), "compatible")] {
        let platform = Platform::new(mode);
        let push = platform.push(&message(ALICE, "text", ""));
        let plain = Push::plain(&now().to_string(), &message(ALICE, "text", ""));
        let query_only = push.clone().with_body(plain.body.clone());
        for push in [plain, query_only, push.clone().without("encrypt_type"), push.without("msg_signature")] {
            lines.take();
            platform.answer(push).await;
            let line = lines.take();
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(line.contains("WARN") && line.contains(&format!("is {name} here")), "{line}");
            assert!(line.contains("the push is plain"), "{line}");
        }
    }
    let (plain, safe) = (Platform::new(Mode::Plain), Platform::new(safe()));
    let encrypted = safe.push(&message(ALICE, "text", ""));
    lines.take();
    for (push, pushed) in [
        (encrypted.clone(), "encrypted (safe or compatible)"),
        (encrypted.without("encrypt_type"), "safe"),
        (plain.push(&message(ALICE, "text", "<Encrypt/>")), "compatible"),
    ] {
        plain.answer(push).await;
        let line = lines.take();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(&format!("is plain here, but the push is {pushed}")), "{line}");
    }
}

#[tokio::test]
async fn a5_an_answered_push_is_one_line_without_secrets() {
    let (lines, _guard) = Lines::capture();
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let scans =
        [(login.follow(ALICE), "claimed"), (login.scan(ALICE), "repeated"), (login.scan(BOB), "taken")];
    for (scan, outcome) in scans {
        let push = platform.push(&scan);
        let nonce = push.query.iter().find(|pair| pair.0 == "nonce").unwrap().1.clone();
        platform.answer(push).await;
        let line = lines.take();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("INFO") && line.contains(outcome) && line.contains("elapsed_ms="), "{line}");
        assert!(line.contains(&login.session.record_id().to_string()), "{line}");
        for secret in [ALICE, BOB, &login.code.scene.nonce(), &login.ticket(), &nonce, "simToken2026"] {
            assert!(!line.contains(secret), "{secret} in {line}");
        }
    }
    let wrong_ticket = event(ALICE, "SCAN", &login.code.scene.expose(), Some("gQ"));
    platform.shown(&wrong_ticket).await;
    lines.take();
    let other = platform.login().await;
    platform.shown(&event(ALICE, "SCAN", &other.code.scene.expose(), Some("gQother"))).await;
    let warned = lines.take();
    assert_eq!(warned.lines().filter(|line| line.contains("WARN")).count(), 1, "{warned}");
    assert!(!warned.contains("gQother") && !warned.contains(&other.code.scene.nonce()), "{warned}");
    platform.answer(platform.push(&message("o\u{8}x", "text", ""))).await;
    platform.answer(platform.push(&message(ALICE, "text", "")).replacing("signature", "abc")).await;
    let refusals = lines.take();
    assert_eq!(refusals.lines().count(), 2, "{refusals}");
    assert!(
        !refusals.contains(ALICE) && !refusals.contains("signature=") && !refusals.contains("abc"),
        "{refusals}"
    );
}

#[tokio::test]
async fn a5_only_plain_names_of_events_are_logged() {
    let (lines, _guard) = Lines::capture();
    for (name, logged) in [
        ("TEMPLATESENDJOBFINISH", "templatesendjobfinish"),
        (&"a".repeat(64), &"a".repeat(64)),
        (&"a".repeat(65), "other"),
        ("x y", "other"),
        ("未知", "other"),
        ("a=b", "other"),
    ] {
        // Each has its own, for the lines of one are bounded.
        let platform = Platform::new(safe());
        lines.take();
        platform.shown(&event(ALICE, name, "", None)).await;
        let line = lines.take();
        assert!(line.contains(&format!("push.event=\"{logged}\"")), "{line}");
        assert!(logged != "other" || !line.contains(name), "{line}");
    }
}

#[tokio::test]
async fn a_flood_of_replayed_signatures_does_not_hide_a_wrong_mode() {
    let (lines, _guard) = Lines::capture();
    let platform = Platform::new(Mode::Plain);
    let seen = platform.push(&message(ALICE, "text", ""));
    platform.answer(seen.clone()).await;
    for n in 0..200 {
        platform.answer(seen.clone().with_body(n.to_string())).await;
    }
    let flood = lines.take();
    assert!(flood.contains("the signature came before with another message"), "{flood}");
    assert!(flood.lines().count() < 50, "{} lines", flood.lines().count());
    platform.answer(platform.push("").with("encrypt_type", "aes")).await;
    assert!(lines.take().contains("the push is encrypted"));
}

#[tokio::test]
async fn a_flood_of_forged_calls_does_not_flood_the_log_nor_hide_a_wrong_mode() {
    let (lines, _guard) = Lines::capture();
    let platform = Platform::new(safe());
    let forged = platform.push("").replacing("signature", "0");
    for _ in 0..500 {
        platform.answer(forged.clone()).await;
    }
    let flood = lines.take();
    assert!((5..100).contains(&flood.lines().count()), "{} lines", flood.lines().count());
    platform.answer(Push::plain(&now().to_string(), "")).await;
    assert!(lines.take().contains("the push is plain"));
}

#[tokio::test]
async fn a_flood_of_old_queries_does_not_hide_a_wrong_mode() {
    let (lines, _guard) = Lines::capture();
    let platform = Platform::new(safe());
    // Anybody can send what a proxy's log of last year shows.
    let old = platform.push_at(now() - 2 * MAX_SKEW.as_secs(), &message(ALICE, "text", ""));
    for _ in 0..200 {
        platform.answer(old.clone()).await;
    }
    let flood = lines.take();
    assert!((5..50).contains(&flood.lines().count()), "{} lines", flood.lines().count());
    platform.answer(Push::plain(&now().to_string(), "")).await;
    assert!(lines.take().contains("the push is plain"));
}

#[tokio::test]
async fn repeats_and_verifications_do_not_flood_the_log_nor_hide_a_login() {
    let (lines, _guard) = Lines::capture();
    let platform = Platform::new(safe());
    let (first, second) = (platform.login().await, platform.login().await);
    let (push, verification) = (platform.push(&first.scan(ALICE)), platform.push("").with("echostr", "0012"));
    lines.take();
    for _ in 0..200 {
        platform.answer(push.clone()).await;
        platform.verified(&verification).await;
    }
    let flood = lines.take();
    assert!(flood.contains("answered a push") && flood.contains("answered a verification"), "{flood}");
    assert!((10..100).contains(&flood.lines().count()), "{} lines", flood.lines().count());
    platform.shown(&second.scan(ALICE)).await;
    assert!(lines.take().contains("claimed"), "every login has its line");
}
