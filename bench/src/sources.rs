//! Where connections come from: many loopback addresses, as many visitors do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};

/// Addresses 127.1.0.1 to 127.1.255.1, each in a network (/24) of its own. With the 28,000 ports of each, there are more
/// than a test of any size needs.
static NEXT: AtomicU8 = AtomicU8::new(0);

/// Connects from the next of the addresses if that is possible, which it is to loopback.
///
/// # Errors
///
/// Nobody listens there, or the system has no more sockets.
pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = match to.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => {
            let socket = TcpSocket::new_v4()?;
            // Without it the kernel looks for a port that is free whatever the destination, and connects crawl.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            let network = NEXT.fetch_add(1, Ordering::Relaxed);
            socket.bind(SocketAddr::new(Ipv4Addr::new(127, 1, network, 1).into(), 0))?;
            socket.connect(to).await?
        }
        _ => TcpStream::connect(to).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}
