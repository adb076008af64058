//! One page as the element plays it: shows codes, comes back and resumes, and waits for the success
//! (docs/browser-protocol.md).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time;

use crate::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::history::{Digest, What};
use crate::recorder::Recorder;
use crate::run::Target;
use crate::turns::Turns;
use crate::websocket::{Error, Message, Socket};

/// What a page waits for an answer before it takes the socket for dead.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// What it waits for the server to say that a code is over, when it is.
const EXPIRY_GRACE: Duration = Duration::from_secs(5);
/// The longest pause that a server can ask for; a run is over long before.
const PAUSE_MAX: u64 = 86_400;
/// What a page asks for a new code with.
const REFRESH: &str = r#"{"message_type":"refresh"}"#;

/// The gateways that pages are connected to, one after the other, as a load balancer does it; a page that comes back is
/// sent to another one than it comes from.
#[derive(Debug)]
pub struct Gateways {
    endpoints: Vec<Endpoint>,
    origin: Option<String>,
    turns: Turns,
}

impl Gateways {
    /// Those of a target that has one at least.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        let Target { gateways, origin, away, .. } = target.clone();
        Self { turns: Turns::among(gateways.len(), away), endpoints: gateways, origin }
    }

    fn next(&self, last: Option<u16>) -> (u16, &Endpoint) {
        let number = self.turns.next(last);
        (number, &self.endpoints[usize::from(number)])
    }
}

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing yet, or nothing any more.
    Nothing,
    /// A QR code, by its text.
    Code(String),
    /// The success: the one-time code.
    Success(String),
    /// The server has ended it.
    Over,
}

/// What the person at the page does.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// Asks for a new code.
    Refresh,
    /// Reloads the page, and is away for so long.
    Reload(Duration),
}

/// A page that somebody watches. Dropping it leaves the page.
#[derive(Debug)]
pub struct Page {
    /// What it shows.
    pub news: watch::Receiver<News>,
    /// What the person does; one wish at a time.
    pub wishes: mpsc::Sender<Wish>,
}

/// Opens a page that somebody watches; `due` is when it was planned to.
pub fn open(gateways: Arc<Gateways>, recorder: Arc<Recorder>, login: u64, due: Instant) -> Page {
    let (told, news) = watch::channel(News::Nothing);
    let (wishes, wished) = mpsc::channel(1);
    let browser = Browser { watched: Some((told, wished)), ..Browser::new(gateways, recorder, login) };
    tokio::spawn(browser.run(due));
    Page { news, wishes }
}

/// Opens a page that nobody watches: it is there until its task is aborted.
pub fn idle(
    gateways: Arc<Gateways>,
    recorder: Arc<Recorder>,
    login: u64,
    due: Instant,
) -> impl Future<Output = ()> + Send {
    Browser::new(gateways, recorder, login).run(due)
}

struct Browser {
    gateways: Arc<Gateways>,
    recorder: Arc<Recorder>,
    login: u64,
    session: Option<String>,
    /// The gateway that it had last.
    last: Option<u16>,
    backoff: Backoff,
    watched: Option<(watch::Sender<News>, mpsc::Receiver<Wish>)>,
    /// The page says that its code is over, or has succeeded.
    expired: bool,
    succeeded: bool,
    /// A pause that the server asked for.
    pause: Duration,
}

/// How a conversation ends.
enum End {
    Closed(Option<u16>),
    /// The page gives the socket up: it says nothing, or there is no code to be had for now.
    GivenUp,
    Reload(Duration),
    Left,
}

/// What a conversation on one socket has come to.
#[derive(Default)]
struct Talk {
    /// Until when the server must have said something.
    until: Option<Instant>,
    /// A code is on show.
    shows: bool,
    /// A new code is to be asked for; it has been.
    wants: bool,
    asked: bool,
    /// The session was unknown, and another one is begun: once on a socket.
    started_over: bool,
}

