//! What both services must agree on, or both need to start and stop. Code moves in when the second service uses
//! it, not before.
//!
//! * [`login`]: the domain. The login record, its moves, and the secrets around it; imports nothing of ours.
//! * [`backplane`]: what joins the replicas. One contract, two implementations: Redis and memory.
//! * [`settings`], [`telemetry`], [`shutdown`], [`admin`], [`metrics`], [`serve`]: from the first line of `main` to the last;
//!   [`healthcheck`]: asking a program that runs. [`traces`]: what a login took, and where.
//! * [`client`]: whose request it is, behind proxies. [`throttle`]: log lines that strangers can cause. [`random`]: the
//!   system's randomness. [`day`]: the platform's days.

pub mod admin;
pub mod backplane;
pub mod client;
pub mod day;
pub mod healthcheck;
pub mod login;
pub mod metrics;
pub mod random;
pub mod serve;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod throttle;
pub mod traces;
