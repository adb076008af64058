//! What happened to every login: a line each event, in the order in which the driver saw them. Secrets stand in it as
//! digests.

mod digest;

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize, Serializer};

pub use self::digest::Digest;

/// The form of the lines; another number is another form.
const FORM: u32 = 1;
/// The longest line that is read, in bytes; those that we write are below 1,000.
const LINE_MAX: u64 = 64 * 1024;

/// What a run did and saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The first line.
    pub header: Header,
    /// The others.
    pub events: Vec<Event>,
}

/// What there is to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The form of the lines.
    history: u32,
    /// When the run began, RFC 3339.
    pub started: String,
    /// When it ended, in microseconds from its begin: until then nothing more came.
    pub ended_us: u64,
    /// What browsers were connected to and codes redeemed at, by number.
    pub gateways: Vec<String>,
    /// What phones' pushes went to, by number.
    pub callbacks: Vec<String>,
}

/// Something that happened to one login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Microseconds from the begin of the run.
    pub at_us: u64,
    /// One visit of one page, whatever sessions it has meanwhile.
    pub login: u64,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// This login is made difficult on purpose.
    Probed {
        /// How.
        probe: Probe,
    },
    /// A page asks for its socket. `due_us`: when it was planned to; only for the page's first.
    Opening {
        /// Number of the gateway.
        gateway: u16,
        /// Whether it offers a session's secret.
        resuming: bool,
        /// The planned time, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_us: Option<u64>,
    },
    /// It has its socket.
    Opened,
    /// It got none: the status of the refusal, if there was an answer.
    Refused {
        /// HTTP status.
        status: Option<u16>,
    },
    /// It shows a QR code.
    Shown {
        /// The session's secret.
        session: Digest,
        /// The text in the QR code.
        qr: Digest,
    },
    /// It asks for another QR code.
    Refreshing,
    /// Its QR code is over.
    Expired {
        /// The session.
        session: Digest,
    },
    /// It is told of an error.
    Told {
        /// The error's code.
        error: String,
    },
    /// It learns that somebody logged in.
    Delivered {
        /// The session, if the page knows it.
        session: Option<Digest>,
        /// The one-time code.
        code: Digest,
    },
    /// The socket was closed by the other side, or broke.
    Closed {
        /// The close code, where one came.
        code: Option<u16>,
    },
    /// The page closed the socket itself and will be back, as when it is reloaded.
    Away,
    /// The page closed the socket for good.
    Left,
    /// A push is on its way.
    Pushed {
        /// Number of the scan: one person, one moment, one text for all attempts.
        scan: u64,
        /// Counted from 1 within the scan.
        attempt: u8,
        /// Number of the callback.
        callback: u16,
        /// Who scanned.
        openid: String,
        /// The scene; its first 22 characters name the login in the services' logs.
        scene: String,
        /// The text in the QR code.
        qr: Digest,
        /// When the scan was planned, for the first attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_us: Option<u64>,
    },
    /// The phone has the answer to an attempt.
    Answered {
        /// As in `pushed`.
        scan: u64,
        /// As in `pushed`.
        attempt: u8,
        /// What it says.
        answer: Answer,
    },
    /// The application's server redeems a code.
    Redeeming {
        /// The code.
        code: Digest,
        /// Counted from 1 for each code.
        attempt: u8,
        /// Number of the gateway.
        gateway: u16,
    },
    /// It has the answer.
    Redeemed {
        /// The code.
        code: Digest,
        /// As in `redeeming`.
        attempt: u8,
        /// What it says.
        outcome: Redemption,
    },
}

/// What makes a login difficult.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Somebody else scans the same code in the same moment.
    Rival,
    /// The platform sends the push twice at once.
    Repeat,
    /// The application redeems twice at once.
    RedeemedTwice,
    /// The page gets a new code first, and somebody scans the old one.
    Refreshed,
    /// The page is away while the code is scanned.
    Away,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rival, Self::Repeat, Self::RedeemedTwice, Self::Refreshed, Self::Away];
}

/// What a phone's answer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Logged in, for the so-manieth time.
    Accepted(u64),
    /// The code is used, unknown or over.
    Used,
    /// Scan again in a moment.
    Busy,
    /// Another good answer.
    Other,
    /// An answer that the platform doesn't accept: its status.
    Bad(u16),
    /// No answer.
    None,
}

/// What redeeming came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redemption {
    /// Who logged in.
    Identity {
        /// The person.
        openid: String,
        /// Which of their logins it is.
        count: u64,
    },
    /// Another status than 200.
    Refused(u16),
    /// No answer.
    None,
}

impl What {
    /// Who did it, or to whom it happened.
    #[must_use]
    pub fn by(&self) -> &'static str {
        match self {
            Self::Probed { .. } => "driver",
            Self::Pushed { .. } | Self::Answered { .. } => "phone",
            Self::Redeeming { .. } | Self::Redeemed { .. } => "application",
            _ => "browser",
        }
    }
}

