//! Whether the settings are complete and well-formed, and the ones that are and should not be so.

use crate::console;
use crate::report::Finding;
use crate::settings::{Deployment, Wrapping};

const NAME: &str = "settings";
/// What 128 random bits take in base64.
const REDEEM_SECRET_MIN: usize = 22;
/// Variables that are named when none of a program's is there.
const NAMED: usize = 2;

/// Every problem has a line, then each program without one, then what works and is unwise.
pub(super) fn check(deployment: &Deployment) -> Vec<Finding> {
    let mut findings: Vec<Finding> = deployment
        .problems
        .iter()
        .map(|problem| {
            Finding::fail_as_said(NAME, format!("{}: {}", problem.services.join(", "), problem.invalid))
        })
        .collect();
    for service in &deployment.services {
        let name = service.name;
        if !service.expected {
            let own = service.own.iter().filter(|variable| !variable.ends_with("_FILE"));
            let own: Vec<&str> = own.take(NAMED).map(String::as_str).collect();
            let why = format!("none of the {name}'s own settings is here ({}, …)", own.join(", "));
            findings.push(Finding::skip(NAME, format!("{why}: run doctor again where they are")));
        } else if !deployment.problems.iter().any(|problem| problem.services.contains(&name)) {
            findings.push(Finding::ok(NAME, format!("{name}: complete")));
        }
    }
    findings.extend(redeem_secret(deployment));
    findings.extend(plain_mode(deployment));
    findings
}

fn redeem_secret(deployment: &Deployment) -> Option<Finding> {
    let Ok(secret) = &deployment.redeem_secret else { return None };
    let remedy = "set REDEEM_SECRET at the gateways and at your application's server, 32 random bytes: \
                  openssl rand -base64 32";
    match secret.as_ref().map(|secret| secret.expose().len()) {
        None => {
            let found =
                "REDEEM_SECRET is not set: nobody can redeem a code, so no application learns who logged in";
            Some(Finding::warn(NAME, found, remedy))
        }
        Some(length) if length < REDEEM_SECRET_MIN => {
            let found =
                format!("REDEEM_SECRET is shorter than {REDEEM_SECRET_MIN} characters: it can be guessed");
            Some(Finding::warn(NAME, found, remedy))
        }
        Some(_) => None,
    }
}

fn plain_mode(deployment: &Deployment) -> Option<Finding> {
    let Ok(Wrapping::Plain) = &deployment.wrapping else { return None };
    let found = "the message mode is plain: the signature does not cover what is pushed, so whoever sees one push \
                 can forge others and log in as anybody";
    let remedy = format!(
        "{} > 消息加解密方式: choose 安全模式, then set WECHAT_MESSAGE_MODE=safe and WECHAT_ENCODING_AES_KEY. A test \
         account (测试号) has no such choice: use it for tests only",
        console::SERVER
    );
    Some(Finding::warn(NAME, found, remedy))
}
