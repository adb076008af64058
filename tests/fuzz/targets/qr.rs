//! The picture of a QR code: whatever is drawn, another library reads it back, and no part of the content gets into the
//! markup.

#![no_main]

use gateway::qr::data_uri;
use libfuzzer_sys::fuzz_target;
use rqrr::{Grid, SimpleGrid};

const QUIET_ZONE: usize = 4;

fuzz_target!(|content: &str| {
    let Some(uri) = data_uri(content) else {
        assert!(content.len() > 1600, "{} bytes have no picture", content.len());
        return;
    };
    let size: usize = between(&uri, "viewBox='0 0 ", " ").parse().unwrap();
    let width = size - 2 * QUIET_ZONE;
    assert!(uri.len() < 400 + width * width * 3, "{} bytes for {width} modules", uri.len());
    let path = between(&uri, "stroke='black' d='", "'");
    assert_eq!(uri, AROUND.replace("SIZE", &size.to_string()).replace("PATH", path));
    let modules = draw(path, width);
    let grid = SimpleGrid::from_func(width, |x, y| modules[y * width + x]);
    let mut read = Vec::new();
    let read = Grid::new(grid).decode_to(&mut read).map(|_| read);
    assert_eq!(read.unwrap(), content.as_bytes(), "{content:?}");
});

const AROUND: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 SIZE SIZE' \
    shape-rendering='crispEdges'%3E%3Cpath fill='white' d='M0 0hSIZEvSIZEH0z'/%3E\
    %3Cpath stroke='black' d='PATH'/%3E%3C/svg%3E";

fn between<'t>(text: &'t str, before: &str, behind: &str) -> &'t str {
    text.split_once(before).unwrap().1.split_once(behind).unwrap().0
}

/// Draws what the path says, as a browser would: a move, then strokes and gaps.
fn draw(path: &str, width: usize) -> Vec<bool> {
    let mut modules = vec![false; width * width];
    for line in path.split('M').skip(1) {
        let (start, strokes) = line.split_once('h').unwrap();
        let (x, y) = start.split_once(' ').unwrap();
        let row = y.strip_suffix(".5").unwrap().parse::<usize>().unwrap() - QUIET_ZONE;
        let mut column = x.parse::<usize>().unwrap() - QUIET_ZONE;
        for stroke in strokes.split('h') {
            let (length, gap) = stroke.split_once('m').unwrap_or((stroke, "0 0"));
            let length: usize = length.parse().unwrap();
            assert!(column + length <= width);
            modules[row * width + column..][..length].fill(true);
            column += length + gap.strip_suffix(" 0").unwrap().parse::<usize>().unwrap();
        }
    }
    modules
}
