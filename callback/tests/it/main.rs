//! The callback as the platform sees it: through its listener, on the memory backplane. Tests are named after the lines
//! of the security checklist where there is one.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, but not in what they share"
)]

mod authenticity;
mod cipher;
mod events;
mod hostile;
mod logs;
mod outages;
mod platform;
mod properties;
mod replay;
mod replies;
mod settings;
mod vectors;
mod verification;
mod wire;
