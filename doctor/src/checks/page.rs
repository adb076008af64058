//! Whether browsers get the login page, and through to a gateway with a WebSocket.

mod socket;

use gateway::origin::Origin;
use reqwest::{StatusCode, Url};

use self::socket::Greeting;
use super::callback::{Unverified, Verified};
use crate::outside::Outside;
use crate::report::Finding;
use crate::settings::Deployment;

const NAME: &str = "page";
/// What the login page has and others have not.
const ELEMENT: &str = "<scan-login";

/// The page, then the socket. Neither makes a QR code.
pub(super) async fn check(deployment: &Deployment, verified: &Result<Verified, Unverified>) -> Vec<Finding> {
    let url = match &deployment.public_url {
        Ok(url) => url,
        Err(why) => return vec![Finding::skip(NAME, why)],
    };
    let same_host = deployment.callback_url.as_ref().is_ok_and(|callback| callback.origin() == url.origin());
    if same_host && matches!(verified, Err(Unverified::Unreachable)) {
        return vec![Finding::skip(NAME, "nobody answers there: see callback")];
    }
    let outside = match Outside::of(url) {
        Ok(outside) => outside,
        Err(failure) => return vec![Finding::fail(NAME, failure.to_string(), failure.remedy())],
    };
    let answer = match outside.ask(outside.http().get(url.clone())).await {
        Ok(answer) => answer,
        Err(failure) => {
            let found = format!("{url}: {failure}");
            return vec![Finding::fail(NAME, found, failure.remedy())];
        }
    };
    let page = if answer.status == StatusCode::OK && answer.text().contains(ELEMENT) {
        Finding::ok(NAME, format!("{url} shows the login page"))
    } else {
        let found = format!("{url} does not show the login page: {}", answer.words(&deployment.foreign));
        let remedy = match answer.target() {
            Some(_) => "give doctor the URL to which it leads, as --public-url",
            None => "the proxy must send everything but /wechat/callback to the gateways (port 8080)",
        };
        Finding::fail(NAME, found, remedy)
    };
    vec![page, web_socket(deployment, &outside, url).await]
}

async fn web_socket(deployment: &Deployment, outside: &Outside, url: &Url) -> Finding {
    let origin = url.origin().ascii_serialization();
    let refused = match socket::open(outside, url, Some(&origin)).await {
        Ok(greeting) => return greeted(deployment, greeting),
        Err(refused) => refused,
    };
    // Without an Origin it is no browser's request, which the gateway lets in: so the page's origin was the reason.
    if refused.status() == Some(StatusCode::FORBIDDEN) && socket::open(outside, url, None).await.is_ok() {
        return foreign_origin(deployment, &origin);
    }
    let found = format!("a WebSocket to /ws is refused: {}", refused.words(&deployment.foreign));
    Finding::fail(NAME, found, refused.remedy())
}

fn greeted(deployment: &Deployment, greeting: Greeting) -> Finding {
    match greeting {
        Greeting::Well => {
            Finding::ok(NAME, "a WebSocket to /ws gets through to a gateway: 101, and it answers")
        }
        Greeting::NoBackplane => Finding::fail(
            NAME,
            "a WebSocket to /ws gets through, and the gateway does not reach its Redis",
            "see REDIS_URL of the gateways, and /readyz on their port 9090",
        ),
        Greeting::Other(text) => Finding::fail(
            NAME,
            format!("a WebSocket to /ws is opened, and answers {}", deployment.foreign.show(&text)),
            "is it a gateway that answers there? The proxy must send /ws to the gateways (port 8080)",
        ),
        Greeting::Nothing => Finding::fail(
            NAME,
            "a WebSocket to /ws is opened, and nothing comes through it",
            "the proxy must pass on what comes after the upgrade, at once (nginx: proxy_http_version 1.1, and no \
             proxy_buffering)",
        ),
    }
}

/// The gateway lets others in than the pages of its own host.
fn foreign_origin(deployment: &Deployment, origin: &str) -> Finding {
    let found = format!("pages of {origin} may not log in: the gateway refuses their WebSocket (403)");
    let own: Option<Origin> = origin.parse().ok();
    match &deployment.allowed_origins {
        Ok(allowed) if !allowed.is_empty() && !own.is_some_and(|own| allowed.contains(&own)) => {
            let remedy = format!(
                "ALLOWED_ORIGINS names others only: add {origin} if the hosted page is used, else all is well"
            );
            Finding::warn(NAME, found, remedy)
        }
        Ok(allowed) if allowed.is_empty() => Finding::fail(
            NAME,
            found,
            "the proxy changes Host, by which the gateway knows its own pages: pass it on, with its port (nginx: \
             proxy_set_header Host $http_host)",
        ),
        _ => Finding::fail(
            NAME,
            found,
            format!(
                "add {origin} to the gateways' ALLOWED_ORIGINS; where that is not set, the proxy changes Host: pass \
                 it on, with its port (nginx: proxy_set_header Host $http_host)"
            ),
        ),
    }
}
