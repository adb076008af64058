//! Templates and the replies made from them. Lines: the nickname, and the template.

#![no_main]

use callback::reply::{self, NotATemplate, Replies, Template};
use callback::xml;
use fuzz::lines;
use fuzz::xml::{Reading, one_line_end, read as second};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let [nickname, text] = lines(input);
    let template = Template::parse_counting(text);
    assert_eq!(template.as_ref().err(), fill(text, nickname, 7).as_ref().err());
    let plain = Template::parse(text);
    assert_eq!(plain.is_ok(), template.is_ok() && !text.replace("\\n", "\n").contains("{count}"));
    let Ok(template) = template else { return };
    let longest = writable(&fill(text, nickname, u64::MAX).unwrap());
    let checked = template.check(nickname);
    assert_eq!(
        checked,
        match longest.len() {
            _ if longest.trim().is_empty() => Err(NotATemplate::Empty),
            2001.. => Err(NotATemplate::TooLong),
            _ => Ok(()),
        }
    );
    let t = || template.clone();
    let replies =
        Replies { nickname: nickname.to_owned(), success: t(), used: t(), retry: t(), greeting: t() };
    for (shown, count) in
        [(replies.success(7), 7), (replies.used(), 0), (replies.retry(), 0), (replies.greeting(), 0)]
    {
        assert_eq!(shown, fill(text, nickname, count).unwrap());
        let reply = reply::text(nickname, text, count, &shown);
        let wanted = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"];
        let read = xml::read(reply.as_bytes(), wanted).unwrap();
        let written =
            [writable(nickname), writable(text), count.to_string(), "text".to_owned(), writable(&shown)];
        assert_eq!(read, written.map(Some));
        let line_ends = read.map(|field| field.as_deref().map(one_line_end));
        assert_eq!(second(reply.as_bytes(), wanted), Reading::Fields(line_ends), "{reply}");
        if checked.is_ok() {
            assert!(writable(&shown).len() <= 2000 && !writable(&shown).trim().is_empty());
        }
    }
});

/// What the template comes to, read from left to right.
fn fill(text: &str, nickname: &str, count: u64) -> Result<String, NotATemplate> {
    if text.trim().is_empty() {
        return Err(NotATemplate::Empty);
    }
    let (mut filled, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let (piece, length) = if let Some(behind) = rest.strip_prefix('{') {
            let end = behind.find('}').ok_or(NotATemplate::UnknownPlaceholder)?;
            let piece = match &behind[..end] {
                "nickname" => nickname.to_owned(),
                "count" => count.to_string(),
                _ => return Err(NotATemplate::UnknownPlaceholder),
            };
            (piece, end + 2)
        } else if rest.starts_with("\\n") {
            ("\n".to_owned(), 2)
        } else {
            (first.to_string(), first.len_utf8())
        };
        filled.push_str(&piece);
        rest = &rest[length..];
    }
    Ok(filled)
}

/// What XML 1.0 has a way to write.
fn writable(text: &str) -> String {
    let odd = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(odd, "")
}
