//! Whether the callback reads what the platform would push: mode, EncodingAESKey, app id and original id. A refusal is
//! an empty 403 whatever its reason, so the reason is found out by asking in other ways.

use callback::cipher::AesKey;
use callback::signature::Token;
use reqwest::StatusCode;

use super::callback::{Unverified, Verified, slowness, status_remedy};
use crate::console::{BASICS, SERVER};
use crate::outside::{Answer, Failure};
use crate::push::{self, Query, UNREADABLE};
use crate::report::Finding;
use crate::settings::{Deployment, Wrapping};

const NAME: &str = "aes/mode";

/// Why the callback refuses a push that is signed as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It is set to the other kind of mode, plain or not.
    Mode,
    /// It cannot decrypt: another EncodingAESKey, or another app id. It answers both alike, and must: whoever could tell
    /// them apart could decrypt with its help.
    KeyOrAppId,
    /// It reads everything, and takes itself for another account.
    OriginalId,
}

/// What came of a push.
#[derive(Debug)]
enum Outcome {
    Answered(Answer),
    Refused(Refusal),
}

/// Pushes an event that changes nothing, and says what cannot be seen from here.
pub(super) async fn check(deployment: &Deployment, verified: &Result<Verified, Unverified>) -> Vec<Finding> {
    let (verified, token, wrapping) = match (verified, &deployment.token, &deployment.wrapping) {
        (Ok(verified), Ok(token), Ok(wrapping)) => (verified, token, wrapping),
        (Err(why), ..) => return vec![Finding::skip(NAME, why.to_string())],
        (_, Err(why), _) | (_, _, Err(why)) => return vec![Finding::skip(NAME, why)],
    };
    let pusher = Pusher { verified, token, original_id: deployment.original_id.as_deref() };
    let outcomes = match (wrapping, &deployment.app_id) {
        (Wrapping::Plain, _) => pusher.plain().await.map(|outcome| vec![outcome]),
        (Wrapping::Safe(keys) | Wrapping::Compatible(keys), Ok(app_id)) => {
            pusher.encrypted(wrapping, keys, app_id).await
        }
        (_, Err(why)) => return vec![Finding::skip(NAME, why)],
    };
    let mut findings = match outcomes {
        Ok(outcomes) => findings(deployment, wrapping, &outcomes),
        Err(failure) => vec![Finding::fail(NAME, failure.to_string(), failure.remedy())],
    };
    findings.push(unseen(wrapping));
    findings
}

/// What is pushed with, and where.
struct Pusher<'d> {
    verified: &'d Verified,
    token: &'d Token,
    original_id: Option<&'d str>,
}

impl Pusher<'_> {
    async fn plain(&self) -> Result<Outcome, Failure> {
        let answer = self.post(&push::signed(self.token), push::event(self.original_id)).await?;
        if !is_refusal(&answer) {
            return Ok(Outcome::Answered(answer));
        }
        let refusal = if self.is_plain().await? { Refusal::OriginalId } else { Refusal::Mode };
        Ok(Outcome::Refused(refusal))
    }

    /// With each key, up to the one that shows that no key matters.
    async fn encrypted(
        &self,
        wrapping: &Wrapping,
        keys: &[AesKey],
        app_id: &str,
    ) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        for key in keys {
            let encrypted = push::encrypt(key, &push::event(self.original_id), app_id);
            let body = match wrapping {
                Wrapping::Compatible(_) => push::event_beside(self.original_id, &encrypted),
                _ => push::envelope(self.original_id, &encrypted),
            };
            let answer = self.post(&push::signed_encrypted(self.token, &encrypted), body).await?;
            if !is_refusal(&answer) {
                outcomes.push(Outcome::Answered(answer));
                continue;
            }
            let refusal = self.why_refused(key, app_id).await?;
            outcomes.push(Outcome::Refused(refusal));
            if refusal == Refusal::Mode {
                break;
            }
        }
        Ok(outcomes)
    }

    /// Finds out by what is read: a body that nobody can read is refused with 403 before somebody looks at it, and with
    /// 400 after.
    async fn why_refused(&self, key: &AesKey, app_id: &str) -> Result<Refusal, Failure> {
        if self.is_plain().await? {
            return Ok(Refusal::Mode);
        }
        let encrypted = push::encrypt(key, UNREADABLE, app_id);
        let query = push::signed_encrypted(self.token, &encrypted);
        let answer = self.post(&query, push::envelope(None, &encrypted)).await?;
        let decrypted = answer.status == StatusCode::BAD_REQUEST;
        Ok(if decrypted { Refusal::OriginalId } else { Refusal::KeyOrAppId })
    }

    /// Whether the callback looks at a body that is announced as plain.
    async fn is_plain(&self) -> Result<bool, Failure> {
        let answer = self.post(&push::signed(self.token), UNREADABLE.to_owned()).await?;
        Ok(answer.status == StatusCode::BAD_REQUEST)
    }

    async fn post(&self, query: &Query, body: String) -> Result<Answer, Failure> {
        let Verified { outside, url } = self.verified;
        outside.ask(outside.http().post(url.clone()).query(query).body(body)).await
    }
}

