//! The system's randomness, for whatever must not be guessed, and for what must not happen everywhere at once.

use std::time::Duration;

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

/// A number from 0 to 1.
#[must_use]
pub fn fraction() -> f64 {
    f64::from(u32::from_ne_bytes(bytes())) / f64::from(u32::MAX)
}

/// Between half and one and a half times as long, by lot.
#[must_use]
pub fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.5 + fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_roll_dice_of_their_own() {
        let rolls: Vec<f64> = (0..1000).map(|_| fraction()).collect();
        assert!(rolls.iter().all(|roll| (0.0..=1.0).contains(roll)));
        assert!(rolls.iter().any(|roll| *roll < 0.2) && rolls.iter().any(|roll| *roll > 0.8));
    }
}
