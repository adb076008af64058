//! Names, nonces and secrets from the system's randomness.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct Error(#[from] getrandom::Error);

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 128 random bits in 22 characters of base64url.
pub(crate) fn id() -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<16>()?))
}

/// `length` random letters and digits.
pub(crate) fn alphanumeric(length: usize) -> Result<String, Error> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let more = URL_SAFE_NO_PAD.encode(bytes::<48>()?);
        text.extend(more.chars().filter(char::is_ascii_alphanumeric).take(length - text.len()));
    }
    Ok(text)
}

/// `N` random bytes in lower-case hex.
pub(crate) fn hex<const N: usize>() -> Result<String, Error> {
    Ok(bytes::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A whole number without leading zero, as the platform's nonces and echo strings are.
pub(crate) fn digits() -> Result<String, Error> {
    Ok((u64::from_be_bytes(bytes()?) | 1 << 62).to_string())
}

/// A nonce of up to ten digits, such as the platform sends.
pub(crate) fn nonce() -> Result<String, Error> {
    Ok(u32::from_be_bytes(bytes()?).to_string())
}

/// The openid of somebody new: 28 characters that start with `o` (docs/wechat.md, "Pushes").
pub(crate) fn openid() -> Result<String, Error> {
    Ok(format!("oSim0{}", alphanumeric(23)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_have_the_platforms_shapes() {
        assert_eq!(id().unwrap().len(), 22);
        assert_eq!(openid().unwrap().len(), 28);
        assert_eq!(hex::<16>().unwrap().len(), 32);
        let echo = digits().unwrap();
        assert!(echo.len() == 19 || echo.len() == 20);
        assert!(alphanumeric(43).unwrap().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(id().unwrap(), id().unwrap());
    }
}
