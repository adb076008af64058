//! What a Cluster cannot answer yet, because a slot is on its way from one node to another.

use std::time::Duration;

use fred::error::{Error as FredError, ErrorKind};
use tokio::time::{self, Instant};

use crate::backplane::Error;
use crate::random::jittered;

/// Between two tries; doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks until the slot is where it belongs, or `limit` has passed. What is asked must bound itself. Nothing is done twice:
/// the server refused before it did anything.
pub(super) async fn settled<T, F: Future<Output = Result<T, Error>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    let (since, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        match ask().await {
            Err(Error::Unavailable(error)) if is_unsettled(&error) && since.elapsed() < limit => {
                time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}

/// Whether the server sent the command elsewhere, or said that the keys of one slot are apart. The library's own error
/// stands for MOVED, after which it knows the new node, and for ASK (docs/redis.md, "Cluster").
pub(super) fn is_unsettled(error: &FredError) -> bool {
    error.details().starts_with("TRYAGAIN")
        || (*error.kind() == ErrorKind::Routing && error.details() == "Too many redirections.")
}
