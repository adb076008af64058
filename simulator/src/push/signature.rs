//! The platform's signatures (docs/wechat.md, "Signatures").

use sha1::{Digest, Sha1};

/// SHA-1 over the parts sorted by their bytes and joined, in lower-case hex. Over token, timestamp and nonce it is
/// `signature`, which does not cover the body; with the `Encrypt` text as well it is `msg_signature`.
pub(crate) fn sign(parts: &[&str]) -> String {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    Sha1::digest(sorted.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::cipher::tests::vectors;

    #[test]
    fn signatures_of_all_published_vectors_are_reproduced() {
        let (mut plain, mut encrypted) = (0, 0);
        for vector in vectors() {
            let (token, timestamp, nonce) = (&*vector.token, &*vector.timestamp, &*vector.nonce);
            if let Some(signature) = &vector.signature {
                assert_eq!(sign(&[token, timestamp, nonce]), *signature, "{}", vector.id);
                plain += 1;
            }
            if let (Some(signature), Some(encrypt)) = (&vector.msg_signature, &vector.encrypt) {
                assert_eq!(sign(&[token, timestamp, nonce, encrypt]), *signature, "{}", vector.id);
                encrypted += 1;
            }
        }
        assert!(plain >= 6 && encrypted >= 9, "{plain} {encrypted}");
    }
}
