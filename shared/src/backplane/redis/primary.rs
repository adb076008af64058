//! Who the primary is, as the Sentinels know it.
//!
//! A primary that is not dead when another takes its place (an operator had them change places, it hung, or was cut off)
//! goes on as a primary until a Sentinel makes it a replica, and what it is told meanwhile is lost. That takes 8 s at least
//! (`SENTINEL_PUBLISH_PERIOD * 4`, redis/src/sentinel.c, `sentinelRefreshInstanceInfo`); it followed after 10 to 18 s. Clients
//! learn of it when it closes their connections (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>).

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::{Config, Server, ServerConfig};
use fred::types::{ClusterHash, CustomCommand, RespVersion};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::connection::{self, FirstTry};
use super::{COMMAND_EVENTS, MalformedUrl};
use crate::random::jittered;
use crate::settings::Secret;

/// Between two rounds of questions, about: what is written to the old primary in between is lost.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// For connecting to a Sentinel, and for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What the Sentinels said last, where there are any.
#[derive(Clone, Debug)]
pub(super) struct Primary(watch::Receiver<Option<Address>>);

/// Host and port, as the Sentinels write them.
type Address = (String, u16);

impl Primary {
    /// Begins to ask, if the URL names Sentinels, until `tasks` ends.
    pub(super) fn follow(url: &Secret, tasks: &CancellationToken) -> Result<Self, MalformedUrl> {
        let (told, heard) = watch::channel(None);
        let mut sentinels = Sentinel::all(connection::config(url, FirstTry::Counts)?);
        if !sentinels.is_empty() {
            let tasks = tasks.clone();
            tokio::spawn(async move {
                tasks.run_until_cancelled(ask_for_ever(&mut sentinels, &told)).await;
                join_all(sentinels.into_iter().filter_map(|sentinel| sentinel.client).map(leave)).await;
            });
        }
        Ok(Self(heard))
    }

    /// Whether all Sentinels that can be asked say that the primary is another than `server`.
    pub(super) fn is_another_than(&self, server: &Server) -> bool {
        let told = self.0.borrow();
        told.as_ref().is_some_and(|(host, port)| (&*server.host, server.port) != (host, *port))
    }
}

async fn ask_for_ever(sentinels: &mut [Sentinel], told: &watch::Sender<Option<Address>>) {
    loop {
        let answers = join_all(sentinels.iter_mut().map(Sentinel::ask)).await;
        told.send_replace(agreed(answers));
        time::sleep(jittered(ASK_EVERY)).await;
    }
}

/// What all say who answer. While one of them has not heard of a new primary yet, it could lead whoever leaves the old one
/// back to it.
fn agreed(answers: Vec<Option<Address>>) -> Option<Address> {
    let mut heard = answers.into_iter().flatten();
    let first = heard.next()?;
    heard.all(|other| other == first).then_some(first)
}

/// One of them, and the connection to it, if there is one.
struct Sentinel {
    config: Config,
    service: String,
    client: Option<Client>,
}

impl Sentinel {
    /// Those that a configuration names.
    fn all(config: Config) -> Vec<Self> {
        let ServerConfig::Sentinel { hosts, service_name, username, password } = config.server else {
            return Vec::new();
        };
        let sentinel = |server| Self {
            config: Config {
                server: ServerConfig::Centralized { server },
                username: username.clone(),
                password: password.clone(),
                tls: config.tls.clone(),
                version: RespVersion::RESP2,
                fail_fast: true,
                ..Config::default()
            },
            service: service_name.clone(),
            client: None,
        };
        hosts.into_iter().map(sentinel).collect()
    }

    /// Its answer, if there is one in time. Its errors are nobody's trouble: the connections to Redis have their own.
    async fn ask(&mut self) -> Option<Address> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        let question = CustomCommand::new_static("SENTINEL", ClusterHash::FirstKey, false);
        let asked = client.custom(question, vec!["get-master-addr-by-name", &self.service]);
        match time::timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(address)) => {
                self.client = Some(client);
                Some(address)
            }
            _ => {
                leave(client).await;
                None
            }
        }
    }

    async fn connect(&self) -> Option<Client> {
        let client = connection::built(self.config.clone(), COMMAND_EVENTS, 1, None).ok()?;
        match time::timeout(ANSWER_TIMEOUT, client.init()).await {
            Ok(Ok(_)) => Some(client),
            _ => {
                leave(client).await;
                None
            }
        }
    }
}

/// Nothing hangs on the answer.
async fn leave(client: Client) {
    let _ = time::timeout(ANSWER_TIMEOUT, client.quit()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_left_when_all_sentinels_that_answer_name_another_primary() {
        let (old, new) = (Server::new("10.0.0.1", 6379), Server::new("10.0.0.2", 6379));
        let address = |server: &Server| Some((server.host.to_string(), server.port));
        let is_left =
            |answers: Vec<Option<Address>>| Primary(watch::channel(agreed(answers)).1).is_another_than(&old);
        assert!(is_left(vec![address(&new), None, address(&new)]));
        assert!(!is_left(vec![address(&new), address(&old), address(&new)]));
        assert!(!is_left(vec![address(&old), None, address(&old)]));
        assert!(!is_left(vec![None, None, None]));
        let other_port = Server::new("10.0.0.1", 6380);
        assert!(is_left(vec![address(&other_port)]));
    }
}
