//! The strict reader, beside another XML library: what both take has the same texts, what is well-formed and of the
//! platform's shape is taken, and what is not of that shape is not.

#![no_main]

use callback::xml::read;
use fuzz::xml::{self, Reading, one_line_end};
use libfuzzer_sys::fuzz_target;

const WANTED: [&str; 4] = ["FromUserName", "Event", "EventKey", "Encrypt"];

fuzz_target!(|document: &[u8]| {
    let second = xml::read(document, WANTED);
    let Ok(fields) = read(document, WANTED) else {
        assert!(!matches!(second, Reading::Fields(_)), "refused, but it is {second:?}");
        return;
    };
    let texts: usize = fields.iter().flatten().map(String::len).sum();
    assert!(texts <= document.len(), "{texts} bytes of text out of {}", document.len());
    let one_line_ends = fields.map(|field| field.as_deref().map(one_line_end));
    match second {
        Reading::Fields(others) => assert_eq!(one_line_ends, others),
        Reading::NoOpinion => {}
        Reading::Doctype | Reading::OtherShape => panic!("accepted, but it is {second:?}"),
    }
    let end = document.trim_ascii_end();
    assert!(read(&end[..end.len() - 1], WANTED).is_err(), "accepted without its end");
    assert!(read(&[end, end].concat(), WANTED).is_err(), "accepted twice over");
    let doubled = [&end[..end.len() - "</xml>".len()], b"<Encrypt/><Encrypt/></xml>"].concat();
    assert!(!end.ends_with(b"</xml>") || read(&doubled, WANTED).is_err(), "accepted with a doubled field");
});
