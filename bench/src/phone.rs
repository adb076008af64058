//! People with phones: what the platform pushes when they scan, sent by the driver itself so that nothing of the
//! simulator is in the path that is measured.

mod reply;
mod scenes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simulator::{Push, Pushes};
use tokio::time;

pub use self::reply::{MalformedText, RETRY, SUCCESS, Text, Texts, USED};
use self::scenes::Scenes;
use crate::endpoint::Endpoint;
use crate::history::{Answer, Digest, What};
use crate::http::Pool;
use crate::recorder::Recorder;
use crate::turns::{Away, Turns};

/// What the platform waits for an answer, and how often it tries (docs/wechat.md, "Time and repeats").
const ANSWER_TIME: Duration = Duration::from_secs(5);
const ATTEMPTS: u8 = 3;
/// What the platform sends besides (docs/wechat.md, "Signatures").
const HEADERS: &str = "user-agent: Mozilla/4.0\r\ncontent-type: text/xml\r\n";

/// Scans codes and pushes.
pub struct Phone {
    pushes: Pushes,
    callbacks: Vec<Pool>,
    turns: Turns,
    scenes: Scenes,
    texts: Texts,
    recorder: Arc<Recorder>,
    scans: AtomicU64,
}

/// A scan that only has to be pushed.
#[derive(Clone)]
pub struct Scan {
    number: u64,
    login: u64,
    openid: String,
    scene: String,
    qr: Digest,
    push: Push,
}

impl Phone {
    /// People whose phones the callbacks, of which there is at least one, answer with `texts`. The simulator tells the
    /// scenes of codes.
    #[must_use]
    pub fn new(
        pushes: Pushes,
        callbacks: Vec<Endpoint>,
        simulator: Endpoint,
        texts: Texts,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            pushes,
            turns: Turns::among(callbacks.len(), Away::default()),
            callbacks: callbacks.into_iter().map(Pool::new).collect(),
            scenes: Scenes::of(simulator),
            texts,
            recorder,
            scans: AtomicU64::new(0),
        }
    }

    /// Points the phone at a code, and gets the push ready. `None` if the platform does not know the code, or cannot be
    /// reached.
    pub async fn scan(&self, login: u64, content: &str, openid: &str) -> Option<Scan> {
        let scene = self.scenes.find(content, openid).await?;
        let push = self.pushes.scan(openid, &scene.event_key, &scene.ticket).ok()?;
        let number = self.scans.fetch_add(1, Ordering::Relaxed) + 1;
        let (openid, qr) = (openid.to_owned(), Digest::of(content));
        Some(Scan { number, login, openid, scene: scene.event_key, qr, push })
    }

    /// Pushes, again and to another callback where the answer is bad or does not come in time, as the platform does it.
    /// `due`: when it was planned to.
    pub async fn push(&self, scan: &Scan, due: Option<Instant>) -> Answer {
        let (mut answer, mut callback) = (Answer::None, None);
        for attempt in 1..=ATTEMPTS {
            let number = self.turns.next(callback);
            callback = Some(number);
            answer = self.attempt(scan, attempt, number, due.filter(|_| attempt == 1)).await;
            if !matches!(answer, Answer::Bad(_) | Answer::None) {
                break;
            }
        }
        answer
    }

    /// Pushes twice at once, as the platform is known to do.
    pub async fn push_twice(&self, scan: &Scan, due: Option<Instant>) -> Answer {
        let one = self.turns.next(None);
        let other = self.turns.next(Some(one));
        let (first, second) = (self.attempt(scan, 1, one, due), self.attempt(scan, 2, other, None));
        let (first, second) = tokio::join!(first, second);
        if matches!(first, Answer::Accepted(_)) { first } else { second }
    }

    async fn attempt(&self, scan: &Scan, attempt: u8, number: u16, due: Option<Instant>) -> Answer {
        let callback = &self.callbacks[usize::from(number)];
        let request = callback.post(&format!("?{}", scan.push.query), HEADERS, &scan.push.body);
        let pushing = async {
            let connection = callback.connection().await;
            // From here on the callback has it.
            let pushed = What::Pushed {
                scan: scan.number,
                attempt,
                callback: number,
                openid: scan.openid.clone(),
                scene: scan.scene.clone(),
                qr: scan.qr,
                due_us: due.map(|due| self.recorder.micros(due)),
            };
            self.recorder.record(scan.login, pushed);
            connection?.ask(&request).await
        };
        let answered = time::timeout(ANSWER_TIME, pushing).await;
        let at = Instant::now();
        let answer = match answered {
            Ok(Ok(answered)) => {
                let status = answered.status;
                match self.pushes.shown(&scan.openid, status, answered.body) {
                    Ok(shown) => self.texts.read(shown.as_deref()),
                    Err(_) => Answer::Bad(status),
                }
            }
            Ok(Err(_)) | Err(_) => Answer::None,
        };
        let what = What::Answered { scan: scan.number, attempt, answer: answer.clone() };
        self.recorder.record_at(at, scan.login, what);
        answer
    }
}
