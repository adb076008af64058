//! The load driver's history, and the checker that reads it.

pub mod checker;
pub mod history;
pub mod recorder;
