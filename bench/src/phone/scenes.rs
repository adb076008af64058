//! What the platform knows of QR codes, asked of the simulator, many at once.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use crate::endpoint::Endpoint;
use crate::http::Pool;

/// Codes of one request; the simulator takes 1,000.
const BATCH: usize = 500;
/// A first code waits so long for others: nobody is in a hurry before the scan.
const GATHER: Duration = Duration::from_millis(20);
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Codes that wait for their request; more make those who ask wait.
const QUEUE: usize = 2 * BATCH;

/// What a scan event carries.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Scene {
    pub(super) event_key: String,
    pub(super) ticket: String,
}

#[derive(Deserialize)]
struct Found {
    scenes: Vec<Option<Scene>>,
}

struct Question {
    content: String,
    openid: String,
    answer: oneshot::Sender<Option<Scene>>,
}

/// Asks for scenes; its task ends with it.
pub(super) struct Scenes {
    questions: mpsc::Sender<Question>,
}

impl Scenes {
    pub(super) fn of(simulator: Endpoint) -> Self {
        let (questions, asked) = mpsc::channel(QUEUE);
        tokio::spawn(answer(Pool::new(simulator), asked));
        Self { questions }
    }

    /// The scene of a code that a follower scans; `None` for one that is unknown or over, or without an answer.
    pub(super) async fn find(&self, content: &str, openid: &str) -> Option<Scene> {
        let (answer, answered) = oneshot::channel();
        let question = Question { content: content.to_owned(), openid: openid.to_owned(), answer };
        self.questions.send(question).await.ok()?;
        answered.await.ok()?
    }
}

async fn answer(simulator: Pool, mut asked: mpsc::Receiver<Question>) {
    let mut questions = Vec::new();
    while let Some(first) = asked.recv().await {
        questions.push(first);
        time::sleep(GATHER).await;
        while questions.len() < BATCH
            && let Ok(question) = asked.try_recv()
        {
            questions.push(question);
        }
        let scenes = time::timeout(TIMEOUT, ask(&simulator, &questions)).await.ok().flatten();
        let mut scenes = scenes.unwrap_or_default().into_iter();
        for question in questions.drain(..) {
            // Who does not wait any more does not need it.
            let _ = question.answer.send(scenes.next().flatten());
        }
    }
}

async fn ask(simulator: &Pool, questions: &[Question]) -> Option<Vec<Option<Scene>>> {
    let scan = |asked: &Question| json!({ "content": asked.content, "openid": asked.openid });
    let body = json!({ "scans": questions.iter().map(scan).collect::<Vec<_>>() }).to_string();
    let request = simulator.post("/simulator/scenes", "content-type: application/json\r\n", &body);
    let answer = simulator.ask(&request).await.ok().filter(|answer| answer.status == 200)?;
    let found: Found = serde_json::from_slice(&answer.body).ok()?;
    Some(found.scenes)
}
