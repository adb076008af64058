//! The platform once more, played by Python's `wechatpy` (`tests/python/wechat_platform.py`): another hand's crypto and
//! parser, so that no misreading that our callback and our simulator could share goes unnoticed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc as std_mpsc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::child::Child;
use crate::patience::within;
use crate::program::target_directory;
use crate::stack::{Account, KnownCode};

/// A running `wechatpy`, which ends with the test.
#[derive(Debug)]
pub struct Wechatpy {
    requests: std_mpsc::SyncSender<Value>,
    answers: mpsc::Receiver<String>,
    _child: Child,
}

/// What somebody does on a phone.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Act {
    /// A follower scans.
    Scan(KnownCode),
    /// Somebody follows by scanning.
    SubscribeByScan(KnownCode),
    /// Somebody follows in another way.
    Subscribe,
    /// A follower leaves.
    Unsubscribe,
    /// Some other event.
    OtherEvent {
        /// Its `Event`.
        name: String,
    },
    /// Somebody writes.
    Text {
        /// What.
        content: String,
    },
    /// Somebody sends a picture.
    Image,
}

/// A push that is ready to be sent, any number of times.
#[derive(Clone, Debug, Deserialize)]
pub struct Push {
    /// The query of the callback's URL.
    pub query: String,
    /// The XML.
    pub body: String,
    /// The class of which `wechatpy` takes the message to be.
    pub known_as: String,
}

/// What `wechatpy` finds in a push, as an account's server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Judgement {
    /// Whether the query's signature is right.
    pub signed: bool,
    /// The message's class.
    pub known_as: Option<String>,
    /// The exception that the encrypted part raised.
    pub refusal: Option<String>,
}

/// What came back for a push.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header.
    pub content_type: Option<String>,
    /// The body as it came.
    pub body: String,
    /// What the body says, if it was good and is no `success`.
    pub reply: Option<Reply>,
}

/// A passive reply as `wechatpy` reads it; of an encrypted one, it has checked the signature.
#[derive(Clone, Debug, Deserialize)]
pub struct Reply {
    /// Whether it came encrypted.
    pub encrypted: bool,
    /// The envelope's time, in seconds since 1970.
    pub sent: Option<u64>,
    /// `text`.
    pub kind: String,
    /// Who reads it.
    pub to: String,
    /// Who says it.
    pub from: String,
    /// The reply's own time, in seconds since 1970.
    pub created: u64,
    /// What the phone shows.
    pub text: String,
}

/// What came back for a verification of the URL.
#[derive(Clone, Debug, Deserialize)]
pub struct Echo {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// What the body must be.
    pub echostr: String,
}

/// An encrypted text, and its signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// Seconds since 1970.
    pub timestamp: String,
    /// Anything.
    pub nonce: String,
    /// In base64.
    pub encrypted: String,
    /// Over the other three and the Token.
    pub signature: String,
}

impl Wechatpy {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let python = target_directory().join("python/bin/python");
        assert!(python.exists(), "no {}: tests/run installs it, and with it wechatpy", python.display());
        let mut child = Child::start(&python, |command| {
            command.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/wechat_platform.py"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        });
        let process = child.process();
        let (mut input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (requests, asked) = std_mpsc::sync_channel::<Value>(1);
        let (told, answers) = mpsc::channel(1);
        // One request is under way at most. A thread, because a test that waits has a limit, and a pipe has none.
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines();
            while let Ok(request) = asked.recv() {
                // Where the program has ended, so does the channel, and whoever waits for an answer sees it.
                let answer = writeln!(input, "{request}").ok().and_then(|()| lines.next()?.ok());
                if answer.is_none_or(|answer| told.blocking_send(answer).is_err()) {
                    return;
                }
            }
        });
        Self { requests, answers, _child: child }
    }

    /// Makes the push of what `openid` does.
    pub async fn make(&mut self, account: &Account, mode: &str, openid: &str, act: &Act) -> Push {
        let mut asked = serde_json::to_value(act).unwrap();
        let more = json!({ "account": known(account), "mode": mode, "openid": openid });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask("make", asked).await
    }

    /// Reads a push as an account's server does that is made of `wechatpy`.
    pub async fn judge(&mut self, account: &Account, push: &Push) -> Judgement {
        self.ask("judge", json!({ "account": known(account), "query": push.query, "body": push.body })).await
    }

    /// Pushes to the callback of a base URL, and reads the answer with the account's secrets.
    pub async fn post(&mut self, account: &Account, callback: &str, push: &Push) -> Answer {
        let (account, url) = (known(account), callback_url(callback));
        let asked = json!({ "account": account, "url": url, "query": push.query, "body": push.body });
        self.ask("post", asked).await
    }

    /// Verifies the callback of a base URL.
    pub async fn verify(&mut self, account: &Account, callback: &str) -> Echo {
        self.ask("verify", json!({ "account": known(account), "url": callback_url(callback) })).await
    }

    /// Encrypts and signs.
    pub async fn encrypt(&mut self, account: &Account, texts: &[String]) -> Vec<Sealed> {
        let mut answer: Value =
            self.ask("encrypt", json!({ "account": known(account), "texts": texts })).await;
        serde_json::from_value(answer["sealed"].take()).unwrap()
    }

    /// Decrypts, and checks the signatures; a wrong one fails the test.
    pub async fn decrypt(&mut self, account: &Account, sealed: &[Sealed]) -> Vec<String> {
        let mut answer: Value =
            self.ask("decrypt", json!({ "account": known(account), "sealed": sealed })).await;
        serde_json::from_value(answer["texts"].take()).unwrap()
    }

    /// What follows from a vector's inputs, under the vector's own names.
    pub async fn recompute(&mut self, vector: &Value) -> Value {
        self.ask("recompute", json!({ "vector": vector })).await
    }

    async fn ask<T: DeserializeOwned>(&mut self, what: &'static str, mut request: Value) -> T {
        request["op"] = what.into();
        // If the program has ended, the answer says so.
        let _ = self.requests.send(request);
        let Some(answer) = within("wechatpy", self.answers.recv()).await else {
            panic!("wechatpy has ended, asked to {what}");
        };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["failed"].is_null(), "wechatpy cannot {what}: {}", answer["failed"]);
        serde_json::from_value(answer).unwrap()
    }
}

/// What the platform knows about the account's server.
fn known(account: &Account) -> Value {
    let Account { original_id, app_id, token, aes_key, .. } = account;
    json!({ "original_id": original_id, "app_id": app_id, "token": token, "aes_key": aes_key })
}

fn callback_url(base: &str) -> String {
    format!("{base}/wechat/callback")
}
