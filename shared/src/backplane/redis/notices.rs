//! How a notice gets from a move to the inbox of the process that it is for.
//!
//! One server, or one at a time: the move's script publishes it. In a Cluster a script could only broadcast it to every
//! node, for an inbox lies in another slot than the login. So the script returns it, and whoever made the move publishes it
//! to the one node that the inbox belongs to. Nobody hearing it there, it is broadcast after all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::Value;
use tokio::time::{self, Instant};

use super::settling::settled;
use crate::backplane::Error;

/// For each of the two ways. A notice is a hint, and a person with a phone waits.
const TELL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a server that refused sharded pub/sub (Redis 6.2, or an ACL of before) is not asked again.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Publishes what scripts leave to it.
#[derive(Debug)]
pub(super) struct Notices {
    client: Client,
    refused_at: Mutex<Option<Instant>>,
}

impl Notices {
    pub(super) fn by(client: Client) -> Self {
        Self { client, refused_at: Mutex::default() }
    }

    /// Who publishes a move's notice, as the scripts understand it.
    pub(super) fn teller(&self) -> Value {
        let refused = *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_refused = refused.is_some_and(|at| at.elapsed() < REFUSED_FOR);
        if self.client.is_clustered() && !is_refused { "caller".into() } else { "script".into() }
    }

    /// Publishes what a script returned: an inbox, a blank, and what to say there; or nothing. Telling again does no harm.
    pub(super) async fn tell(&self, notice: &str) {
        let Some((inbox, words)) = notice.split_once(' ') else { return };
        match time::timeout(TELL_TIMEOUT, self.tell_the_node(inbox, words)).await {
            Ok(Ok(1..)) => return,
            // It subscribed by broadcast only, for it is older, or its slot has just moved; or it is not there any more.
            Ok(Ok(0)) => {}
            Ok(Err(Error::Unavailable(error))) if is_refused(&error) => {
                tracing::info!(%error, "notices are broadcast: see docs/redis.md, \"Notices\"");
                *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            Ok(Err(_)) | Err(_) => tracing::debug!("the inbox's node does not answer: a notice is broadcast"),
        }
        let broadcast = self.client.publish::<(), _, _>(inbox, words);
        if !matches!(time::timeout(TELL_TIMEOUT, broadcast).await, Ok(Ok(()))) {
            tracing::debug!("a notice may be lost; its record will be read");
        }
    }

    async fn tell_the_node(&self, inbox: &str, words: &str) -> Result<u64, Error> {
        settled(TELL_TIMEOUT, || async {
            self.client.spublish(inbox, words).await.map_err(Error::Unavailable)
        })
        .await
    }
}

/// Whether the server does not know the command, or does not let us use it.
pub(super) fn is_refused(error: &FredError) -> bool {
    ["ERR unknown command", "NOPERM"].iter().any(|why| error.details().starts_with(why))
}
