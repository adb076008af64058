//! The QR code as a picture: drawn by us, so that the browser asks nobody else.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code, as the standard asks (ISO/IEC 18004, "quiet zone").
const QUIET_ZONE: usize = 4;

/// `content` as an SVG in a data URI, a few kilobytes long; `None` if it is too long for any QR code.
///
/// One stroke of height 1 for each run of dark modules: a third of the size of a square for each module.
#[must_use]
pub fn data_uri(content: &str) -> Option<String> {
    let code = QrCode::encode_text(content, QrCodeEcc::Medium).ok()?;
    let rows = modules(&code);
    let size = rows.len() + 2 * QUIET_ZONE;
    let mut path = String::with_capacity(rows.len() * rows.len() * 3);
    for (row, modules) in rows.iter().enumerate() {
        let mut column = 0;
        let mut pen = None;
        for run in modules.chunk_by(|a, b| a == b) {
            if run[0] {
                match pen {
                    None => {
                        push(&mut path, 'M', column + QUIET_ZONE);
                        push(&mut path, ' ', row + QUIET_ZONE);
                        path.push_str(".5");
                    }
                    Some(from) => {
                        push(&mut path, 'm', column - from);
                        path.push_str(" 0");
                    }
                }
                push(&mut path, 'h', run.len());
                pen = Some(column + run.len());
            }
            column += run.len();
        }
    }
    // Percent-encoded by hand: only `<`, `>` and `#` cannot stand in a data URI, and `'` needs no escape in JSON.
    Some(format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {size} {size}' \
         shape-rendering='crispEdges'%3E%3Cpath fill='white' d='M0 0h{size}v{size}H0z'/%3E\
         %3Cpath stroke='black' d='{path}'/%3E%3C/svg%3E"
    ))
}

/// Its rows, dark modules true.
fn modules(code: &QrCode) -> Vec<Vec<bool>> {
    let range = 0..code.size();
    range.clone().map(|y| range.clone().map(|x| code.get_module(x, y)).collect()).collect()
}

/// Appends a command and a number below 1,000: a code has 177 modules at the most. Formatting them took longer than all else
/// that the picture needs.
fn push(path: &mut String, command: char, number: usize) {
    path.push(command);
    let digits = [number / 100 % 10, number / 10 % 10, number % 10];
    let leading = digits.iter().take(2).take_while(|digit| **digit == 0).count();
    path.extend(
        digits.iter().skip(leading).filter_map(|&digit| char::from_digit(u32::try_from(digit).ok()?, 10)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws what the path says, as a browser would, and compares it module by module.
    #[test]
    fn the_picture_has_exactly_the_dark_modules() {
        let content = "http://weixin.qq.com/q/02w5ewATrlcNF1pHD2xy1Q";
        let uri = data_uri(content).unwrap();
        assert!(uri.len() < 4096, "{} bytes", uri.len());
        let path = uri.rsplit("d='").next().unwrap().split('\'').next().unwrap();
        let rows = modules(&QrCode::encode_text(content, QrCodeEcc::Medium).unwrap());
        let mut drawn = vec![vec![false; rows.len()]; rows.len()];
        for line in path.split('M').skip(1) {
            let (start, strokes) = line.split_once('h').unwrap();
            let (x, y) = start.split_once(' ').unwrap();
            let row = y.strip_suffix(".5").unwrap().parse::<usize>().unwrap() - QUIET_ZONE;
            let mut column = x.parse::<usize>().unwrap() - QUIET_ZONE;
            for stroke in strokes.split('h') {
                let (length, gap) = stroke.split_once('m').unwrap_or((stroke, "0 0"));
                let length: usize = length.parse().unwrap();
                drawn[row][column..][..length].fill(true);
                column += length + gap.strip_suffix(" 0").unwrap().parse::<usize>().unwrap();
            }
        }
        assert!(drawn == rows);
    }

    #[test]
    fn numbers_are_written_without_leading_zeros() {
        let mut path = String::new();
        for number in [0, 7, 10, 42, 100, 109, 185] {
            push(&mut path, 'h', number);
        }
        assert_eq!(path, "h0h7h10h42h100h109h185");
    }

    #[test]
    fn what_fits_no_qr_code_has_no_picture() {
        assert!(data_uri(&"x".repeat(3000)).is_none());
    }
}