/// Every field of every message that a page understands.
#[derive(Deserialize)]
struct ServerMessage {
    message_type: String,
    content: Option<String>,
    session: Option<String>,
    expires_in: Option<u64>,
    code: Option<String>,
    retry_after: Option<u64>,
}

impl Browser {
    fn new(gateways: Arc<Gateways>, recorder: Arc<Recorder>, login: u64) -> Self {
        Self {
            gateways,
            recorder,
            login,
            session: None,
            last: None,
            backoff: Backoff::default(),
            watched: None,
            expired: false,
            succeeded: false,
            pause: Duration::ZERO,
        }
    }

    async fn run(mut self, due: Instant) {
        let mut due = Some(due);
        loop {
            let pause = match Box::pin(self.connect(due.take())).await {
                None => self.backoff.next(None, Duration::ZERO),
                Some(mut socket) => match self.talk(&mut socket).await {
                    End::Left => {
                        socket.close(1000);
                        return self.record(What::Left);
                    }
                    End::Reload(pause) => {
                        socket.close(1001);
                        self.record(What::Away);
                        pause
                    }
                    End::GivenUp => {
                        socket.close(1000);
                        self.record(What::Away);
                        self.backoff.next(None, self.pause)
                    }
                    End::Closed(code) => {
                        self.record(What::Closed { code });
                        if matches!(code, Some(1000 | 1008)) {
                            return self.tell(News::Over);
                        }
                        self.backoff.next(code, self.pause)
                    }
                },
            };
            // The element has no socket after the success either.
            if self.succeeded || self.left_within(pause).await {
                return self.record(What::Left);
            }
        }
    }

    async fn connect(&mut self, due: Option<Instant>) -> Option<Socket> {
        let (number, gateway) = self.gateways.next(self.last.take());
        self.last = Some(number);
        let due_us = due.map(|due| self.recorder.micros(due));
        let resuming = self.session.is_some();
        self.record(What::Opening { gateway: number, resuming, due_us });
        let opening = Socket::open(gateway, self.gateways.origin.as_deref(), self.session.as_deref());
        let status = match time::timeout(ANSWER_TIME, opening).await {
            Ok(Ok(socket)) => {
                self.record(What::Opened);
                return Some(socket);
            }
            Ok(Err(Error::Refused(status))) => Some(status),
            Ok(Err(Error::Unreachable(_))) | Err(_) => None,
        };
        self.record(What::Refused { status });
        None
    }

