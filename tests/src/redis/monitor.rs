//! What a server is asked, as its own `MONITOR` tells.

use std::collections::BTreeMap;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use uuid::Uuid;

use super::{RedisServer, socket_in};
use crate::patience::within;

/// A listener to everything that clients send. What scripts do within the server is left out.
#[derive(Debug)]
pub struct RedisMonitor {
    lines: Lines<BufReader<ChildStdout>>,
    _listener: Child,
}

impl RedisServer {
    /// Begins to listen.
    pub async fn monitor(&self) -> RedisMonitor {
        let mut listener = Command::new("redis-cli");
        listener.arg("-s").arg(socket_in(self.directory.path())).arg("monitor");
        listener.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut listener = listener.spawn().unwrap();
        let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
        let first = within("the monitor", lines.next_line()).await.unwrap();
        assert_eq!(first.as_deref(), Some("OK"));
        RedisMonitor { lines, _listener: listener }
    }
}

impl RedisMonitor {
    /// The commands that `server` was sent since the beginning, or since this was last asked, and how often.
    pub async fn heard(&mut self, server: &RedisServer) -> BTreeMap<String, u64> {
        let (mark, mut heard) = (Uuid::new_v4().to_string(), BTreeMap::new());
        server.ask(&["ECHO", &mark]).await;
        loop {
            // TIME [DATABASE CLIENT] "COMMAND" "ARGUMENT"…
            let line = within("the monitor", self.lines.next_line()).await.unwrap().unwrap();
            if line.contains(&mark) {
                return heard;
            }
            let (client, command) = line.split_once("] \"").unwrap();
            let command = command.split('"').next().unwrap().to_lowercase();
            if !client.ends_with(" lua") {
                *heard.entry(command).or_default() += 1;
            }
        }
    }
}
