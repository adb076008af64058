//! Whether the callback can be reached at its URL, answers the platform's verification to the letter, and believes
//! nobody else (docs/wechat.md, "URL verification").

mod reach;

use std::time::Duration;

use reqwest::Url;

use crate::console::SERVER;
use crate::foreign::Foreign;
use crate::outside::{Answer, Failure, Outside, PATIENCE};
use crate::push;
use crate::report::{Finding, in_milliseconds};
use crate::settings::Deployment;

const NAME: &str = "callback";
/// Of the platform's five seconds; the callback itself takes up to 4.2 s when Redis is away.
const SLOW: Duration = Duration::from_secs(3);

/// A callback that was verified, so that its Token is ours and its clock is near ours.
pub(super) struct Verified {
    pub(super) outside: Outside,
    pub(super) url: Url,
}

/// Why nothing more can be asked of the callback.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unverified {
    /// It was not asked.
    #[error("{0}")]
    NotAsked(String),
    /// There is no HTTP answer at its host.
    #[error("the callback cannot be reached")]
    Unreachable,
    /// Its host is there, and says nothing under its path. That tells nothing of the other paths.
    #[error("the callback does not answer")]
    Silent,
    /// Somebody answers, but not as the callback should.
    #[error("the callback does not pass its verification")]
    Wrong,
}

impl Unverified {
    /// What a call without an answer says, made after a connection was.
    fn after(failure: &Failure) -> Self {
        match failure {
            Failure::Silent | Failure::Broken(_) => Self::Silent,
            // Of the whole host, so that nothing else need be asked there.
            Failure::NoCertificates
            | Failure::NoName
            | Failure::Refused
            | Failure::Certificate { .. }
            | Failure::Tls(_) => Self::Unreachable,
        }
    }
}

/// What was found, and the callback if it is one.
pub(super) async fn check(deployment: &Deployment) -> (Vec<Finding>, Result<Verified, Unverified>) {
    let url = match &deployment.callback_url {
        Ok(url) => url.clone(),
        Err(why) => return (vec![Finding::skip(NAME, why)], Err(Unverified::NotAsked(why.clone()))),
    };
    let mut findings = reach::check(deployment, &url).await;
    if findings.iter().any(Finding::is_fail) {
        return (findings, Err(Unverified::Unreachable));
    }
    let verified = verify(deployment, url, &mut findings).await;
    (findings, verified)
}

/// Makes the platform's call, and one that is not the platform's.
async fn verify(
    deployment: &Deployment,
    url: Url,
    findings: &mut Vec<Finding>,
) -> Result<Verified, Unverified> {
    let token = deployment.token.as_ref().map_err(|why| {
        findings.push(Finding::skip(NAME, format!("the verification cannot be signed: {why}")));
        Unverified::NotAsked(why.clone())
    })?;
    let (query, echostr) = push::verification(token);
    let asked = async {
        let outside = Outside::of(&url)?;
        let answer = outside.ask(outside.http().get(url.clone()).query(&query)).await?;
        Ok::<_, Failure>((outside, answer))
    };
    let (outside, answer) = asked.await.map_err(|failure| {
        let found =
            format!("the verification: {failure}; the platform gives up after {} s", PATIENCE.as_secs());
        findings.push(Finding::fail(NAME, found, failure.remedy()));
        Unverified::after(&failure)
    })?;
    findings.push(verification(deployment, &answer, &echostr));
    if findings.iter().any(Finding::is_fail) {
        return Err(Unverified::Wrong);
    }
    let (query, echostr) = push::verification(&push::another_token());
    findings.push(match outside.ask(outside.http().get(url.clone()).query(&query)).await {
        Err(failure) => Finding::fail(NAME, failure.to_string(), failure.remedy()),
        Ok(answer) => forgery(&deployment.foreign, &answer, &echostr),
    });
    Ok(Verified { outside, url })
}

/// What the platform would say to this answer.
fn verification(deployment: &Deployment, answer: &Answer, echostr: &str) -> Finding {
    let foreign = &deployment.foreign;
    if answer.status == 200 && answer.body == echostr.as_bytes() {
        let found = format!(
            "passes the platform's verification: 200, the echostr byte for byte, within {}",
            in_milliseconds(answer.elapsed)
        );
        return slowness(NAME, found, answer);
    }
    if answer.status == 200 {
        let (found, remedy) = wrong_echo(foreign, answer, echostr);
        return Finding::fail(NAME, format!("the verification is answered wrongly: {found}"), remedy);
    }
    let found = format!("the verification is answered with {}", answer.words(foreign));
    Finding::fail(NAME, found, status_remedy(deployment, answer))
}

/// Something that is well, unless it takes nearly as long as the platform waits.
pub(super) fn slowness(check: &'static str, found: String, answer: &Answer) -> Finding {
    if answer.elapsed < SLOW {
        return Finding::ok(check, found);
    }
    let limit = PATIENCE.as_secs();
    let remedy = format!(
        "the platform gives up after {limit} s: look at the way from the internet to the callback, at its load, and \
         at Redis"
    );
    Finding::warn(check, format!("{found}, which is slow"), remedy)
}

