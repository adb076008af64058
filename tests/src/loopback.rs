//! Addresses that nobody else has, for servers that cannot choose a port themselves.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port that is given away; all stay below those that the kernel hands out.
const FIRST_PORT: u16 = 7000;
const PORTS: u16 = 10_000;

/// This process's own address: process ids have at most 22 bits, and 127.64.0.0/10 is all loopback.
#[must_use]
pub fn address() -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 0)) | (std::process::id() & 0x003f_ffff))
}

/// The first of `number` ports of [`address`] that are given to nobody else, in this process or another.
#[must_use]
pub fn ports(number: u16) -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let given = GIVEN.fetch_add(number, Ordering::Relaxed);
    assert!(given + number < PORTS, "too many servers for one process");
    FIRST_PORT + given
}

/// An address with a port that is given to nobody else.
#[must_use]
pub fn socket_address() -> SocketAddr {
    (address(), ports(1)).into()
}
