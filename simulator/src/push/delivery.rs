//! How a push is delivered (docs/wechat.md, "Delivery"): five seconds, three attempts at once after one another, each the
//! same bytes; and what the phone shows in the end.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Serialize;

use super::envelope::Push;
use super::verdict::{self, Answer, Bad, Good};
use crate::Error;
use crate::account::Account;
use crate::faults::Faults;

/// What the platform waits for an answer, and for a connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// More than any reply has.
const ANSWER_MAX: usize = 64 * 1024;
/// What the platform calls itself.
const AGENT: &str = "Mozilla/4.0";
/// The system line in the chat when the account's server failed, as phones are reported to show it.
pub(crate) const FAULT_LINE: &str = "该公众号提供的服务出现故障，请稍后再试";

/// Sends pushes to the account's server.
pub(crate) struct Pusher {
    client: Client,
    callback_url: Url,
}

/// One request of a push.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attempt {
    /// 1, or 2 for the second copy of a doubled push.
    copy: u8,
    /// Counted from 1 within the copy.
    number: u8,
    /// Absent when no answer came.
    status: Option<u16>,
    pub(crate) verdict: Verdict,
    /// Why the answer was bad, or none came.
    reason: Option<String>,
    elapsed_ms: u128,
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Success,
    Empty,
    Reply,
    Bad,
    Timeout,
    Unreachable,
    /// Good or bad, a fault threw the answer away.
    Lost,
}

/// What a push came to.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) attempts: Vec<Attempt>,
    /// What the phone shows; nothing after `success`.
    pub(crate) shown: Option<String>,
    /// Whether that is the fault line.
    pub(crate) fault: bool,
}

impl Delivery {
    /// Of what was not pushed.
    pub(crate) fn nothing() -> Self {
        Self { attempts: Vec::new(), shown: None, fault: false }
    }
}

impl Pusher {
    pub(crate) fn new(account: &Account) -> Result<Self, Error> {
        // Without one, reqwest panics.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(Error::NoTlsProvider);
        }
        let mut client = Client::builder()
            .connect_timeout(ANSWER_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy();
        if account.callback_url.scheme() == "http" {
            // A container without certificates can still push over HTTP.
            client = client.tls_certs_only([]);
        }
        Ok(Self { client: client.build()?, callback_url: account.callback_url.clone() })
    }

    /// Sends `push`, from `openid`, until an answer is good or the attempts are used up; twice at once if pushes are doubled.
    pub(crate) async fn deliver(
        &self,
        account: &Account,
        faults: &Faults,
        openid: &str,
        push: &Push,
    ) -> Delivery {
        let copy = |number| self.deliver_copy(account, faults, openid, push, number);
        let (mut first, second) = if faults.doubles_pushes() {
            let (first, second) = tokio::join!(copy(1), copy(2));
            (first, Some(second))
        } else {
            (copy(1).await, None)
        };
        if let Some(second) = second {
            first.attempts.extend(second.attempts);
            if first.fault {
                (first.shown, first.fault) = (second.shown, second.fault);
            }
        }
        first
    }

    async fn deliver_copy(
        &self,
        account: &Account,
        faults: &Faults,
        openid: &str,
        push: &Push,
        copy: u8,
    ) -> Delivery {
        let mut attempts = Vec::new();
        for number in 1..=faults.attempts() {
            let started = Instant::now();
            let answer = self.send(push).await;
            let lost = answer.is_ok() && faults.loses_answer();
            let status = answer.as_ref().ok().map(|answer| answer.status);
            let judged = answer.and_then(|answer| Ok(verdict::judge(account, openid, &answer)?));
            let (verdict, reason) = match &judged {
                _ if lost => (Verdict::Lost, Some("the answer was thrown away".to_owned())),
                Ok(Good::Success) => (Verdict::Success, None),
                Ok(Good::Empty) => (Verdict::Empty, None),
                Ok(Good::Reply(_)) => (Verdict::Reply, None),
                Err(failure) => (failure.verdict(), Some(failure.to_string())),
            };
            let elapsed_ms = started.elapsed().as_millis();
            attempts.push(Attempt { copy, number, status, verdict, reason, elapsed_ms });
            if let (false, Ok(good)) = (lost, judged) {
                let shown = if let Good::Reply(shown) = good { shown } else { None };
                return Delivery { attempts, shown, fault: false };
            }
        }
        Delivery { attempts, shown: Some(FAULT_LINE.to_owned()), fault: true }
    }

    async fn send(&self, push: &Push) -> Result<Answer, Failure> {
        let mut url = self.callback_url.clone();
        url.query_pairs_mut().extend_pairs(&push.query);
        let request = self.client.post(url).header(USER_AGENT, AGENT).header(CONTENT_TYPE, "text/xml");
        read(request.body(push.body.clone()).send().await?).await
    }

    /// Calls the account's server with a query and no body, as the console does when it checks a URL.
    pub(crate) async fn ask(&self, query: &[(&'static str, String)]) -> Result<Answer, Failure> {
        let mut url = self.callback_url.clone();
        url.query_pairs_mut().extend_pairs(query);
        read(self.client.get(url).header(USER_AGENT, AGENT).send().await?).await
    }
}

/// Why there is no good answer. A reqwest error's text holds the URL and with it an openid, so it is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no answer within five seconds")]
    Timeout,
    #[error("the account's server cannot be reached, or ended the connection")]
    Unreachable,
    #[error(transparent)]
    Bad(#[from] Bad),
}

impl Failure {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Timeout => Verdict::Timeout,
            Self::Unreachable => Verdict::Unreachable,
            Self::Bad(_) => Verdict::Bad,
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Unreachable }
    }
}

impl Verdict {
    /// As in the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Empty => "empty",
            Self::Reply => "reply",
            Self::Bad => "bad",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
        }
    }
}

async fn read(mut response: Response) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(Bad::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}
