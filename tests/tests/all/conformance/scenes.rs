//! A scene, and who scans it: claims, their races with each other and with a refresh, and its end.

use std::time::Duration;

use futures_util::FutureExt as _;
use shared::backplane::Change;
use shared::login::{Claim, Deadlines, Refresh, Scene, SessionId};
use tests::replica::{Page, SESSION_TTL, Store, qr_code, somebody};

use super::{ROUNDS, is_over, spawned_claim};

tests::on_every_backplane! {
    the_first_scan_takes_the_scene_and_the_page_is_told,
    a_change_is_told_once,
    a_repeated_scan_gets_the_same_answer_and_moves_nothing,
    s1_a_second_person_is_refused_and_the_first_login_unaffected,
    of_two_people_in_the_same_moment_one_takes_the_scene,
    a_scan_with_another_ticket_is_refused_and_the_scene_stays_live,
    an_unknown_scene_is_over,
    a_scene_is_over_after_its_time,
    s2_the_old_scene_dies_when_the_page_refreshes,
    a_scan_that_comes_before_the_refresh_wins,
    a_scan_and_a_refresh_in_the_same_moment_agree_on_who_was_first,
    an_expired_code_can_be_refreshed,
    a_connection_that_lost_the_session_cannot_refresh,
}

async fn the_first_scan_takes_the_scene_and_the_page_is_told(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let mut page = gateway.opens().await;
    assert_eq!(callback.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

async fn a_change_is_told_once(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (mut page, person) = (gateway.opens().await, somebody());
    callback.claims(&page.code, &person).await;
    assert_eq!(page.is_told().await, Change::Scanned);
    callback.claims(&page.code, &person).await;
    callback.redeems(&page.session.code()).await.unwrap();
    // What another page is told afterwards shows that this one would have been told before.
    let mut another = gateway.opens().await;
    callback.claims(&another.code, &person).await;
    another.is_told().await;
    assert!(is_told_nothing(&mut page));
}

async fn a_repeated_scan_gets_the_same_answer_and_moves_nothing(store: Store) {
    let (callback, another) = (store.callback().await, store.callback().await);
    let (page, person) = (store.gateway().await.opens().await, somebody());
    callback.claims(&page.code, &person).await;
    let scanned = callback.looks_up(&page.session.code()).await;
    for replica in [&callback, &another] {
        assert_eq!(replica.claims(&page.code, &person).await, Claim::Repeated { life: SESSION_TTL });
    }
    assert_eq!(callback.looks_up(&page.session.code()).await, scanned);
}

async fn s1_a_second_person_is_refused_and_the_first_login_unaffected(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (mut page, first, second) = (gateway.opens().await, somebody(), somebody());
    callback.claims(&page.code, &first).await;
    assert_eq!(callback.claims(&page.code, &second).await, Claim::Taken);
    assert_eq!(page.is_told().await, Change::Scanned);
    assert_eq!(gateway.redeems(&page.session.code()).await.unwrap().by, first);
    assert_eq!(callback.claims(&page.code, &second).await, Claim::Taken);
}

async fn of_two_people_in_the_same_moment_one_takes_the_scene(store: Store) {
    let (gateway, here, there) = (store.gateway().await, store.callback().await, store.callback().await);
    for _ in 0..ROUNDS {
        let (page, first, second) = (gateway.opens().await, somebody(), somebody());
        let claims = tokio::join!(spawned_claim(&here, &page, &first), spawned_claim(&there, &page, &second));
        let by = gateway.redeems(&page.session.code()).await.unwrap().by;
        match claims {
            (Claim::Claimed { .. }, Claim::Taken) => assert_eq!(by, first),
            (Claim::Taken, Claim::Claimed { .. }) => assert_eq!(by, second),
            both => panic!("{both:?}"),
        }
    }
}

async fn a_scan_with_another_ticket_is_refused_and_the_scene_stays_live(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (page, person) = (gateway.opens().await, somebody());
    let another = qr_code(&page.session).ticket;
    assert_eq!(callback.claims_with(&page.code.scene, &another, &person).await, Claim::WrongTicket);
    assert_eq!(callback.claims(&page.code, &person).await, Claim::Claimed { life: SESSION_TTL });
}

async fn an_unknown_scene_is_over(store: Store) {
    let callback = store.callback().await;
    let page = store.gateway().await.opens().await;
    let of_no_login = qr_code(&SessionId::random());
    assert_eq!(callback.claims(&of_no_login, &somebody()).await, Claim::Over);
    let of_this_login = Scene::random(&page.session);
    assert_eq!(callback.claims_with(&of_this_login, &page.code.ticket, &somebody()).await, Claim::Over);
}

async fn a_scene_is_over_after_its_time(store: Store) {
    let callback = store.callback().await;
    let short = Duration::from_millis(300);
    let deadlines = Deadlines { shown: short / 2, claimable: short };
    let page = store.gateway().await.opens_for(deadlines, SESSION_TTL).await;
    is_over(&callback, &page).await;
    assert_eq!(callback.claims(&page.code, &somebody()).await, Claim::Over);
    assert!(callback.looks_up(&page.session.code()).await.is_none());
}

async fn s2_the_old_scene_dies_when_the_page_refreshes(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (mut page, person) = (gateway.opens().await, somebody());
    let old = page.code.clone();
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::Replaced);
    assert_eq!(callback.claims(&old, &person).await, Claim::Over);
    assert_eq!(callback.claims(&page.code, &person).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(callback.claims(&old, &person).await, Claim::Over);
    assert_eq!(page.is_told().await, Change::Scanned);
}

async fn a_scan_that_comes_before_the_refresh_wins(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (mut page, person) = (gateway.opens().await, somebody());
    callback.claims(&page.code, &person).await;
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::AlreadyScanned);
    assert_eq!(callback.claims(&page.code, &person).await, Claim::Repeated { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

async fn a_scan_and_a_refresh_in_the_same_moment_agree_on_who_was_first(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    for _ in 0..ROUNDS {
        let (mut page, person) = (gateway.opens().await, somebody());
        let scan = spawned_claim(&callback, &page, &person);
        match tokio::join!(scan, gateway.refreshes(&mut page)) {
            (Claim::Claimed { .. }, Refresh::AlreadyScanned) => {
                assert_eq!(page.is_told().await, Change::Scanned);
            }
            (Claim::Over, Refresh::Replaced) => {
                assert!(matches!(callback.claims(&page.code, &person).await, Claim::Claimed { .. }));
            }
            both => panic!("{both:?}"),
        }
    }
}

async fn an_expired_code_can_be_refreshed(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let short = Duration::from_millis(100);
    let mut page = gateway.opens_for(Deadlines { shown: short, claimable: short }, SESSION_TTL).await;
    is_over(&callback, &page).await;
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::Replaced);
    assert_eq!(callback.claims(&page.code, &somebody()).await, Claim::Claimed { life: SESSION_TTL });
    assert_eq!(page.is_told().await, Change::Scanned);
}

async fn a_connection_that_lost_the_session_cannot_refresh(store: Store) {
    let (before, after) = (store.gateway().await, store.gateway().await);
    let mut page = before.opens().await;
    let _watch = after.resumes(&page.session).await.unwrap();
    assert_eq!(before.refreshes(&mut page).await, Refresh::NotOwner);
    let claim = after.claims(&page.code, &somebody()).await;
    assert_eq!(claim, Claim::Claimed { life: SESSION_TTL }, "the scene is still the one that was shown");
}

fn is_told_nothing(page: &mut Page) -> bool {
    page.watch.changed().now_or_never().is_none()
}
