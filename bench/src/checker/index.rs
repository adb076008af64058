//! The history by session, scan, code and page. Every `usize` is a place in the history, whose order is that of time.

use std::collections::BTreeMap;

use crate::history::{Answer, Digest, Event, History, Redemption, What};

/// What a page is told of a session that nobody knows, and the close codes after which it never comes back
/// (docs/browser-protocol.md, "Close codes").
const UNKNOWN: &str = "unknown_session";
const FINISHED: u16 = 1000;
const REFUSED: u16 = 1008;

pub(super) struct Index<'a> {
    pub(super) history: &'a History,
    pub(super) sessions: BTreeMap<Digest, Session>,
    pub(super) scans: BTreeMap<u64, Scan<'a>>,
    pub(super) codes: BTreeMap<Digest, Code<'a>>,
    /// When each page was there.
    pub(super) pages: BTreeMap<u64, Page>,
    /// Successes of pages that had no session.
    pub(super) nameless: Vec<usize>,
    /// Which session showed a QR code.
    showed: BTreeMap<Digest, Digest>,
}

/// What one session's page was told.
#[derive(Default)]
pub(super) struct Session {
    pub(super) login: u64,
    pub(super) shown: Vec<(usize, Digest)>,
    pub(super) expired: Vec<usize>,
    pub(super) delivered: Vec<(usize, Digest)>,
    /// Two of these on one socket.
    pub(super) doubled: Option<[usize; 2]>,
    /// Where the server said that it is over (1000).
    pub(super) over: Option<usize>,
    /// Where its page learned that it will hear no more of it: the session is unknown, another one is shown, or the server
    /// has ended the socket for good. Pages never come back to such a session.
    pub(super) given_up: Option<usize>,
    /// Scans of its codes.
    pub(super) scans: Vec<u64>,
    /// Where another page had it.
    pub(super) shared: Option<usize>,
}

/// One person's scan.
pub(super) struct Scan<'a> {
    pub(super) openid: &'a str,
    pub(super) scene: &'a str,
    pub(super) qr: Digest,
    /// By number, with the place of the push.
    pub(super) attempts: BTreeMap<u8, Attempt<'a>>,
}

pub(super) struct Attempt<'a> {
    pub(super) pushed: usize,
    pub(super) answer: Option<(usize, &'a Answer)>,
}

/// What became of a code.
#[derive(Default)]
pub(super) struct Code<'a> {
    /// The sessions that got it, and where first.
    pub(super) sessions: BTreeMap<Digest, usize>,
    pub(super) attempts: BTreeMap<u8, Redeeming<'a>>,
}

pub(super) struct Redeeming<'a> {
    pub(super) began: usize,
    pub(super) outcome: Option<(usize, &'a Redemption)>,
}

/// The sockets that a page had, one after the other.
#[derive(Default)]
pub(super) struct Page {
    sockets: Vec<Socket>,
}

struct Socket {
    opened: usize,
    ended: Option<(usize, End)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By the page, which had waited as long as it wanted; or by the server, which said that there is nothing to come.
    Settled,
    /// It may want to come back.
    Broken,
}