/// What the callback answers to an event that it does not know (docs/wechat.md, "Answers").
fn is_success(answer: &Answer) -> bool {
    answer.status == StatusCode::OK && answer.body == b"success"
}

/// The callback's own: a firewall's has a page in it.
fn is_refusal(answer: &Answer) -> bool {
    answer.status == StatusCode::FORBIDDEN && answer.body.is_empty()
}

fn findings(deployment: &Deployment, wrapping: &Wrapping, outcomes: &[Outcome]) -> Vec<Finding> {
    let several = outcomes.len() > 1;
    let fits = |outcome: &Outcome| matches!(outcome, Outcome::Answered(answer) if is_success(answer));
    let some_key_fits = outcomes.iter().any(fits);
    let finding = |(place, outcome): (usize, &Outcome)| {
        let key = if several { format!("EncodingAESKey {}", place + 1) } else { "EncodingAESKey".to_owned() };
        match outcome {
            Outcome::Answered(answer) => answered(deployment, wrapping, &key, answer),
            Outcome::Refused(Refusal::Mode) => other_mode(wrapping),
            Outcome::Refused(Refusal::OriginalId) => other_original_id(deployment),
            Outcome::Refused(Refusal::KeyOrAppId) if some_key_fits => other_key(&key),
            Outcome::Refused(Refusal::KeyOrAppId) => other_key_or_app_id(),
        }
    };
    let mut findings: Vec<Finding> = outcomes.iter().enumerate().map(finding).collect();
    // Several keys may fail for the same reason.
    findings.dedup();
    findings
}

fn answered(deployment: &Deployment, wrapping: &Wrapping, key: &str, answer: &Answer) -> Finding {
    if is_success(answer) {
        let with = match wrapping {
            Wrapping::Plain => String::new(),
            _ => format!(" with {key} and app id"),
        };
        let found = format!("the callback reads a push in {} mode{with} of these settings", wrapping.name());
        return slowness(NAME, found, answer);
    }
    let words = answer.words(&deployment.foreign);
    let found = format!("a push must be answered with status 200 and success: {words}");
    Finding::fail(NAME, found, status_remedy(deployment, answer))
}

fn other_mode(wrapping: &Wrapping) -> Finding {
    let (there, here) = match wrapping {
        Wrapping::Plain => ("safe or compatible", "plain"),
        wrapping => ("plain", wrapping.name()),
    };
    let remedy = format!("let WECHAT_MESSAGE_MODE be everywhere what {SERVER} > 消息加解密方式 says");
    Finding::fail(NAME, format!("the callback's mode is {there}, and these settings say {here}"), remedy)
}

fn other_original_id(deployment: &Deployment) -> Finding {
    match &deployment.original_id {
        Some(id) => Finding::fail(
            NAME,
            format!("the callback is another account's than {id}; all else fits"),
            "let WECHAT_ORIGINAL_ID be everywhere what 设置与开发 > 公众号设置 > 原始ID says",
        ),
        None => Finding::warn(
            NAME,
            "the callback looks at the original id, and these settings have none; all else fits",
            "give doctor the callback's WECHAT_ORIGINAL_ID, and run it again",
        ),
    }
}

fn other_key(key: &str) -> Finding {
    let remedy =
        "give every callback the same list in WECHAT_ENCODING_AES_KEY, before the console is changed";
    Finding::fail(NAME, format!("the callback does not have {key} of these settings"), remedy)
}

fn other_key_or_app_id() -> Finding {
    let found =
        "the callback has another EncodingAESKey or another app id than these settings; mode and Token fit";
    let remedy = format!(
        "its log says which: \"no key fits\" or \"it is for another app id\". Let WECHAT_ENCODING_AES_KEY and \
         WECHAT_APP_ID be everywhere what {BASICS} says: 服务器配置 > 消息加解密密钥(EncodingAESKey), 开发者ID(AppID)"
    );
    Finding::fail(NAME, found, remedy)
}

/// What only a real push shows.
fn unseen(wrapping: &Wrapping) -> Finding {
    let mode = match wrapping {
        Wrapping::Plain => "明文模式",
        Wrapping::Safe(_) => "安全模式",
        Wrapping::Compatible(_) => "兼容模式",
    };
    let found = format!(
        "what the console has set shows only in a real push: send any message to the account from a phone, and the \
         greeting must come back. If not, compare {SERVER} (启用 it; Token, EncodingAESKey, {mode})"
    );
    Finding::skip("console", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_to_blame_where_another_one_fits() {
        let deployment = Deployment::unknown();
        let wrapping = Wrapping::Safe(Vec::new());
        let refused = || Outcome::Refused(Refusal::KeyOrAppId);
        let fits = || Outcome::Answered(Answer::new(200, &[], "success"));
        let found = |outcomes: &[Outcome]| -> Vec<String> {
            findings(&deployment, &wrapping, outcomes).into_iter().map(|finding| finding.found).collect()
        };
        let rotated = found(&[refused(), fits()]);
        assert!(rotated[0].contains("does not have EncodingAESKey 1"), "{rotated:?}");
        assert!(rotated[1].contains("with EncodingAESKey 2 and app id"), "{rotated:?}");
        let neither = found(&[refused(), refused()]);
        assert!(neither.len() == 1 && neither[0].contains("or another app id"), "{neither:?}");
    }
}
