//! What `wechatpy` pushes with something wrong in it: refused, and nothing moves.

use tests::stack::{Account, KnownCode, somebodys_openid};
use tests::wechatpy::{Act, Push};

use super::{FIRST_LOGIN, World};

impl World {
    /// A scan of the code by somebody else, pushed by whoever has these secrets, in this mode.
    async fn intrusion(&mut self, account: &Account, mode: &str, code: &KnownCode) -> Push {
        self.wechatpy.make(account, mode, &somebodys_openid(), &Act::Scan(code.clone())).await
    }

    async fn is_refused(&mut self, push: &Push, what: &str) {
        let answer = self.send(push).await;
        assert_eq!((answer.status, answer.body.as_str()), (403, ""), "{what}");
        assert_eq!(self.moves().await, "1", "{what} moved something");
    }

    /// What `wechatpy` would say of the push in the callback's place: whether the query is signed, and what it trips over.
    async fn opinion(&mut self, push: &Push) -> (bool, Option<String>) {
        let judgement = self.wechatpy.judge(&self.stack.account, push).await;
        (judgement.signed, judgement.refusal)
    }
}

async fn what_is_wrong_is_refused(mode: &'static str) {
    let mut world = World::start(mode).await;
    let (mut browser, code) = world.page().await;
    let right = world.stack.account.clone();
    let other = Account::random();

    let stranger = Account { token: other.token, ..right.clone() };
    let push = world.intrusion(&stranger, mode, &code).await;
    assert_eq!(world.opinion(&push).await, (false, None));
    world.is_refused(&push, "another token").await;

    let neighbour = Account { original_id: other.original_id, ..right.clone() };
    let push = world.intrusion(&neighbour, mode, &code).await;
    world.is_refused(&push, "another account's original id").await;

    if mode == "plain" {
        let push = world.intrusion(&right, mode, &code).await;
        let query = format!("{}&encrypt_type=aes", push.query);
        world.is_refused(&Push { query, ..push }, "an announcement of an encrypted part").await;
        for encrypted in ["safe", "compatible"] {
            let push = world.intrusion(&right, encrypted, &code).await;
            assert_eq!(world.opinion(&push).await, (true, None));
            world.is_refused(&push, encrypted).await;
            let downgraded = without(&["msg_signature", "encrypt_type"], &push);
            world.is_refused(&downgraded, "an encrypted part that is not announced").await;
        }
    } else {
        let push = world.intrusion(&right, "plain", &code).await;
        assert_eq!(world.opinion(&push).await, (true, None));
        world.is_refused(&push, "plain").await;
        let other_key = Account { aes_key: other.aes_key, ..right.clone() };
        let other_id = Account { app_id: other.app_id, ..right.clone() };
        refuses_what_is_encrypted_wrongly(&mut world, &code, &other_key, &other_id).await;
    }

    let person = somebodys_openid();
    let push = world.make(&person, &Act::Scan(code)).await;
    assert_eq!(world.opinion(&push).await, (true, None));
    let answer = world.send(&push).await;
    assert_eq!(world.reply(&person, answer).text, FIRST_LOGIN);
    assert_eq!(world.stack.application().redeem(&browser.success().await.code).await.openid, person);
}

async fn refuses_what_is_encrypted_wrongly(
    world: &mut World,
    code: &KnownCode,
    other_key: &Account,
    other_id: &Account,
) {
    let (right, mode) = (world.stack.account.clone(), world.mode);
    let push = world.intrusion(other_key, mode, code).await;
    let (signed, refusal) = world.opinion(&push).await;
    assert!(signed && refusal.is_some(), "{refusal:?}");
    world.is_refused(&push, "another key").await;

    let push = world.intrusion(other_id, mode, code).await;
    assert_eq!(world.opinion(&push).await, (true, Some("InvalidAppIdException".to_owned())));
    world.is_refused(&push, "another app id").await;

    // The query of a push that was seen, with the body of another: only `msg_signature` tells.
    let seen = world.make(&somebodys_openid(), &Act::Subscribe).await;
    let changed = Push { body: world.intrusion(&right, mode, code).await.body, ..seen };
    assert_eq!(world.opinion(&changed).await, (true, Some("InvalidSignatureException".to_owned())));
    world.is_refused(&changed, "a body that was exchanged").await;

    let whole = world.intrusion(&right, mode, code).await;
    for parameters in
        [&["signature"][..], &["msg_signature"], &["encrypt_type"], &["msg_signature", "encrypt_type"]]
    {
        world.is_refused(&without(parameters, &whole), &format!("no {parameters:?}")).await;
    }

    // The addressee stands outside, where anybody can write, and inside: either may be another.
    let addressed_to_another = whole.body.replace(&right.original_id, "gh_000000000000");
    assert_ne!(addressed_to_another, whole.body);
    world.is_refused(&Push { body: addressed_to_another, ..whole }, "another addressee outside").await;
    let neighbour = Account { original_id: Account::random().original_id, ..right.clone() };
    let push = world.intrusion(&neighbour, mode, code).await;
    let body = push.body.replace(&neighbour.original_id, &right.original_id);
    world.is_refused(&Push { body, ..push }, "another addressee inside").await;
}

/// The push without these parameters of its query.
fn without(parameters: &[&str], push: &Push) -> Push {
    let kept = |pair: &&str| !parameters.iter().any(|parameter| pair.starts_with(&format!("{parameter}=")));
    let query = push.query.split('&').filter(kept).collect::<Vec<_>>().join("&");
    assert_eq!(query.split('&').count() + parameters.len(), push.query.split('&').count());
    Push { query, ..push.clone() }
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_safe_mode() {
    what_is_wrong_is_refused("safe").await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_compatible_mode() {
    what_is_wrong_is_refused("compatible").await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_plain_mode() {
    what_is_wrong_is_refused("plain").await;
}

/// The plain nodes of a compatible push are covered by no signature.
#[tokio::test]
async fn whoever_stands_beside_the_encrypted_part_does_not_log_in() {
    let mut world = World::start("compatible").await;
    let ((mut browser, code), person) = (world.page().await, somebodys_openid());
    let mut push = world.make(&person, &Act::Scan(code)).await;
    let forged = push.body.replace(&person, &somebodys_openid());
    assert_ne!(forged, push.body);
    push.body = forged;
    let answer = world.send(&push).await;
    assert_eq!(world.reply(&person, answer).text, FIRST_LOGIN);
    assert_eq!(world.stack.application().redeem(&browser.success().await.code).await.openid, person);
}
