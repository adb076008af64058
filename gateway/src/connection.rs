//! One browser, from upgrade to close: the loop reads like the protocol.

mod code;
mod login;

use std::time::Duration;

use shared::backplane::Change;
use shared::client::Client;
use shared::login::SessionId;
use tokio::time::{self, Instant};

use self::login::{Event, Login};
use crate::Gateway;
use crate::browser::{Browser, Gone, Incoming};
use crate::metrics::After;
use crate::protocol::{ClientMessage, CloseCode, ErrorCode, ServerMessage, whole_seconds};
use crate::qr;

/// When a browser may try again while the backplane is away, or the platform slow.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// Messages that make no sense before the connection is closed; a browser of ours sends none.
const NONSENSE_MAX: u32 = 20;

/// What a browser asked for when it connected.
#[derive(Debug)]
pub(crate) enum Request {
    /// A new session.
    Begin,
    /// The session with this secret; `None` if the text cannot be one.
    Resume(Option<SessionId>),
}

impl Request {
    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Resume(_) => "resume",
        }
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Left,
    Over,
    Replaced,
    Broken(CloseCode),
    Nonsense,
    TryLater,
}

impl Ending {
    /// Its name in traces.
    fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Over => "over",
            Self::Replaced => "replaced",
            Self::Broken(_) => "broken",
            Self::Nonsense => "nonsense",
            Self::TryLater => "try_later",
        }
    }
}

impl From<Gone> for Ending {
    fn from(_: Gone) -> Self {
        Self::Left
    }
}

struct Connection<'a> {
    gateway: &'a Gateway,
    browser: Browser,
    client: Client,
    login: Option<Login>,
    /// Why there was no QR code, and until when that is the answer without anybody being asked.
    refused: Option<(ErrorCode, Instant)>,
    /// When the session's life is over, unless it moves before.
    ends: Instant,
    nonsense: u32,
}

/// Talks with a browser until it leaves, its session's life is over, or the replica goes away.
pub(crate) async fn run(gateway: &Gateway, browser: Browser, client: Client, request: Request) {
    let ends = Instant::now() + gateway.settings().session_ttl;
    let (login, refused) = (None, None);
    let mut connection = Connection { gateway, browser, client, login, refused, ends, nonsense: 0 };
    let ending = tokio::select! {
        ending = connection.talk(request) => Some(ending),
        () = gateway.departure().turn() => None,
    };
    let Connection { browser, login, .. } = connection;
    if let Some(login) = login {
        login.left(ending.map_or("moved", Ending::name));
    }
    let (code, reason) = match ending {
        Some(Ending::Left) => return,
        None => (CloseCode::Restart, "this replica is going away"),
        Some(Ending::Over) => (CloseCode::Done, "the session is over"),
        Some(Ending::Replaced) => (CloseCode::Policy, "replaced"),
        Some(Ending::Nonsense) => (CloseCode::Policy, "too many bad messages"),
        Some(Ending::Broken(code)) => (code, "not a message of this protocol"),
        Some(Ending::TryLater) => (CloseCode::TryLater, "try later"),
    };
    browser.close(code, reason).await;
}

