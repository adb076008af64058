//! Which pages may open a session, beside the URL standard: whoever is let in has an origin that the standard calls the
//! same. Lines: the list of settings, `Host`, and an `Origin` each.

#![no_main]

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderValue, ORIGIN};
use fuzz::lines;
use gateway::origin::{Origin, is_allowed};
use libfuzzer_sys::{Corpus, fuzz_target};
use url::Url;

fuzz_target!(|input: &str| -> Corpus {
    let [list, host, origins] = lines(input);
    let allowed: Vec<Origin> = list.split(',').filter_map(|origin| origin.parse().ok()).collect();
    let standard: Vec<Url> =
        list.split(',').filter(|origin| origin.parse::<Origin>().is_ok()).filter_map(url).collect();
    let mut headers = HeaderMap::new();
    let mut given = Vec::new();
    if let (false, Ok(host)) = (host.is_empty(), HeaderValue::from_str(host)) {
        headers.insert(HOST, host);
    }
    for origin in origins.lines() {
        let Ok(value) = HeaderValue::from_str(origin) else { return Corpus::Reject };
        headers.append(ORIGIN, value);
        given.push(origin);
    }
    let is_in = is_allowed(&headers, &allowed);
    let expected = match given[..] {
        [] => Some(true),
        [origin] => url(origin).map(|origin| {
            let own = headers
                .get(HOST)
                .and_then(|host| url(&format!("{}://{}", origin.scheme(), host.to_str().ok()?)));
            let list = if allowed.is_empty() { own.as_slice() } else { &standard };
            list.iter().any(|other| other.origin() == origin.origin())
        }),
        _ => Some(false),
    };
    // The standard knows more spellings than browsers write, so it may be that only we refuse; and what is none to it, no
    // browser sends.
    assert!(!is_in || expected != Some(false), "let in: {headers:?} by {list}");
    let canonical = given
        .iter()
        .all(|origin| url(origin).is_some_and(|url| url.origin().ascii_serialization() == **origin));
    if canonical && !allowed.is_empty() {
        assert_eq!(Some(is_in), expected, "{headers:?} by {list}");
    }
    Corpus::Keep
});

/// What the standard takes for an origin's URL.
fn url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (bare && url.path() == "/").then_some(url)
}
