//! A session that comes back on another connection, and what the one before it is told.

use std::time::Duration;

use shared::backplane::{Change, Error, Resumed};
use shared::login::{Claim, Deadlines, SessionId};
use tests::patience::until;
use tests::replica::{Page, SCENE_TTL, SESSION_TTL, Store, somebody, told};

use super::{ROUNDS, spawned_claim};

tests::on_every_backplane! {
    an_unknown_session_cannot_be_resumed,
    a_resume_is_told_to_the_older_connection,
    a_resume_by_another_process_is_told_to_the_older_connection,
    a_resume_gives_the_content_and_the_time_left,
    a_resume_after_the_codes_time_shows_no_time_left,
    s5_a_scan_before_the_resume_shows_in_it,
    s5_a_scan_after_the_resume_is_told,
    s5_a_scan_in_the_moment_of_the_resume_is_not_lost,
    a_resume_without_a_listener_leaves_the_session_unharmed,
    a_resume_that_was_overtaken_takes_nothing,
}

async fn an_unknown_session_cannot_be_resumed(store: Store) {
    assert!(store.gateway().await.resumes(&SessionId::random()).await.is_none());
}

async fn a_resume_is_told_to_the_older_connection(store: Store) {
    let gateway = store.gateway().await;
    let mut page = gateway.opens().await;
    let (mut second, _) = gateway.resumes(&page.session).await.unwrap();
    assert_eq!(page.is_told().await, Change::Replaced);
    let (third, _) = gateway.resumes(&page.session).await.unwrap();
    assert_eq!(told(&mut second).await, Change::Replaced);
    assert_eq!(third.login(), page.watch.login());
    assert!(third.connection() != page.watch.connection());
}

async fn a_resume_by_another_process_is_told_to_the_older_connection(store: Store) {
    let (before, after, callback) = (store.gateway().await, store.gateway().await, store.callback().await);
    let mut page = before.opens().await;
    let (mut resumed, _) = after.resumes(&page.session).await.unwrap();
    assert_eq!(page.is_told().await, Change::Replaced);
    callback.claims(&page.code, &somebody()).await;
    assert_eq!(told(&mut resumed).await, Change::Scanned);
    let (_watch, back_again) = before.resumes(&page.session).await.unwrap();
    assert!(matches!(back_again, Resumed::Scanned));
    assert_eq!(told(&mut resumed).await, Change::Replaced);
}

async fn a_resume_gives_the_content_and_the_time_left(store: Store) {
    let gateway = store.gateway().await;
    let shown = SCENE_TTL / 2;
    let page = gateway.opens_for(Deadlines { shown, claimable: SCENE_TTL }, SESSION_TTL).await;
    let (_watch, resumed) = gateway.resumes(&page.session).await.unwrap();
    let Resumed::Waiting { content, shown_for } = resumed else { panic!("{resumed:?}") };
    assert_eq!(content, page.code.content);
    assert!(shown_for <= shown && shown_for > shown / 2, "{shown_for:?}");
}

async fn a_resume_after_the_codes_time_shows_no_time_left(store: Store) {
    let gateway = store.gateway().await;
    let shown = Duration::from_millis(100);
    let page = gateway.opens_for(Deadlines { shown, claimable: SCENE_TTL }, SESSION_TTL).await;
    until("the code's time to be over", async || {
        let (_watch, resumed) = gateway.resumes(&page.session).await.unwrap();
        matches!(resumed, Resumed::Waiting { shown_for: Duration::ZERO, .. })
    })
    .await;
}

async fn s5_a_scan_before_the_resume_shows_in_it(store: Store) {
    let (before, after, callback) = (store.gateway().await, store.gateway().await, store.callback().await);
    let Page { session, code, watch } = before.opens().await;
    drop(watch);
    callback.claims(&code, &somebody()).await;
    let (_watch, resumed) = after.resumes(&session).await.unwrap();
    assert!(matches!(resumed, Resumed::Scanned), "{resumed:?}");
}

async fn s5_a_scan_after_the_resume_is_told(store: Store) {
    let (before, after, callback) = (store.gateway().await, store.gateway().await, store.callback().await);
    let Page { session, code, watch } = before.opens().await;
    drop(watch);
    let (mut resumed, _) = after.resumes(&session).await.unwrap();
    callback.claims(&code, &somebody()).await;
    assert_eq!(told(&mut resumed).await, Change::Scanned);
}

async fn s5_a_scan_in_the_moment_of_the_resume_is_not_lost(store: Store) {
    let (before, after, callback) = (store.gateway().await, store.gateway().await, store.callback().await);
    for _ in 0..ROUNDS {
        let page = before.opens().await;
        let person = somebody();
        let scan = spawned_claim(&callback, &page, &person);
        let (claim, resumed) = tokio::join!(scan, after.resumes(&page.session));
        assert_eq!(claim, Claim::Claimed { life: SESSION_TTL });
        let (mut watch, resumed) = resumed.unwrap();
        if matches!(resumed, Resumed::Waiting { .. }) {
            assert_eq!(told(&mut watch).await, Change::Scanned);
        }
    }
}

async fn a_resume_without_a_listener_leaves_the_session_unharmed(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let mut page = gateway.opens().await;
    let (watch, _) = gateway.resumes(&page.session).await.unwrap();
    drop(watch);
    assert_eq!(page.is_told().await, Change::Replaced);
    callback.claims(&page.code, &somebody()).await;
    let (_watch, resumed) = gateway.resumes(&page.session).await.unwrap();
    assert!(matches!(resumed, Resumed::Scanned));
}

async fn a_resume_that_was_overtaken_takes_nothing(store: Store) {
    let (slow, fast, callback) = (store.gateway().await, store.gateway().await, store.callback().await);
    let page = fast.opens().await;
    let before = slow.backplane().owner(&page.session).await.unwrap().unwrap();
    assert!(before == page.watch.connection());
    let (mut watch, _) = fast.resumes(&page.session).await.unwrap();
    let overtaken = slow.backplane().resume(&page.session, before).await;
    assert!(matches!(overtaken, Err(Error::Overtaken)), "{overtaken:?}");
    callback.claims(&page.code, &somebody()).await;
    assert_eq!(told(&mut watch).await, Change::Scanned);
}
