//! What a ticket is made of (docs/wechat.md, "Tickets"): the QR code's text and two times, and nothing secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Head of every published ticket.
const MAGIC: [u8; 2] = [0x81, 0x01];
/// Magic, checksum and length.
const HEAD: usize = 12;
/// Tags of the payload's three fields, each followed by the field's length.
const URL: u8 = 1;
const CREATED: u8 = 2;
const EXPIRES: u8 = 3;

/// The ticket of a code with this text, made at `created` (Unix seconds) for `expire_seconds`. The text has at most 254
/// bytes, which [`crate::account::Account`] sees to.
pub(crate) fn encode(url: &str, created: u32, expire_seconds: u32) -> String {
    let length = u8::try_from(url.len() + 1).unwrap_or(u8::MAX);
    let mut payload = vec![URL, length];
    payload.extend_from_slice(url.as_bytes());
    payload.extend_from_slice(&[0, CREATED, 4]);
    payload.extend_from_slice(&created.to_le_bytes());
    payload.extend_from_slice(&[EXPIRES, 4]);
    payload.extend_from_slice(&expire_seconds.to_le_bytes());

    let mut ticket = MAGIC.to_vec();
    ticket.extend_from_slice(&checksum(&payload));
    ticket.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    ticket.extend(payload);
    STANDARD.encode(ticket)
}

/// The text of the code that a ticket belongs to; `None` for what is no ticket. Whether there is such a code is another
/// question.
pub(crate) fn url(ticket: &str) -> Option<String> {
    let bytes = STANDARD.decode(ticket).ok()?;
    let (head, payload) = bytes.split_at_checked(HEAD)?;
    if !head.starts_with(&MAGIC) || head[2..4] != checksum(payload) {
        return None;
    }
    let length = usize::from(*payload.get(1)?).checked_sub(1)?;
    String::from_utf8(payload.get(2..2 + length)?.to_vec()).ok()
}

/// All bits of the signed bytes' sum turned over, the lower half of it.
fn checksum(payload: &[u8]) -> [u8; 2] {
    let sum = payload.iter().fold(0_i32, |sum, byte| sum.wrapping_add(i32::from(byte.cast_signed())));
    let [low, next, ..] = (!sum).to_le_bytes();
    [low, next]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_tickets_are_reproduced_byte_for_byte() {
        let ticket = encode("http://weixin.qq.com/q/02w5ewATrlcNF1pHD2xy1Q", 1_648_535_343, 60);
        assert_eq!(
            ticket,
            "gQGv7zwAAAAAAAAAAS5odHRwOi8vd2VpeGluLnFxLmNvbS9xLzAydzVld0FUcmxjTkYxcEhEMnh5MVEAAgQvp0JiAwQ8AAAA"
        );
    }

    #[test]
    fn a_ticket_tells_its_text_and_nothing_else_does() {
        let ticket = encode("http://localhost:8082/q/02abc", 1, 2);
        assert_eq!(url(&ticket).as_deref(), Some("http://localhost:8082/q/02abc"));
        let mut broken = ticket.into_bytes();
        broken[20] ^= 1;
        assert_eq!(url(&String::from_utf8(broken).unwrap()), None);
        assert_eq!(url(""), None);
        assert_eq!(url("gQGv"), None);
    }
}
