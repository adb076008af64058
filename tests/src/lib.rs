//! The harness: real parts, started and broken on command. Linux only, with what `tests/run` installs.
//!
//! * [`patience`]: no test waits for ever, and none sleeps for luck.
//! * [`child`]: a process that does not outlive the test. [`relay`]: a network that can be cut, held and slowed.
//! * [`redis`]: Redis, alone and as a Cluster, and what it is asked. [`replica`]: a backplane as one process has it,
//!   every call bounded. [`on_every_backplane!`]: one suite over all of them.
//! * [`program`]: our own binaries, built and run as an operator runs them. [`nginx`], [`tls`]: what stands before
//!   them.
//! * [`stack`]: all of it together. [`browser`], [`application`]: who uses it; [`chromium`]: a
//!   person who does. The phone is the stack's simulator, or [`wechatpy`], another hand's.
//!   [`doctor`]: who is asked when it does not work. [`collector`]: who is sent the traces. [`load`]: what plays many of them.
//! * [`kubernetes`]: the manifests, as they are applied.
//! * [`chaos`]: many of them, while everything breaks that can.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a harness that fails takes its test with it")]

pub mod application;
pub mod browser;
pub mod chaos;
pub mod child;
pub mod chromium;
pub mod collector;
pub mod doctor;
pub mod http;
pub mod kubernetes;
pub mod load;
pub mod loopback;
pub mod metrics;
pub mod nginx;
pub mod patience;
pub mod program;
pub mod prometheus;
pub mod redis;
pub mod relay;
pub mod replica;
pub mod stack;
mod suite;
pub mod tls;
pub mod wechatpy;