/// What came with status 200 in the place of the echostr.
fn wrong_echo(foreign: &Foreign, answer: &Answer, echostr: &str) -> (String, String) {
    let untouched =
        "let the path through untouched: no login wall, no \"are you human\" page, no other web site";
    let text = answer.text();
    if let Some(title) = answer.title() {
        let titled =
            if title.is_empty() { String::new() } else { format!(", titled \"{}\"", foreign.show(&title)) };
        return (format!("an HTML page instead of the echostr{titled}"), untouched.to_owned());
    }
    let only = "the body must be the echostr and nothing else: is it another program that answers, or does a proxy \
                change answers?";
    let found = if text.is_empty() {
        "an empty body instead of the echostr".to_owned()
    } else if text.trim() == format!("\"{echostr}\"") {
        "the echostr in quotes, as JSON".to_owned()
    } else if text.trim() == echostr {
        "the echostr with blanks or line ends around it".to_owned()
    } else if text.contains(echostr) {
        format!("the echostr with something around it: {}", foreign.show(&text))
    } else {
        format!("another text instead of the echostr: {}", foreign.show(&text))
    };
    (found, only.to_owned())
}

/// What to do about a status that is none of the platform's liking.
pub(super) fn status_remedy(deployment: &Deployment, answer: &Answer) -> String {
    match answer.status.as_u16() {
        300..=399 => format!(
            "the platform follows no redirect: answer at this very URL (slash at the end? https?), or set the \
             target in {SERVER} > 服务器地址(URL)"
        ),
        401 | 407 => "somebody asks for a password: let the path through untouched".to_owned(),
        403 if answer.title().is_some() || !answer.body.is_empty() => {
            "not the callback refuses, whose 403 is empty: a firewall or a proxy. Let the path through untouched"
                .to_owned()
        }
        403 => match answer.skew().filter(|skew| *skew > deployment.max_skew) {
            Some(skew) => format!(
                "the callback's clock is {} s off ours, more than CALLBACK_MAX_SKEW: timedatectl set-ntp true",
                skew.as_secs()
            ),
            None => format!(
                "the callback has another Token than these settings: let WECHAT_TOKEN be everywhere what {SERVER} > \
                 令牌(Token) says"
            ),
        },
        404 | 405 => "no callback is there; the gateway answers 404 as well. The proxy must send /wechat/callback to \
                      the callbacks (port 8081), and everything else to the gateways"
            .to_owned(),
        400 if answer.text().contains("HTTPS") => "this port speaks TLS: give the https:// URL".to_owned(),
        429 => "a proxy limits requests: the platform's must not be limited".to_owned(),
        502..=504 => "the proxy does not reach the callback: does it run, and is its address right in the proxy's \
                      configuration?"
            .to_owned(),
        _ => "is it the callback that answers? The proxy must send /wechat/callback to the callbacks (port 8081)"
            .to_owned(),
    }
}

/// What a verification comes to that was signed with another Token.
fn forgery(foreign: &Foreign, answer: &Answer, echostr: &str) -> Finding {
    if answer.status == 403 {
        return Finding::ok(NAME, "refuses a verification with a wrong signature: 403");
    }
    let found =
        format!("a verification with a wrong signature must be answered with 403: {}", answer.words(foreign));
    let remedy = if answer.text().contains(echostr) {
        "whatever answers there believes anybody, so anybody could log in as anybody: it is not scan-login's callback"
    } else {
        "is it the callback that answers?"
    };
    Finding::fail(NAME, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: &str = "7031846219012345678";

    fn answer(status: u16, body: &str) -> Answer {
        Answer::new(status, &[], body)
    }

    fn echoed(body: &str) -> String {
        wrong_echo(&Foreign::default(), &answer(200, body), ECHO).0
    }

    #[test]
    fn what_is_wrong_with_an_echo_is_named() {
        assert!(echoed("").contains("empty"));
        assert!(echoed("\"7031846219012345678\"\n").contains("quotes"));
        assert!(echoed("7031846219012345678\n").contains("line ends"));
        assert!(echoed("ok 7031846219012345678").contains("around it: ok 7031846219012345678"));
        assert!(echoed("{\"error\":1}").contains("another text"));
        assert!(echoed("<!doctype html><title>Sign in</title>").contains("titled \"Sign in\""));
    }

    #[test]
    fn a_403_is_told_from_a_firewalls_and_from_a_wrong_clock() {
        let deployment = Deployment::unknown();
        let remedy =
            |headers: &[(&str, &str)], body| status_remedy(&deployment, &Answer::new(403, headers, body));
        assert!(remedy(&[], "").contains("another Token"));
        assert!(remedy(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")], "").contains("clock"));
        assert!(remedy(&[], "<html>no</html>").contains("firewall"));
    }

    #[test]
    fn a_wrong_signature_must_be_refused() {
        let finding = |status, body| forgery(&Foreign::default(), &answer(status, body), ECHO);
        assert!(!finding(403, "").is_fail());
        for (status, body) in [(200, ECHO), (200, "no"), (401, ""), (404, ""), (302, "")] {
            assert!(finding(status, body).is_fail(), "{status}");
        }
        assert!(finding(200, ECHO).remedy.unwrap().contains("believes anybody"));
    }
}