    async fn talk(&mut self, socket: &mut Socket) -> End {
        self.pause = Duration::ZERO;
        let mut talk = Talk { until: Some(Instant::now() + ANSWER_TIME), ..Talk::default() };
        loop {
            let (watched, until) = (&mut self.watched, talk.until);
            let wish = async {
                match watched {
                    Some((_, wishes)) => wishes.recv().await,
                    None => std::future::pending().await,
                }
            };
            let silence = async {
                match until {
                    Some(until) => time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            let end = tokio::select! {
                heard = socket.next() => match heard {
                    Ok((Message::Text(text), at)) => self.hear(&text, at, &mut talk),
                    Ok((Message::Close(code), _)) => Some(End::Closed(code)),
                    Err(_) => Some(End::Closed(None)),
                },
                wish = wish => match wish {
                    None => Some(End::Left),
                    Some(Wish::Reload(pause)) => Some(End::Reload(pause)),
                    Some(Wish::Refresh) => {
                        talk.wants = true;
                        None
                    }
                },
                () = silence => Some(End::GivenUp),
            };
            if let Some(end) = end {
                return end;
            }
            if std::mem::take(&mut talk.wants) && !std::mem::replace(&mut talk.asked, true) {
                self.record(What::Refreshing);
                if socket.say(REFRESH).await.is_err() {
                    return End::Closed(None);
                }
                talk.until = Some(Instant::now() + ANSWER_TIME);
            }
        }
    }

    /// What a message changes; some end the conversation.
    fn hear(&mut self, text: &str, at: Instant, talk: &mut Talk) -> Option<End> {
        let Ok(message) = serde_json::from_str::<ServerMessage>(text) else { return None };
        match message.message_type.as_str() {
            "qrcode_url" => {
                let (content, session) = (message.content?, message.session?);
                let what = What::Shown { session: Digest::of(&session), qr: Digest::of(&content) };
                self.recorder.record_at(at, self.login, what);
                self.session = Some(session);
                self.expired = false;
                self.backoff.answered(at);
                (talk.shows, talk.asked) = (true, false);
                let life = Duration::from_secs(message.expires_in.unwrap_or_default().min(PAUSE_MAX));
                talk.until = Some(at + life + EXPIRY_GRACE);
                self.tell(News::Code(content));
            }
            "scan_success" => {
                let code = message.code?;
                let session = self.session.as_deref().map(Digest::of);
                self.recorder.record_at(at, self.login, What::Delivered { session, code: Digest::of(&code) });
                self.backoff.answered(at);
                self.succeeded = true;
                (talk.shows, talk.until) = (false, None);
                self.tell(News::Success(code));
            }
            "expired" => {
                let session = Digest::of(self.session.as_deref()?);
                self.recorder.record_at(at, self.login, What::Expired { session });
                self.backoff.answered(at);
                self.expired = true;
                (talk.shows, talk.until) = (false, None);
                self.tell(News::Nothing);
                // Somebody who watches presses the button.
                talk.wants = self.watched.is_some();
            }
            "error" => return self.told(message, at, talk),
            _ => {}
        }
        None
    }

    fn told(&mut self, message: ServerMessage, at: Instant, talk: &mut Talk) -> Option<End> {
        let error = message.code?;
        self.pause = Duration::from_secs(message.retry_after.unwrap_or_default().min(PAUSE_MAX));
        self.recorder.record_at(at, self.login, What::Told { error: error.clone() });
        match error.as_str() {
            "unknown_session" => {
                self.session = None;
                self.backoff.answered(at);
                self.tell(News::Nothing);
                if self.expired && self.watched.is_none() {
                    talk.until = None;
                } else if std::mem::replace(&mut talk.started_over, true) {
                    return Some(End::GivenUp);
                } else {
                    talk.wants = true;
                }
                None
            }
            // What failed is not the code on show: that can still be scanned.
            "rate_limited" | "platform_unavailable" | "backplane_unavailable" if !talk.shows => {
                Some(End::GivenUp)
            }
            _ => {
                talk.asked = false;
                None
            }
        }
    }

    /// Waits; whether the page was left meanwhile.
    async fn left_within(&self, pause: Duration) -> bool {
        match &self.watched {
            None => {
                time::sleep(pause).await;
                false
            }
            Some((told, _)) => time::timeout(pause, told.closed()).await.is_ok(),
        }
    }

    fn tell(&self, news: News) {
        if let Some((told, _)) = &self.watched {
            told.send_if_modified(|shown| {
                // A success stays on show when its socket ends.
                if matches!((&*shown, &news), (News::Success(_), News::Over)) {
                    return false;
                }
                let new = *shown != news;
                *shown = news;
                new
            });
        }
    }

    fn record(&self, what: What) {
        self.recorder.record(self.login, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_success_stays_on_show_when_its_socket_ends() {
        let target = Target::of(vec!["http://127.0.0.1:1".parse().unwrap()]);
        let gateways = Arc::new(Gateways::of(&target));
        let ((told, mut news), (_wishes, wished)) = (watch::channel(News::Nothing), mpsc::channel(1));
        let mut browser = Browser::new(gateways, Arc::default(), 1);
        browser.watched = Some((told, wished));
        browser.tell(News::Success("code".to_owned()));
        browser.tell(News::Over);
        assert_eq!(*news.borrow_and_update(), News::Success("code".to_owned()));
        browser.tell(News::Nothing);
        browser.tell(News::Over);
        assert_eq!(*news.borrow_and_update(), News::Over);
    }
}
