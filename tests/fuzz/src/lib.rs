//! What the fuzz targets share: an account that they may sign and encrypt for, and second opinions, which read the same
//! bytes as the product does without any of its code.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::connect_info::MockConnectInfo;

pub mod account;
pub mod cipher;
pub mod form;
pub mod gateway;
pub mod xml;

/// A router whose requests come from this machine, which no listener says here.
#[must_use]
pub fn from_here(router: Router) -> Router {
    router.layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))))
}

/// Splits an input at the first line that is only `--`; the second part is empty where there is none.
#[must_use]
pub fn sections(text: &str) -> (&str, &str) {
    text.split_once("\n--\n").unwrap_or((text, ""))
}

/// The lines of an input, as many as wanted; the last one is the rest, the missing ones are empty.
#[must_use]
pub fn lines<const N: usize>(text: &str) -> [&str; N] {
    let mut lines = text.splitn(N, '\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default())
}
