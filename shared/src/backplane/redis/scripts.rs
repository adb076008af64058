//! The moves: a script each, known to the server by its hash.

use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::LuaInterface;
use fred::types::scripts::Script;
use fred::types::{FromValue, Value};
use tokio::time;

use super::settling::settled;
use crate::backplane::Error;

/// One move. Two of them fit into the 4.5 s within which the phone must have its answer.
pub(super) const MOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a move waits for its slot to settle: a try more fits into its time.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_millis(1500);

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) open: Script,
    pub(super) refresh: Script,
    pub(super) resume: Script,
    pub(super) claim: Script,
    pub(super) read: Script,
    pub(super) redeem: Script,
    pub(super) withdraw: Script,
    pub(super) login_count: Script,
    pub(super) take: Script,
    pub(super) restore: Script,
    pub(super) bind: Script,
    pub(super) forget: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            open: Script::from_lua(include_str!("../open.lua")),
            refresh: Script::from_lua(include_str!("../refresh.lua")),
            resume: Script::from_lua(include_str!("../resume.lua")),
            claim: Script::from_lua(include_str!("../claim.lua")),
            read: Script::from_lua(include_str!("../read.lua")),
            redeem: Script::from_lua(include_str!("../redeem.lua")),
            withdraw: Script::from_lua(include_str!("../withdraw.lua")),
            login_count: Script::from_lua(include_str!("../login_count.lua")),
            take: Script::from_lua(include_str!("../take.lua")),
            restore: Script::from_lua(include_str!("../restore.lua")),
            bind: Script::from_lua(include_str!("../bind.lua")),
            forget: Script::from_lua(include_str!("../forget.lua")),
        }
    }
}

/// Makes one move. Where its slot is on its way to another node, it waits up to `patience` for it.
pub(super) async fn evaluate<R: FromValue>(
    client: &Client,
    script: &Script,
    keys: Vec<String>,
    arguments: Vec<Value>,
    patience: Duration,
) -> Result<R, Error> {
    let evaluated = settled(patience, || async {
        match script.evalsha(client, keys.clone(), arguments.clone()).await {
            // The server does not know the script yet, or not any more. To send it along costs a crowd one more
            // command each; to load it first, and on every node of a Cluster, would cost two.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                client.eval(script.lua().cloned().unwrap_or_default(), keys.clone(), arguments.clone()).await
            }
            answer => answer,
        }
        .map_err(Error::Unavailable)
    });
    match time::timeout(MOVE_TIMEOUT, evaluated).await {
        Ok(answer) => read(answer?),
        Err(_) => Err(late()),
    }
}

/// The move was not answered in time.
pub(super) fn late() -> Error {
    Error::Unavailable(FredError::new(ErrorKind::Timeout, "no answer in time"))
}

/// What a move's script said.
pub(super) fn read<R: FromValue>(answer: Value) -> Result<R, Error> {
    answer.convert().map_err(|error| match error.kind() {
        ErrorKind::Parse | ErrorKind::NotFound => Error::Nonsense("a move"),
        _ => Error::Unavailable(error),
    })
}
