//! What the platform sends to the account's server, and what it makes of the answer.

pub(crate) mod cipher;
pub(crate) mod delivery;
pub(crate) mod envelope;
pub(crate) mod message;
pub(crate) mod reply;
pub(crate) mod signature;
pub(crate) mod verdict;
pub(crate) mod verification;
