//! The domain: one login as a record, the moves it can make, and the secrets around it.
//!
//! [`LoginRecord`] is the state machine in plain Rust: the memory backplane runs it as it is, and the Redis scripts are
//! held to it by the conformance suite.

mod ids;
mod record;

pub use ids::{Code, CodeHash, ConnectionId, OpenId, RecordId, Scene, SessionId, Ticket};
pub(crate) use record::millis;
pub use record::{Claim, Deadlines, LoginRecord, LoginState, Owner, QrCode, Refresh, Scan, Timestamp};