impl<'a> Index<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut index = Self {
            history,
            sessions: BTreeMap::new(),
            scans: BTreeMap::new(),
            codes: BTreeMap::new(),
            pages: BTreeMap::new(),
            nameless: Vec::new(),
            showed: BTreeMap::new(),
        };
        let mut current: BTreeMap<u64, Digest> = BTreeMap::new();
        for (at, event) in history.events.iter().enumerate() {
            let given_up = match &event.what {
                What::Shown { session, .. } => {
                    current.insert(event.login, *session).filter(|before| before != session)
                }
                What::Told { error } if error == UNKNOWN => current.remove(&event.login),
                What::Closed { code: Some(FINISHED | REFUSED) } => current.get(&event.login).copied(),
                _ => None,
            };
            if let Some(session) = given_up {
                index.session(session, event.login).given_up.get_or_insert(at);
            }
            index.add(at, event, current.get(&event.login).copied());
        }
        for (&number, scan) in &index.scans {
            let session = index.showed.get(&scan.qr).and_then(|session| index.sessions.get_mut(session));
            if let Some(session) = session {
                session.scans.push(number);
            }
        }
        index
    }

    fn add(&mut self, at: usize, event: &'a Event, current: Option<Digest>) {
        let page = self.pages.entry(event.login).or_default();
        match &event.what {
            What::Opened => page.sockets.push(Socket { opened: at, ended: None }),
            What::Left => page.end(at, End::Settled),
            What::Closed { code } => {
                page.end(
                    at,
                    if matches!(code, Some(FINISHED | REFUSED)) { End::Settled } else { End::Broken },
                );
                if let (Some(FINISHED), Some(session)) = (code, current) {
                    self.session(session, event.login).over.get_or_insert(at);
                }
            }
            What::Away | What::Refused { .. } => page.end(at, End::Broken),
            What::Shown { session, qr } => {
                self.showed.insert(*qr, *session);
                let told = self.session(*session, event.login);
                told.shown.push((at, *qr));
                told.is_of(event.login, at);
            }
            What::Expired { session } => self.session(*session, event.login).expired.push(at),
            What::Delivered { session: None, .. } => self.nameless.push(at),
            What::Delivered { session: Some(session), code } => {
                let opened = page.sockets.last().map(|socket| socket.opened);
                let session_told = self.session(*session, event.login);
                if let (Some(opened), Some(&(before, _))) = (opened, session_told.delivered.last())
                    && opened < before
                {
                    session_told.doubled.get_or_insert([before, at]);
                }
                session_told.delivered.push((at, *code));
                session_told.is_of(event.login, at);
                self.codes.entry(*code).or_default().sessions.entry(*session).or_insert(at);
            }
            What::Pushed { scan, attempt, openid, scene, qr, .. } => {
                let attempts = BTreeMap::new();
                let scan = self.scans.entry(*scan).or_insert(Scan { openid, scene, qr: *qr, attempts });
                scan.attempts.insert(*attempt, Attempt { pushed: at, answer: None });
            }
            What::Answered { scan, attempt, answer } => {
                let attempt = self.scans.get_mut(scan).and_then(|scan| scan.attempts.get_mut(attempt));
                if let Some(attempt) = attempt {
                    attempt.answer = Some((at, answer));
                }
            }
            What::Redeeming { code, attempt, .. } => {
                let attempts = &mut self.codes.entry(*code).or_default().attempts;
                attempts.insert(*attempt, Redeeming { began: at, outcome: None });
            }
            What::Redeemed { code, attempt, outcome } => {
                let attempts = &mut self.codes.entry(*code).or_default().attempts;
                attempts.entry(*attempt).or_insert(Redeeming { began: at, outcome: None }).outcome =
                    Some((at, outcome));
            }
            What::Probed { .. } | What::Opening { .. } | What::Refreshing | What::Told { .. } => {}
        }
    }

    fn session(&mut self, session: Digest, login: u64) -> &mut Session {
        self.sessions.entry(session).or_insert_with(|| Session { login, ..Session::default() })
    }

    /// The session that showed the code of a scan.
    pub(super) fn session_of(&self, scan: &Scan<'_>) -> Option<Digest> {
        self.showed.get(&scan.qr).copied()
    }

    /// The scans of a session's codes.
    pub(super) fn scans_of(&self, session: &Session) -> impl Iterator<Item = &Scan<'a>> {
        session.scans.iter().filter_map(|number| self.scans.get(number))
    }

    /// How long, in microseconds, the page was there in the end, counted from `after` or later; `None` if it was not.
    pub(super) fn there_since(&self, login: u64, after: usize) -> Option<u64> {
        let socket = self.pages.get(&login)?.sockets.last()?;
        if let Some((_, End::Broken)) = socket.ended {
            return None;
        }
        Some(self.wait_on(socket, after))
    }

    /// How long, in microseconds, the session's page waited in all after that place, on sockets on which it was shown the
    /// session's code.
    pub(super) fn waited_since(&self, session: &Session, after: usize) -> u64 {
        let sockets = self.pages.get(&session.login).into_iter().flat_map(|page| &page.sockets);
        let was_shown = |socket: &&Socket| {
            let ended = socket.ended.map_or(usize::MAX, |(at, _)| at);
            session.shown.iter().any(|(at, _)| (socket.opened..ended).contains(at))
        };
        sockets.filter(was_shown).map(|socket| self.wait_on(socket, after)).sum()
    }

    /// How long a socket lasted after that place, in microseconds; until the end of the run if it did not end.
    fn wait_on(&self, socket: &Socket, after: usize) -> u64 {
        let over = || self.history.header.ended_us.max(self.at(self.history.events.len().saturating_sub(1)));
        let end = socket.ended.map_or_else(over, |(at, _)| self.at(at));
        end.saturating_sub(self.at(socket.opened.max(after)))
    }

    /// The time of a place, in microseconds.
    pub(super) fn at(&self, place: usize) -> u64 {
        self.history.events.get(place).map_or(0, |event| event.at_us)
    }
}

impl Session {
    /// A page has it.
    fn is_of(&mut self, login: u64, at: usize) {
        if login != self.login {
            self.shared.get_or_insert(at);
        }
    }
}

impl Page {
    fn end(&mut self, at: usize, end: End) {
        // A page that is gone cannot go again; but one that comes back and is refused is still gone.
        if let Some(socket) = self.sockets.last_mut() {
            socket.ended.get_or_insert((at, end));
        }
    }
}

impl Scan<'_> {
    /// Where the scan began.
    pub(super) fn began(&self) -> usize {
        self.attempts.values().map(|attempt| attempt.pushed).min().unwrap_or_default()
    }

    /// Where it was accepted first, and with which count.
    pub(super) fn accepted(&self) -> Option<(usize, u64)> {
        self.answers().find_map(|(at, answer)| match answer {
            Answer::Accepted(count) => Some((at, *count)),
            _ => None,
        })
    }

    /// Every answer, by attempt.
    pub(super) fn answers(&self) -> impl Iterator<Item = (usize, &Answer)> {
        self.attempts.values().filter_map(|attempt| attempt.answer)
    }

    /// Whether the scene can have been claimed by this scan.
    pub(super) fn may_have_claimed(&self) -> bool {
        self.attempts.values().any(|attempt| match attempt.answer {
            Some((_, Answer::Used)) => false,
            Some((_, Answer::Bad(status))) => !(400..500).contains(status),
            _ => true,
        })
    }

    /// Every place of it.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        let answered = |attempt: &Attempt<'_>| attempt.answer.map(|(at, _)| at);
        self.attempts.values().flat_map(move |attempt| [Some(attempt.pushed), answered(attempt)]).flatten()
    }
}
