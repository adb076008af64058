//! The system's randomness, as far as a driver needs it.

use std::io;

/// Random bytes.
///
/// # Errors
///
/// The system gives none.
pub(crate) fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A number from 0 up to but not including 1, for jitter; without randomness the middle.
#[must_use]
pub(crate) fn fraction() -> f64 {
    let number = bytes().map_or(1 << 31, u32::from_be_bytes);
    f64::from(number) / (f64::from(u32::MAX) + 1.0)
}
