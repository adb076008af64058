//! Durations and the API's address, as operators write them.

#![no_main]

use std::time::Duration;

use gateway::settings::api_base;
use libfuzzer_sys::fuzz_target;
use shared::settings::{duration, lifetime};
use url::Url;

fuzz_target!(|text: &str| {
    let read = duration(text).ok();
    if let Some(read) = read {
        let written = humantime::format_duration(read).to_string();
        assert_eq!(duration(&written).ok(), Some(read), "{written}");
        assert!(read.is_zero() || text.chars().any(char::is_alphabetic), "a number without its unit");
    }
    let bounds = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
    assert_eq!(lifetime(text).ok(), read.filter(|read| bounds.contains(read)));

    let Ok(base) = api_base(text) else { return };
    let (given, call) =
        (Url::parse(text).unwrap(), Url::parse(&format!("{base}/cgi-bin/user/info")).unwrap());
    assert!(matches!(call.scheme(), "http" | "https") && call.query().is_none() && call.fragment().is_none());
    assert!(call.username().is_empty() && call.password().is_none(), "it is printed");
    assert_eq!(call.origin(), given.origin());
    assert_eq!(call.path(), format!("{}/cgi-bin/user/info", given.path().trim_end_matches('/')), "{base:?}");
    assert_eq!(
        base.starts_with("http://"),
        given.scheme() == "http",
        "the proxy and the certificates depend on it"
    );
});
