//! The accept loop. `axum::serve` has neither a time-out for reading headers nor TCP_NODELAY, and a service on the open
//! internet needs both.

mod progress;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::progress::WithProgress;
use crate::shutdown::Departure;

/// Time for a client to send a request's head, and to send another request on a connection that it keeps.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a client to take anything at all of an answer. Longer than what the gateway gives a browser for a whole
/// message, so that there the gateway decides.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(15);
/// A request's head; more than any browser or proxy sends.
const HEAD_BUFFER: usize = 16 * 1024;
/// Connections that the kernel holds for us while all replicas' browsers come back at once.
const BACKLOG: i32 = 4096;
/// Pause after `accept` failed for want of file descriptors, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the listener called `name` (`public`, `admin`) to what `setting` says, and logs the address that it got: a
/// large backlog for bursts, and an address that can be bound again right after a restart.
///
/// # Errors
///
/// The address is taken, not ours, or not permitted; the message names it and the setting.
pub fn bind(name: &'static str, setting: &str, address: SocketAddr) -> io::Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    let listener = listen().map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => ", where ports below 1024 need a privilege",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address} ({error}): change {setting}{hint}"))
    })?;
    tracing::info!(listener = name, address = %listener.local_addr()?, "listening");
    Ok(listener)
}

/// `bound` as this machine itself reaches it: nobody connects to the address that means all.
#[must_use]
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// Connections that an operators' listener needs at once.
const ADMIN_SOCKETS: usize = 64;

/// A program's two listeners and its way out.
#[derive(Debug)]
pub struct Server {
    /// The public listener.
    pub public: TcpListener,
    /// The operators' listener: it answers until the very end.
    pub admin: TcpListener,
    /// Connections of the public listener, before they are upgraded.
    pub max_sockets: usize,
    /// When and how it leaves.
    pub departure: Departure,
}

impl Server {
    /// Serves both until the program leaves; then waits for the requests under way, and after them for `leave`, until the
    /// grace time is over.
    ///
    /// # Errors
    ///
    /// The accept loop broke, which is a defect.
    pub async fn run(self, public: Router, admin: Router, leave: impl Future<Output = ()>) -> io::Result<()> {
        // Ends with the process: readiness must be told while the program drains, too.
        tokio::spawn(serve(self.admin, admin, ADMIN_SOCKETS, CancellationToken::new()));
        let leaving = self.departure.leaving();
        let mut serving = tokio::spawn(serve(self.public, public, self.max_sockets, leaving.clone()));
        tokio::select! {
            // The accept loop ends by leaving, too: both may be ready, and only one of them is a defect.
            biased;
            () = leaving.cancelled() => {}
            ended = &mut serving => return ended.map_err(io::Error::other),
        }
        let left = async {
            let ended = serving.await;
            leave.await;
            ended
        };
        tokio::select! {
            ended = left => ended.map_err(io::Error::other),
            () = self.departure.over() => {
                tracing::warn!("some connections did not leave within GRACE_TIME");
                Ok(())
            }
        }
    }
}

/// Raises the soft limit of open files to the hard one, and returns it.
#[must_use]
pub fn open_files() -> usize {
    // What the limit is then is not known: the usual one of old systems is the careful guess.
    let files = rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap_or(1024);
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// Serves HTTP/1.1 until `shutdown`, then lets the requests under way finish; the caller bounds that time. At most
/// `max_sockets` connections that are not upgraded exist at once; more wait in the kernel's queue.
///
/// Handlers find the peer's address as [`ConnectInfo<SocketAddr>`]. Upgraded connections are their handler's to track.
pub async fn serve(listener: TcpListener, router: Router, max_sockets: usize, shutdown: CancellationToken) {
    let sockets = Arc::new(Semaphore::new(max_sockets.min(Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    let mut failing = false;
    loop {
        let accept = async {
            let Ok(permit) = sockets.clone().acquire_owned().await else { std::future::pending().await };
            (permit, listener.accept().await)
        };
        let Some((permit, accepted)) = shutdown.run_until_cancelled(accept).await else { break };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    serve_connection(stream, peer, router, shutdown).await;
                    drop(permit);
                });
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "cannot accept connections, trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
    // Fails only on a socket that is closed already, which the next read tells.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(WithProgress::new(stream, PROGRESS_TIMEOUT)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Errors of one connection that was given up before it was accepted, not of the listener.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
