//! The QR code as a picture: drawn by us, so that the browser asks nobody else.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code, as the standard asks (ISO/IEC 18004, "quiet zone").
const QUIET_ZONE: usize = 4;

/// `content` as an SVG in a data URI, a few kilobytes long; `None` if it is too long for any QR code.
///
/// One stroke of height 1 for each run of dark modules: a third of the size of a square for each module.
#[must_use]
pub fn data_uri(content: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(content, EcLevel::M).ok()?;
    let width = code.width();
    let size = width + 2 * QUIET_ZONE;
    let mut path = String::with_capacity(width * width * 3);
    for (row, modules) in code.to_colors().chunks(width).enumerate() {
        let mut column = 0;
        let mut pen = None;
        for run in modules.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                match pen {
                    None => path.push_str(&format!("M{} {}.5", column + QUIET_ZONE, row + QUIET_ZONE)),
                    Some(from) => path.push_str(&format!("m{} 0", column - from)),
                }
                path.push_str(&format!("h{}", run.len()));
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
        let code = QrCode::with_error_correction_level(content, EcLevel::M).unwrap();
        let mut drawn = vec![Color::Light; code.width() * code.width()];
        for line in path.split('M').skip(1) {
            let (start, strokes) = line.split_once('h').unwrap();
            let (x, y) = start.split_once(' ').unwrap();
            let row = y.strip_suffix(".5").unwrap().parse::<usize>().unwrap() - QUIET_ZONE;
            let mut column = x.parse::<usize>().unwrap() - QUIET_ZONE;
            for stroke in strokes.split('h') {
                let (length, gap) = stroke.split_once('m').unwrap_or((stroke, "0 0"));
                let length: usize = length.parse().unwrap();
                drawn[row * code.width() + column..][..length].fill(Color::Dark);
                column += length + gap.strip_suffix(" 0").unwrap().parse::<usize>().unwrap();
            }
        }
        assert!(drawn == code.to_colors());
    }

    #[test]
    fn what_fits_no_qr_code_has_no_picture() {
        assert!(data_uri(&"x".repeat(3000)).is_none());
    }
}
