//! Every test of the whole, in one binary: a module per subject.

#![expect(clippy::panic, clippy::unwrap_used, reason = "that is how a test fails")]

mod chromium;
mod conformance;
mod model;
mod outages;
mod platform;
mod redis_names;
