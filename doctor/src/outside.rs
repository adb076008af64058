//! Asking the deployment from outside, as the platform and browsers do: without a proxy, following nobody.

mod failure;

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::time::Instant;

pub(crate) use self::failure::{Failure, NO_NAME};
use crate::foreign::Foreign;

/// The platform gives up after so long, be it connecting or waiting for the answer (docs/wechat.md, "Delivery").
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read. The callback's are far below; of a page the beginning will do.
const BODY_MAX: usize = 64 * 1024;
/// As the platform calls itself (docs/wechat.md, "Pushes"), for firewalls that look at it.
const USER_AGENT: &str = "Mozilla/4.0";

/// A client that comes from outside.
#[derive(Debug)]
pub(crate) struct Outside {
    http: Client,
}

impl Outside {
    /// A client for `url`.
    pub(crate) fn of(url: &Url) -> Result<Self, Failure> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE);
        if url.scheme() == "http" {
            // There is no certificate to check, and a machine without any can do without.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { http: builder.build().map_err(|_| Failure::NoCertificates)? })
    }

    /// Where requests begin.
    pub(crate) fn http(&self) -> &Client {
        &self.http
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let asked = Instant::now();
        let response = request.send().await.map_err(|error| Failure::of(&error))?;
        Answer::read(response, asked).await
    }
}

/// An answer, whoever gave it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its first 64 KiB.
    pub(crate) body: Vec<u8>,
    /// From the request to the answer's last byte.
    pub(crate) elapsed: Duration,
}

impl Answer {
    /// Reads the rest of an answer to what was asked then.
    pub(crate) async fn read(mut response: Response, asked: Instant) -> Result<Self, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Failure::of(&error))? {
            body.extend_from_slice(&chunk[..chunk.len().min(BODY_MAX - body.len())]);
            if body.len() == BODY_MAX {
                break;
            }
        }
        Ok(Self { status, headers, body, elapsed: asked.elapsed() })
    }

    /// What it is, in a few words: its status, where a redirect leads, what kind of thing the body is.
    pub(crate) fn words(&self, foreign: &Foreign) -> String {
        let status = self.status.as_u16();
        if let Some(target) = self.target() {
            return format!("a redirect ({status}) to {}", foreign.show(&target));
        }
        let body = match (self.body.is_empty(), self.title()) {
            (true, _) => "without a body".to_owned(),
            (false, Some(title)) if title.is_empty() => "with an HTML page".to_owned(),
            (false, Some(title)) => format!("with an HTML page, titled \"{}\"", foreign.show(&title)),
            (false, None) => format!("with the body {}", foreign.show(&self.text())),
        };
        format!("status {status} {body}")
    }

    /// Where a redirect leads, without its query: that is ours, with our signature.
    pub(crate) fn target(&self) -> Option<String> {
        let location = self.status.is_redirection().then(|| self.headers.get(LOCATION)).flatten()?;
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        Some(location.split(['?', '#']).next().unwrap_or_default().to_owned())
    }

    /// The title of an HTML page, empty if it has none; `None` for anything else.
    pub(crate) fn title(&self) -> Option<String> {
        let text = self.text();
        let lower = text.to_ascii_lowercase();
        if !lower.contains("<html") && !lower.contains("<!doctype html") {
            return None;
        }
        // Lower case of ASCII alone, so that both texts have the same offsets.
        let begin = lower.find("<title").and_then(|tag| Some(tag + lower[tag..].find('>')? + 1));
        let title = begin.and_then(|begin| Some(&text[begin..begin + lower[begin..].find("</title")?]));
        Some(title.unwrap_or_default().trim().to_owned())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// How far the server's clock is from ours, to the second, as far as it tells.
    pub(crate) fn skew(&self) -> Option<Duration> {
        let (theirs, ours) = (date(&self.headers)?, SystemTime::now());
        Some(theirs.duration_since(ours).unwrap_or_else(|behind| behind.duration()))
    }

    #[cfg(test)]
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Self {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
            elapsed: Duration::ZERO,
        }
    }
}

/// What a server believes the time to be; whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(status: u16, headers: &[(&str, &str)], body: &str) -> String {
        Answer::new(status, headers, body).words(&Foreign::default())
    }

    #[test]
    fn an_answer_is_told_in_a_few_words() {
        assert_eq!(words(404, &[], ""), "status 404 without a body");
        assert_eq!(words(200, &[], "\"123\"\n"), "status 200 with the body \"123\"");
        let page = "<!DOCTYPE html><HTML><head><Title lang=zh> 登录 </TITLE></head>";
        assert_eq!(words(200, &[], page), "status 200 with an HTML page, titled \"登录\"");
        assert_eq!(words(502, &[], "<html><body>bad</body></html>"), "status 502 with an HTML page");
        assert_eq!(words(200, &[], "<html><title>cut off"), "status 200 with an HTML page");
    }

    #[test]
    fn the_target_of_a_redirect_is_shown_without_our_signature() {
        let to = [("location", "https://login.example.com/wechat/callback/?signature=abc&nonce=1#x")];
        assert_eq!(
            words(301, &to, "moved"),
            "a redirect (301) to https://login.example.com/wechat/callback/"
        );
        assert_eq!(words(200, &to, ""), "status 200 without a body");
    }
}
