//! A network that can be cut, held and slowed: a TCP relay in front of a server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time;

/// Bytes that a held direction takes from the sender before the kernel's buffers begin to fill.
const CHUNK: usize = 16 * 1024;

/// Where a relay leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// A Unix socket, which need not exist yet.
    Unix(PathBuf),
    /// An address, which need not listen yet.
    Tcp(SocketAddr),
}

/// A way through a relay, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Replies,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Goes up with every cut; a connection of an older number is closed.
    cuts: u64,
    refuses: bool,
    holds_requests: bool,
    holds_replies: bool,
    delay: Duration,
    /// A connection of an older number passes nothing any more.
    forsaken: u64,
}

impl State {
    fn holds(self, direction: Direction) -> bool {
        match direction {
            Direction::Requests => self.holds_requests,
            Direction::Replies => self.holds_replies,
        }
    }
}

/// A relay on a port of its own. It ends, and all its connections with it, when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: AbortHandle,
}

impl Relay {
    /// Begins to relay to `target`.
    pub async fn to(target: Target) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), target).await
    }

    /// As [`Self::to`], at an address that was chosen before.
    pub async fn at(address: SocketAddr, target: Target) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, observed) = watch::channel(State::default());
        let task = tokio::spawn(accept(listener, target, observed)).abort_handle();
        Self { address, state, task }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and every new one at once. Nothing that the server sends afterwards passes.
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.refuses = true;
        });
    }

    /// Passes nothing on any more of the connections that there are, for good, and tells nobody: the server's machine is gone. New
    /// ones are let through.
    pub fn forsake(&self) {
        self.state.send_modify(|state| state.forsaken += 1);
    }

    /// Lets new connections through, and whatever was held.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            *state = State { cuts: state.cuts, forsaken: state.forsaken, ..State::default() };
        });
    }

    /// Accepts everything and passes nothing on in `direction`, as a network does that drops packets; the senders
    /// notice nothing. What was held arrives when the relay heals, unless it is cut before.
    pub fn hold(&self, direction: Direction) {
        self.state.send_modify(|state| match direction {
            Direction::Requests => state.holds_requests = true,
            Direction::Replies => state.holds_replies = true,
        });
    }

    /// Holds both directions.
    pub fn hold_all(&self) {
        self.hold(Direction::Requests);
        self.hold(Direction::Replies);
    }

    /// Passes everything on this much later, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Target, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let now = *state.borrow();
        if !now.refuses {
            connections.spawn(connection(client, target.clone(), state.clone(), now.cuts));
        }
    }
}

/// One connection, until either side or a cut ends it.
async fn connection(client: TcpStream, target: Target, state: watch::Receiver<State>, cuts: u64) {
    let mut observed = state.clone();
    tokio::select! {
        biased;
        // An error means that the relay is gone, and its connections with it.
        _ = observed.wait_for(|state| state.cuts != cuts) => {}
        // The client sees the end of the connection, whatever ended it.
        _ = carry(client, target, state) => {}
    }
}

async fn carry(mut client: TcpStream, target: Target, state: watch::Receiver<State>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (to_server, to_client) = (state.clone(), state);
    let (from_client, into_client) = client.split();
    match target {
        Target::Unix(path) => {
            let mut server = UnixStream::connect(path).await?;
            let (from_server, into_server) = server.split();
            tokio::try_join!(
                pass(from_client, into_server, to_server, Direction::Requests),
                pass(from_server, into_client, to_client, Direction::Replies),
            )?;
        }
        Target::Tcp(address) => {
            let mut server = TcpStream::connect(address).await?;
            server.set_nodelay(true)?;
            let (from_server, into_server) = server.split();
            tokio::try_join!(
                pass(from_client, into_server, to_server, Direction::Requests),
                pass(from_server, into_client, to_client, Direction::Replies),
            )?;
        }
    }
    Ok(())
}

/// Passes bytes on in one direction until its sender ends it.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    direction: Direction,
) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    let forsaken = state.borrow().forsaken;
    loop {
        let read = from.read(&mut chunk).await?;
        let passes = |state: &State| !state.holds(direction) && state.forsaken == forsaken;
        let open = state.wait_for(passes).await.map_err(io::Error::other)?.delay;
        if !open.is_zero() {
            time::sleep(open).await;
        }
        if read == 0 {
            return into.shutdown().await;
        }
        into.write_all(&chunk[..read]).await?;
    }
}
