//! Spending a code: an answer that was lost is asked for again, and what cannot be answered is given back.

use std::time::Duration;

use shared::backplane::Error;
use shared::login::{Code, Scan};
use shared::random::jittered;
use tokio::sync::oneshot;
use tokio::time::{self, Instant};
use uuid::Uuid;

use crate::Gateway;

/// For finding out whether the code was spent, once it may have been. Only this request can.
const SPEND_TIME: Duration = Duration::from_secs(8);
/// For giving the code back. Nobody waits for it; who is without Redis for longer has other sorrows.
const WITHDRAW_TIME: Duration = Duration::from_secs(600);
/// How long the application waits for that, so that its next request finds the code as good as it was told.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Between two tries; doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Spends the code in the name of a new request, and answers it. After an error the code is given back, for it may be spent,
/// and the application is told that it is not; and so it is where the application has not waited for the answer.
pub(super) async fn spend(
    gateway: Gateway,
    code: Code,
    answer: oneshot::Sender<Result<Option<Scan>, Error>>,
) {
    let request = Uuid::new_v4();
    let spent = repeated(SPEND_TIME, || gateway.backplane().redeem(&code, request)).await;
    if spent.is_err() {
        let giving_back = give_back(gateway.clone(), code.clone(), request);
        let given_back = gateway.0.connections.spawn(giving_back);
        // It goes on without whoever waits.
        let _ = time::timeout(ANSWER_TIME, given_back).await;
    }
    if let Err(Ok(Some(_))) = answer.send(spent) {
        give_back(gateway, code, request).await;
    }
}

async fn give_back(gateway: Gateway, code: Code, request: Uuid) {
    let login = code.login();
    match repeated(WITHDRAW_TIME, || gateway.backplane().withdraw(&code, request)).await {
        Ok(()) => tracing::info!(%login, "the code is good again"),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%login, %error, cause, "the code may be spent for nothing");
        }
    }
}

/// Asks until it is answered, or `limit` has passed. What is asked bounds itself.
async fn repeated<T, F: Future<Output = Result<T, Error>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    let (until, mut pause) = (Instant::now() + limit, FIRST_PAUSE);
    loop {
        match ask().await {
            Err(_) if Instant::now() < until => {
                time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}
