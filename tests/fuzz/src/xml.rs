//! A second opinion on XML, by another library.

use roxmltree::{Document, Error, Node};

/// What a document is by the other library.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading<const N: usize> {
    /// Not well-formed, or with namespaces, in which the product does not think.
    NoOpinion,
    /// It has a document type.
    Doctype,
    /// Well-formed, but not of the platform's shape.
    OtherShape,
    /// The texts of the wanted fields, their line ends made one.
    Fields([Option<String>; N]),
}

/// Reads what `callback::xml::read` reads.
#[must_use]
pub fn read<const N: usize>(document: &[u8], wanted: [&str; N]) -> Reading<N> {
    let Ok(text) = std::str::from_utf8(document) else { return Reading::NoOpinion };
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(Error::DtdDetected) => return Reading::Doctype,
        Err(_) => return Reading::NoOpinion,
    };
    // It takes `</:xml>` for `</xml>`, a declaration without a version for an instruction, and a reference to what is no
    // character for U+FFFD.
    let odd = |node: Node<'_, '_>| {
        let end = text[node.range()].rsplit_once("</").map_or("", |(_, end)| end);
        node.tag_name().namespace().is_some()
            || node.namespaces().len() > 1
            || node.is_element() && (end.starts_with(':') || text[node.range()].starts_with("<:"))
            || replacements(&node) > text[node.range()].matches('\u{fffd}').count()
            || node.pi().is_some_and(|instruction| instruction.target == "xml")
    };
    if document.descendants().any(odd) {
        return Reading::NoOpinion;
    }
    fields(&document, wanted).map_or(Reading::OtherShape, Reading::Fields)
}

fn fields<const N: usize>(document: &Document<'_>, wanted: [&str; N]) -> Option<[Option<String>; N]> {
    let root = document.root_element();
    let nodes = || document.descendants().skip(1);
    let elements = nodes().filter(Node::is_element);
    // The document itself is one of an element's ancestors, and so is the element.
    let deepest = elements.clone().map(|element| element.ancestors().count() - 1).max();
    let in_shape = nodes().all(|node| node.is_element() || node.is_text())
        && root.has_tag_name("xml")
        && deepest.is_some_and(|depth| depth <= 8)
        && elements.count() <= 1024
        && root.children().filter(Node::is_text).all(|text| is_blank(text.text().unwrap_or_default()));
    let mut found = [const { None }; N];
    for (at, name) in wanted.into_iter().enumerate() {
        for field in root.children().filter(|child| child.has_tag_name(name)) {
            if !field.children().all(|child| child.is_text()) || found[at].is_some() {
                return None;
            }
            found[at] =
                Some(one_line_end(&field.children().filter_map(|child| child.text()).collect::<String>()));
        }
    }
    in_shape.then_some(found)
}

/// How often a node's texts say U+FFFD.
fn replacements(node: &Node<'_, '_>) -> usize {
    let texts = node.children().filter(Node::is_text).filter_map(|text| text.text());
    texts.map(|text| text.matches('\u{fffd}').count()).sum()
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// XML makes every line end one character, which the product has no use for.
#[must_use]
pub fn one_line_end(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