/// An event as its line has it.
#[derive(Serialize)]
struct Line<'a> {
    at_us: u64,
    login: u64,
    by: &'static str,
    #[serde(flatten)]
    what: &'a What,
}

/// A line as it is read; `by` follows from `what`.
#[derive(Deserialize)]
struct ReadLine {
    at_us: u64,
    login: u64,
    #[serde(flatten)]
    what: What,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at_us, login, what } = self;
        Line { at_us: *at_us, login: *login, by: what.by(), what }.serialize(serializer)
    }
}

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the history")]
    Read(#[from] io::Error),
    /// A line is none of ours.
    #[error("line {line} of the history is malformed")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The first line names another form.
    #[error("the history has form {0}, and this program reads {FORM}")]
    OtherForm(u32),
    /// There is no first line.
    #[error("the history is empty")]
    Empty,
}

impl Header {
    /// A header with nobody in it.
    #[must_use]
    pub fn new(started: impl Into<String>, ended_us: u64) -> Self {
        let (gateways, callbacks) = (Vec::new(), Vec::new());
        Self { history: FORM, started: started.into(), ended_us, gateways, callbacks }
    }
}

impl History {
    /// Writes it, a line each event.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, &self.header)?;
        for event in &self.events {
            to.write_all(b"\n")?;
            serde_json::to_writer(&mut to, event)?;
        }
        to.write_all(b"\n")?;
        to.flush()
    }

    /// Reads what [`Self::write`] wrote. Empty lines are left out.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is something else; a line that was cut off is malformed.
    pub fn read(mut from: impl BufRead) -> Result<Self, Error> {
        let mut header: Option<Header> = None;
        let (mut events, mut text) = (Vec::new(), Vec::new());
        for line in 1.. {
            text.clear();
            if io::Read::take(&mut from, LINE_MAX).read_until(b'\n', &mut text)? == 0 {
                break;
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let malformed = |source| Error::Malformed { line, source };
            if header.is_none() {
                let read: Header = serde_json::from_slice(&text).map_err(malformed)?;
                if read.history != FORM {
                    return Err(Error::OtherForm(read.history));
                }
                header = Some(read);
            } else {
                let ReadLine { at_us, login, what } = serde_json::from_slice(&text).map_err(malformed)?;
                events.push(Event { at_us, login, what });
            }
        }
        Ok(Self { header: header.ok_or(Error::Empty)?, events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let (session, qr, code) = (Digest::of("session"), Digest::of("qr"), Digest::of("code"));
        let pushed = What::Pushed {
            scan: 1,
            attempt: 1,
            callback: 0,
            openid: "o1".to_owned(),
            scene: "scene".to_owned(),
            qr,
            due_us: Some(9),
        };
        let identity = Redemption::Identity { openid: "o1".to_owned(), count: 1 };
        let whats = [
            What::Probed { probe: Probe::RedeemedTwice },
            What::Opening { gateway: 1, resuming: false, due_us: None },
            What::Opened,
            What::Refused { status: None },
            What::Shown { session, qr },
            What::Told { error: "replaced".to_owned() },
            pushed,
            What::Answered { scan: 1, attempt: 1, answer: Answer::Accepted(7) },
            What::Answered { scan: 1, attempt: 2, answer: Answer::None },
            What::Delivered { session: Some(session), code },
            What::Redeemed { code, attempt: 1, outcome: identity },
            What::Redeemed { code, attempt: 2, outcome: Redemption::Refused(410) },
            What::Closed { code: Some(1012) },
        ];
        let events = whats.into_iter().zip(1..).map(|(what, at_us)| Event { at_us, login: 3, what });
        let header = Header::new("2026-11-22T08:30:00Z", 99);
        History { header, events: events.collect() }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut written = Vec::new();
        history().write(&mut written).unwrap();
        assert_eq!(History::read(&written[..]).unwrap(), history());
        let text = String::from_utf8(written).unwrap();
        assert!(text.contains(r#"{"at_us":3,"login":3,"by":"browser","what":"opened"}"#), "{text}");
        assert!(text.contains(r#""answer":{"accepted":7}"#), "{text}");
    }

    #[test]
    fn what_is_no_history_is_refused_with_its_line() {
        let mut written = Vec::new();
        history().write(&mut written).unwrap();
        let cut = &written[..written.len() - 10];
        assert!(matches!(History::read(cut), Err(Error::Malformed { line: 14, .. })));
        assert!(matches!(History::read(&b""[..]), Err(Error::Empty)));
        assert!(matches!(History::read(&b"{}"[..]), Err(Error::Malformed { line: 1, .. })));
        let other = String::from_utf8(written).unwrap().replacen(r#""history":1"#, r#""history":2"#, 1);
        assert!(matches!(History::read(other.as_bytes()), Err(Error::OtherForm(2))));
    }
}
