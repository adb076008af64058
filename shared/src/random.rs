//! The system's randomness, for whatever must not be guessed.

/// `N` random bytes, at most 256.
///
/// # Panics
///
/// The system has no randomness, which cannot happen once it is up: getrandom(2) gives up to 256 bytes without fail.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("getrandom(2) cannot fail for so few bytes once the machine is up");
    bytes
}
