//! The simulator over real sockets, with a small account's server beside it.

#![expect(clippy::unwrap_used, reason = "what a test stands on fails by panic, too")]

mod api;
mod callback;
mod controls;
mod faults;
mod platform;
mod pushes;
