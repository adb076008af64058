//! The application's own server: redeems the codes that its pages got (docs/http-api.md, "POST /api/redeem").

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use shared::settings::Secret;
use tokio::time;

use crate::endpoint::Endpoint;
use crate::history::{Digest, Redemption, What};
use crate::http::Pool;
use crate::random;
use crate::recorder::Recorder;
use crate::turns::{Away, Turns};

/// For one request, as the reference advises.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// Requests for one code, and the pause between two where the server names none.
const ATTEMPTS: u8 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that the server can ask for.
const PAUSE_MAX: u64 = 10;

/// An application that knows the gateways and the secret that they share.
#[derive(Debug)]
pub struct Application {
    gateways: Vec<Pool>,
    turns: Turns,
    secret: Secret,
    recorder: Arc<Recorder>,
}

#[derive(Deserialize)]
struct Identity {
    openid: String,
    login_count: u64,
}

impl Application {
    /// Redeems at the gateways, of which there is at least one, one after the other, but not at those that are away.
    #[must_use]
    pub fn new(gateways: Vec<Endpoint>, away: Away, secret: Secret, recorder: Arc<Recorder>) -> Self {
        let turns = Turns::among(gateways.len(), away);
        Self { gateways: gateways.into_iter().map(Pool::new).collect(), turns, secret, recorder }
    }

    /// Redeems a code, again and at another gateway while it may still be good.
    pub async fn redeem(&self, login: u64, code: &str) -> Redemption {
        let (mut outcome, mut gateway) = (Redemption::None, None);
        for attempt in 1..=ATTEMPTS {
            let number = self.turns.next(gateway);
            let pause;
            (outcome, pause) = self.attempt(login, code, attempt, number).await;
            gateway = Some(number);
            let again = match outcome {
                Redemption::Identity { .. } => false,
                Redemption::Refused(status) => status >= 500,
                Redemption::None => true,
            };
            if !again || attempt == ATTEMPTS {
                break;
            }
            time::sleep(pause + PAUSE.mul_f64(random::fraction())).await;
        }
        outcome
    }

    /// Redeems a code twice at once; one of the two must be refused.
    pub async fn redeem_twice(&self, login: u64, code: &str) {
        let one = self.turns.next(None);
        let other = self.turns.next(Some(one));
        tokio::join!(self.attempt(login, code, 1, one), self.attempt(login, code, 2, other));
    }

    async fn attempt(&self, login: u64, code: &str, attempt: u8, number: u16) -> (Redemption, Duration) {
        let (gateway, digest) = (&self.gateways[usize::from(number)], Digest::of(code));
        let headers =
            format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.secret.expose());
        let request = gateway.post("/api/redeem", &headers, &json!({ "code": code }).to_string());
        self.recorder.record(login, What::Redeeming { code: digest, attempt, gateway: number });
        let answered = time::timeout(ANSWER_TIME, gateway.ask(&request)).await;
        let at = Instant::now();
        let mut pause = PAUSE;
        let outcome = match answered {
            Ok(Ok(answer)) => {
                pause = answer.retry_after.map_or(PAUSE, |after| Duration::from_secs(after.min(PAUSE_MAX)));
                match serde_json::from_slice::<Identity>(&answer.body) {
                    Ok(Identity { openid, login_count: count }) if answer.status == 200 => {
                        Redemption::Identity { openid, count }
                    }
                    _ => Redemption::Refused(answer.status),
                }
            }
            Ok(Err(_)) | Err(_) => Redemption::None,
        };
        self.recorder.record_at(
            at,
            login,
            What::Redeemed { code: digest, attempt, outcome: outcome.clone() },
        );
        (outcome, pause)
    }
}
