//! What a backplane promises (shared/src/backplane.rs), held against every implementation: a module per subject.

mod counts;
mod redeeming;
mod resumes;
mod scenes;
mod signatures;

use std::time::Duration;

use futures_util::FutureExt as _;
use shared::login::{Claim, OpenId};
use tests::patience::until;
use tests::replica::{Page, Replica, qr_code, somebody};

/// Rounds of a race; each order of its two moves comes up many times.
const ROUNDS: usize = 200;
/// A life that a test outlives, but not before its next move, however busy the machine is.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// A claim that runs on a thread of its own, so that it races.
fn spawned_claim(callback: &Replica, page: &Page, by: &OpenId) -> impl Future<Output = Claim> + use<> {
    let (callback, code, by) = (callback.clone(), page.code.clone(), by.clone());
    tokio::spawn(async move { callback.claims(&code, &by).await }).map(Result::unwrap)
}

/// Waits until the page's scene cannot be claimed. A scan with a wrong ticket claims nothing, and shows it.
async fn is_over(callback: &Replica, page: &Page) {
    let wrong = qr_code(&page.session).ticket;
    let person = somebody();
    until("the scene to be over", async || {
        match callback.claims_with(&page.code.scene, &wrong, &person).await {
            Claim::WrongTicket => false,
            Claim::Over => true,
            other => panic!("{other:?}"),
        }
    })
    .await;
}
