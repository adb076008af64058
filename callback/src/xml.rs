//! A strict reader for the platform's XML: one `<xml>` whose children are fields. What the platform never sends (a
//! DOCTYPE, entities of its own, comments, processing instructions, a second root) is refused, not skipped.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

/// The platform's deepest message, a list in a list in a field, has five levels (docs/wechat.md, "Events").
const DEPTH_MAX: usize = 8;
/// Far above any message of the platform's; bounds the work that one push can ask for.
const ELEMENTS_MAX: usize = 1024;

/// Not the XML that the platform sends. Says why, without a word of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// The texts of the fields named in `wanted`, in that order; `None` for those that are not there. A wanted field is
/// there at most once and holds nothing but text; all others are skipped. A text is as long as the document at most,
/// and the document's length is the caller's to bound.
///
/// # Errors
///
/// Not UTF-8, not well-formed, not of that shape, or beyond the bounds on depth and number of elements.
pub fn read<const N: usize>(document: &[u8], wanted: [&str; N]) -> Result<[Option<String>; N], Malformed> {
    let document = std::str::from_utf8(document).map_err(|_| Malformed("it is not UTF-8"))?;
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk { wanted, found: [const { None }; N], field: None, depth: 0, elements: 0 };
    loop {
        match reader.read_event().map_err(|_| Malformed("it is not well-formed XML"))? {
            Event::Start(tag) => walk.enter(tag.name().as_ref())?,
            Event::End(_) => walk.leave(),
            Event::Text(text) => walk.add(&text)?,
            Event::CData(text) => walk.add(&text)?,
            Event::GeneralRef(reference) => walk.add(resolve(&reference)?.encode_utf8(&mut [0; 4]))?,
            Event::Decl(_) if walk.elements == 0 => {}
            Event::Eof if walk.depth == 0 && walk.elements > 0 => return Ok(walk.found),
            Event::Eof => return Err(Malformed("it ends too early")),
            Event::DocType(_) => return Err(Malformed("it has a DOCTYPE")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {
                return Err(Malformed("it has comments or instructions"));
            }
        }
    }
}

/// Where the reader is in the document, and what it has found.
struct Walk<'w, const N: usize> {
    wanted: [&'w str; N],
    found: [Option<String>; N],
    /// The wanted field that the reader is in.
    field: Option<usize>,
    depth: usize,
    elements: usize,
}

impl<const N: usize> Walk<'_, N> {
    fn enter(&mut self, name: &str) -> Result<(), Malformed> {
        if self.depth == 0 && (self.elements > 0 || name != "xml") {
            return Err(Malformed("its root is not one <xml>"));
        }
        self.depth += 1;
        self.elements += 1;
        if self.depth > DEPTH_MAX || self.elements > ELEMENTS_MAX {
            return Err(Malformed("it is nested too deep or has too many elements"));
        }
        if self.depth == 2 {
            self.field = self.wanted.iter().position(|wanted| *wanted == name);
        }
        match self.field.map(|field| self.found[field].replace(String::new())) {
            Some(Some(_)) => Err(Malformed("a field is doubled or has elements in it")),
            _ => Ok(()),
        }
    }

    fn leave(&mut self) {
        // The reader refuses an end tag that nothing opened.
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 1 {
            self.field = None;
        }
    }

    fn add(&mut self, text: &str) -> Result<(), Malformed> {
        if let Some(found) = self.field.and_then(|field| self.found[field].as_mut()) {
            found.push_str(text);
        } else if self.depth < 2 && !text.chars().all(is_blank) {
            return Err(Malformed("there is text between the fields"));
        }
        Ok(())
    }
}

/// XML's white space.
pub(crate) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// The character behind `&#20320;` or `&amp;`. There are no other references without a DOCTYPE.
fn resolve(reference: &BytesRef<'_>) -> Result<char, Malformed> {
    let character = match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character),
        Ok(None) => resolve_predefined_entity(reference).and_then(|text| text.chars().next()),
        Err(_) => None,
    };
    character.ok_or(Malformed("it refers to an unknown entity"))
}