impl Connection<'_> {
    async fn talk(&mut self, request: Request) -> Ending {
        let Err(ending) = self.log_in(request).await;
        ending
    }

    async fn log_in(&mut self, request: Request) -> Result<std::convert::Infallible, Ending> {
        // What asks others is on the heap while it lasts: inside, it would make every idle connection's task as large.
        match request {
            Request::Begin => Box::pin(self.begin()).await?,
            Request::Resume(session) => Box::pin(self.resume(session)).await?,
        }
        loop {
            let login = async {
                match &mut self.login {
                    Some(login) => login.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = login => self.on_login(event).await?,
                incoming = self.browser.next() => self.on_browser(incoming).await?,
                () = time::sleep_until(self.ends) => return Err(Ending::Over),
            }
        }
    }

    async fn on_login(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            // A refresh may have found out before the notice came.
            Event::Changed(Change::Scanned) if self.login.as_ref().is_some_and(|login| login.scanned) => {
                Ok(())
            }
            Event::Changed(Change::Scanned) => {
                self.moved();
                self.succeed(After::Notice).await
            }
            Event::Changed(Change::Replaced) => self.replaced().await,
            Event::Changed(Change::Gone) => {
                self.gone();
                self.refuse(ErrorCode::UnknownSession, None).await
            }
            Event::CodeOver => {
                if let Some(login) = &mut self.login {
                    login.code_ends = None;
                    login.waited("expired");
                    tracing::info!(login = %login.watch.login(), "code expired");
                }
                self.gateway.0.metrics.expired.inc();
                Ok(self.browser.send(&ServerMessage::Expired).await?)
            }
        }
    }

    async fn on_browser(&mut self, incoming: Incoming) -> Result<(), Ending> {
        match incoming {
            Incoming::Message(ClientMessage::Refresh) => Box::pin(self.refresh()).await,
            Incoming::Message(ClientMessage::Unknown) => Ok(()),
            Incoming::NotUnderstood if self.nonsense == NONSENSE_MAX => Err(Ending::Nonsense),
            Incoming::NotUnderstood => {
                self.nonsense += 1;
                self.refuse(ErrorCode::BadMessage, None).await
            }
            Incoming::Broken(code) => Err(Ending::Broken(code)),
            Incoming::Gone => Err(Ending::Left),
        }
    }

    /// The session moved: its life begins anew.
    fn moved(&mut self) {
        self.ends = Instant::now() + self.gateway.settings().session_ttl;
    }

    async fn show(&mut self, content: &str, ends: Instant, after: After) -> Result<(), Ending> {
        let Some(login) = &mut self.login else { return Ok(()) };
        let Some(url) = qr::data_uri(content) else {
            tracing::error!("the platform's text fits no QR code");
            return self.refuse(ErrorCode::PlatformUnavailable, None).await;
        };
        login.code_ends = Some(ends);
        let expires_in = ends.saturating_duration_since(Instant::now()).as_secs();
        let session = login.session.expose();
        let message = ServerMessage::QrcodeUrl { url, content: content.to_owned(), session, expires_in };
        self.browser.send(&message).await?;
        login.shown(self.gateway.traces(), after);
        self.gateway.0.metrics.shown(after);
        Ok(())
    }

    async fn succeed(&mut self, after: After) -> Result<(), Ending> {
        let Some(login) = &mut self.login else { return Ok(()) };
        let known = std::mem::replace(&mut login.scanned, true);
        login.waits = None;
        login.code_ends = None;
        login.waited("scanned");
        let told_at = login.watch.told_at().filter(|_| after == After::Notice);
        let mut push = self.gateway.traces().part(login.watch.login(), "push");
        push = push.since(told_at.unwrap_or_else(Instant::now));
        push.put("after", after.name());
        let user = self.gateway.settings().display_name.clone();
        let message = ServerMessage::ScanSuccess { user, code: login.session.code().expose() };
        self.browser.send(&message).await?;
        push.end();
        self.gateway.0.metrics.pushed(after, told_at);
        let (login, replica) = (login.watch.login(), self.gateway.replica());
        match known {
            false => tracing::info!(%login, replica, "login pushed"),
            true => tracing::debug!(%login, replica, "login pushed again"),
        }
        Ok(())
    }

    /// The login is no more.
    fn gone(&mut self) {
        if let Some(login) = self.login.take() {
            login.left("gone");
        }
    }

    async fn replaced(&mut self) -> Result<(), Ending> {
        self.refuse(ErrorCode::Replaced, None).await?;
        Err(Ending::Replaced)
    }

    /// Which session was asked for is not told apart: unknown, ended and malformed ones look alike.
    async fn unknown_session(&mut self) -> Result<(), Ending> {
        self.gateway.visits().count_unknown(self.client);
        self.gateway.0.metrics.resumed.rise("unknown");
        self.refuse(ErrorCode::UnknownSession, None).await
    }

    async fn backplane_failed(&mut self, error: &shared::backplane::Error) -> Result<(), Ending> {
        if let Some(suppressed) = self.gateway.0.refusals.admit(std::time::Instant::now()) {
            let cause = shared::telemetry::causes(error);
            tracing::warn!(%error, cause, suppressed, "login cannot be recorded");
        }
        self.refuse(ErrorCode::BackplaneUnavailable, Some(RETRY_AFTER)).await
    }

    async fn refuse(&mut self, code: ErrorCode, retry_after: Option<Duration>) -> Result<(), Ending> {
        self.gateway.0.metrics.refused(code);
        Ok(self.browser.send(&code.message(retry_after.map(whole_seconds))).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of_future(run);
        assert!(size <= 2500, "{size} bytes");
    }
}
