//! Texts that others wrote (servers, proxies, the platform), made fit to be shown: on one line, short, without our
//! secrets, which whatever we sent may come back with.

use shared::settings::Secret;

/// Longest text of others that is shown, in characters.
const SHOWN_MAX: usize = 240;
/// Stands in for a secret.
const HIDDEN: &str = "[hidden]";
/// A secret that is shorter is not looked for: it would be found in half of all words. None that is well-formed is, but
/// for passwords of Redis.
const SOUGHT_MIN: usize = 3;

/// Knows what must not be shown.
#[derive(Default)]
pub(crate) struct Foreign {
    /// Longest first, so that no part of one is left when another is found in it.
    secrets: Vec<String>,
}

impl Foreign {
    /// Hides these.
    pub(crate) fn hiding(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .flat_map(|secret| [vec![secret.expose().to_owned()], parts(secret.expose())].concat())
            .filter(|secret| secret.len() >= SOUGHT_MIN)
            .collect();
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// `text` as it may be shown.
    pub(crate) fn show(&self, text: &str) -> String {
        let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        for secret in &self.secrets {
            text = text.replace(secret, HIDDEN);
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// The secrets within a secret: keys that were given together, and the passwords of a URL, as it is written.
fn parts(secret: &str) -> Vec<String> {
    let keys = secret.split(',').map(str::to_owned);
    let user_info = secret.split_once("://").and_then(|(_, rest)| Some(rest.rsplit_once('@')?.0));
    let password = user_info.and_then(|user_info| user_info.split_once(':')).map(|(_, password)| password);
    let sentinels = secret.split(['?', '&']).filter_map(|pair| pair.strip_prefix("sentinelPassword="));
    keys.chain(password.into_iter().chain(sentinels).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_come_back_are_hidden() {
        let foreign = Foreign::hiding(
            [
                "app-secret",
                "key-one,key-two",
                "redis://user:pass%40word@host:6379/1",
                "redis-sentinel://:p4ss@h:1?sentinelServiceName=m&sentinelPassword=s3nt",
            ]
            .map(Secret::new),
        );
        let shown = foreign.show("a app-secret b key-two c pass%40word d p4ss e s3nt f host");
        assert_eq!(shown, "a [hidden] b [hidden] c [hidden] d [hidden] e [hidden] f host");
        assert_eq!(foreign.show("key-one,key-two"), HIDDEN);
    }

    #[test]
    fn a_foreign_text_is_short_and_on_one_line() {
        let foreign = Foreign::hiding([Secret::new("ab")]);
        assert_eq!(foreign.show("cab\r\n  \x1b[31mred"), "cab [31mred");
        let shown = foreign.show(&"微".repeat(1000));
        assert!(shown.ends_with('…') && shown.chars().count() == SHOWN_MAX + 1);
    }
}
