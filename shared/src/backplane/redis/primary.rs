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
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::connection::{self, FirstTry};
use super::{COMMAND_EVENTS, MalformedUrl};
use crate::random::jittered;
use crate::settings::Secret;

/// Between two rounds of questions, about: what is written to the old primary in between is lost.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Until an answer is asked for again that is another than before. After a failover the Sentinels learn from each other within
/// some hundred milliseconds who the primary is, and until then most of them name the one that died.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);
/// For connecting to a Sentinel and its answer together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two departures from one server, at first and at most.
const LEAVE_EVERY: Duration = Duration::from_secs(5);
const LEAVE_MAX: Duration = Duration::from_secs(60);

/// What the Sentinels said last, where there are any.
#[derive(Clone, Debug)]
pub(super) struct Primary(watch::Receiver<Option<Told>>);

/// Host and port, as the Sentinels write them.
type Address = (String, u16);

/// What most Sentinels say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    primary: Address,
    /// When the first was asked.
    asked: Instant,
    /// When they were asked before that, if they said the same.
    confirms: Option<Instant>,
}

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

    /// Whether `server` is the primary, as most of the Sentinels have said twice in a row since `then`; `None` if they have
    /// not.
    pub(super) fn is(&self, server: &Server, then: Instant) -> Option<bool> {
        let told = self.0.borrow();
        let has_been_said = |told: &&Told| told.confirms.is_some_and(|first| first > then);
        let Told { primary: (host, port), .. } = told.as_ref().filter(has_been_said)?;
        Some((&*server.host, server.port) == (host, *port))
    }
}

async fn ask_for_ever(sentinels: &mut [Sentinel], told: &watch::Sender<Option<Told>>) {
    loop {
        let asked = Instant::now();
        let answers = join_all(sentinels.iter_mut().map(Sentinel::ask)).await;
        let now = agreed(&answers).map(|primary| {
            let same =
                told.borrow().as_ref().filter(|known| known.primary == primary).map(|known| known.asked);
            Told { primary, asked, confirms: same }
        });
        let is_news = now.as_ref().is_some_and(|now| now.confirms.is_none());
        told.send_replace(now);
        time::sleep(if is_news { CONFIRM_AFTER } else { jittered(ASK_EVERY) }).await;
    }
}

/// What more than half of all say. One alone may be cut off, or have been away.
fn agreed(answers: &[Option<Address>]) -> Option<Address> {
    let votes = |address: &Address| answers.iter().flatten().filter(|other| *other == address).count();
    answers.iter().flatten().find(|address| 2 * votes(address) > answers.len()).cloned()
}

/// When connections were left because another server is the primary. The library asks Sentinels that need not be those of the
/// URL, and may be led back by one that has not heard of it.
#[derive(Debug, Default)]
pub(super) struct Departures {
    last: Option<(Server, Instant)>,
    pause: Duration,
}

impl Departures {
    /// Whether a connection to `server`, which is not the primary, is to be left now.
    pub(super) fn leaves(&mut self, server: &Server) -> Leaves {
        let again = match &self.last {
            Some((_, at)) if at.elapsed() < self.pause => return Leaves::NotNow,
            Some((last, _)) => last == server,
            None => false,
        };
        self.pause = if again { (self.pause * 2).min(LEAVE_MAX) } else { LEAVE_EVERY };
        self.last = Some((server.clone(), Instant::now()));
        if again { Leaves::Again } else { Leaves::Now }
    }

    /// The connection is where it should be.
    pub(super) fn arrived(&mut self) {
        *self = Self::default();
    }
}

/// What [`Departures`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// It was left a moment ago.
    NotNow,
    Now,
    /// And the last time led back to it.
    Again,
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
        let (client, is_new) = match self.client.take() {
            Some(client) => (client, false),
            None => (connection::built(self.config.clone(), COMMAND_EVENTS, 1, None).ok()?, true),
        };
        let question = CustomCommand::new_static("SENTINEL", ClusterHash::FirstKey, false);
        let asked = async {
            if is_new {
                client.init().await.ok()?;
            }
            client.custom(question, vec!["get-master-addr-by-name", &self.service]).await.ok()
        };
        match time::timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Some(address)) => {
                self.client = Some(client);
                Some(address)
            }
            // The others are not kept waiting for it.
            _ => {
                tokio::spawn(leave(client));
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

    const SECOND: Duration = Duration::from_secs(1);

    fn servers() -> (Server, Server) {
        (Server::new("10.0.0.1", 6379), Server::new("10.0.0.2", 6379))
    }

    #[test]
    fn most_of_the_sentinels_say_who_the_primary_is() {
        let (old, new) = servers();
        let address = |server: &Server| Some((server.host.to_string(), server.port));
        let now = Instant::now();
        let is_old = |answers: &[Option<Address>]| {
            let (asked, confirms) = (now + 2 * SECOND, Some(now + SECOND));
            let told = agreed(answers).map(|primary| Told { primary, asked, confirms });
            Primary(watch::channel(told).1).is(&old, now)
        };
        assert_eq!(is_old(&[address(&new), None, address(&new)]), Some(false));
        assert_eq!(is_old(&[address(&new), address(&old), address(&new)]), Some(false));
        assert_eq!(is_old(&[address(&old), address(&new), address(&old)]), Some(true));
        assert_eq!(is_old(&[address(&new)]), Some(false));
        for undecided in
            [[None, address(&new), None], [None, None, None], [address(&new), address(&old), None]]
        {
            assert_eq!(is_old(&undecided), None, "{undecided:?}");
        }
        assert_eq!(is_old(&[address(&Server::new("10.0.0.1", 6380))]), Some(false));
    }

    #[test]
    fn what_was_said_once_or_before_a_connection_says_nothing_of_it() {
        let (old, new) = servers();
        let first = Instant::now();
        let is_new = |confirms: Option<Instant>, then: Instant| {
            let (primary, asked) = ((old.host.to_string(), old.port), first + SECOND);
            Primary(watch::channel(Some(Told { primary, asked, confirms })).1).is(&new, then)
        };
        let before = first.checked_sub(SECOND).unwrap();
        assert_eq!(is_new(Some(first), before), Some(false));
        assert_eq!(is_new(Some(first), first), None);
        assert_eq!(is_new(None, before), None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_led_back_leaves_ever_less_often() {
        let ((old, new), mut departures) = (servers(), Departures::default());
        assert_eq!(departures.leaves(&old), Leaves::Now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let begin = Instant::now();
            while departures.leaves(&old) == Leaves::NotNow {
                time::advance(SECOND).await;
            }
            pauses.push(begin.elapsed().as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        // Another one, for the first time, as soon as it may.
        time::advance(60 * SECOND).await;
        assert_eq!(departures.leaves(&new), Leaves::Now);
        departures.arrived();
        assert_eq!(departures.leaves(&new), Leaves::Now);
    }
}
