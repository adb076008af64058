//! What a backplane promises (shared/src/backplane.rs), held against every implementation.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use shared::backplane::{Change, Resumed};
use shared::login::{Claim, Code, Deadlines, OpenId, Refresh, Scene, SessionId};
use tests::patience::until;
use tests::replica::{Page, Replica, SCENE_TTL, SESSION_TTL, Store, qr_code, somebody, stamp, told};
use uuid::Uuid;

/// Rounds of a race; each order of its two moves comes up many times.
const ROUNDS: usize = 200;
/// A life that a test outlives, but not before its next move, however busy the machine is.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// Makes a test of each function for each backplane: `memory::name`, `redis::name`, `cluster::name`.
macro_rules! on_every_backplane {
    ($($name:ident,)+) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Store::memory()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Store::redis().await).await;
            })+
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Store::cluster().await).await;
            })+
        }
    };
}

on_every_backplane! {
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
    an_unknown_session_cannot_be_resumed,
    a_resume_is_told_to_the_older_connection,
    a_resume_by_another_process_is_told_to_the_older_connection,
    a_resume_gives_the_content_and_the_time_left,
    a_resume_after_the_codes_time_shows_no_time_left,
    s5_a_scan_before_the_resume_shows_in_it,
    s5_a_scan_after_the_resume_is_told,
    s5_a_scan_in_the_moment_of_the_resume_is_not_lost,
    a_resume_without_a_listener_leaves_the_session_unharmed,
    a_login_is_gone_after_its_life,
    a_scanned_login_is_gone_after_its_life,
    a_code_redeems_nothing_before_the_scan,
    a_code_redeems_the_scan,
    a_wrong_code_redeems_nothing,
    a_code_is_looked_up_without_being_spent,
    s3_of_a_thousand_redeemers_exactly_one_gets_the_scan,
    the_same_request_gets_the_scan_again,
    a_redeemed_login_stays_claimed,
    a_redeemed_login_can_be_resumed,
    a_login_is_counted_once_whoever_asks,
    each_login_is_counted_by_its_own,
    people_are_counted_apart,
    a_forgotten_person_is_counted_from_one,
    a_login_keeps_its_number_when_its_person_is_forgotten,
    c3_a_signature_is_the_first_messages_on_every_replica,
    c3_of_two_messages_in_the_same_moment_one_has_the_signature,
    c3_a_signature_is_remembered_for_its_life_and_no_longer,
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

async fn a_login_is_gone_after_its_life(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let deadlines = Deadlines { shown: SCENE_TTL, claimable: SCENE_TTL };
    let mut page = gateway.opens_for(deadlines, SHORT_LIFE).await;
    is_over(&callback, &page).await;
    assert!(gateway.resumes(&page.session).await.is_none());
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::Gone);
}

async fn a_scanned_login_is_gone_after_its_life(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (life, person) = (SHORT_LIFE, somebody());
    let page = gateway.opens_for(Deadlines { shown: life, claimable: life }, life).await;
    assert_eq!(callback.claims(&page.code, &person).await, Claim::Claimed { life });
    let code = page.session.code();
    until("the login to be gone", async || callback.looks_up(&code).await.is_none()).await;
    assert!(callback.redeems(&code).await.is_none());
    assert!(gateway.resumes(&page.session).await.is_none());
    assert_eq!(callback.claims(&page.code, &person).await, Claim::Over);
}

async fn a_code_redeems_nothing_before_the_scan(store: Store) {
    let gateway = store.gateway().await;
    let (page, request) = (gateway.opens().await, Uuid::new_v4());
    let code = page.session.code();
    assert!(gateway.redeems_as(&code, request).await.is_none());
    gateway.claims(&page.code, &somebody()).await;
    assert!(gateway.redeems_as(&code, request).await.is_some(), "it was not spent");
}

async fn a_code_redeems_the_scan(store: Store) {
    let (gateway, callback) = (store.gateway().await, store.callback().await);
    let (page, person) = (gateway.opens().await, somebody());
    callback.claims(&page.code, &person).await;
    let scan = gateway.redeems(&page.session.code()).await.unwrap();
    assert_eq!(scan.by, person);
    assert_eq!(scan.scene, page.code.scene);
}

async fn a_wrong_code_redeems_nothing(store: Store) {
    let gateway = store.gateway().await;
    let (page, another) = (gateway.opens().await, gateway.opens().await);
    gateway.claims(&page.code, &somebody()).await;
    let (right, proof_of_another) = (page.session.code().expose(), another.session.code().expose());
    let wrong =
        format!("{}{}", page.watch.login(), &proof_of_another[page.watch.login().to_string().len()..]);
    assert_eq!(wrong.len(), right.len());
    let wrong = Code::parse(&wrong).unwrap();
    assert!(gateway.redeems(&wrong).await.is_none());
    assert!(gateway.looks_up(&wrong).await.is_none());
    assert!(gateway.redeems(&SessionId::random().code()).await.is_none());
    assert!(gateway.redeems(&page.session.code()).await.is_some(), "the right one was not spent");
}

async fn a_code_is_looked_up_without_being_spent(store: Store) {
    let gateway = store.gateway().await;
    let (page, person) = (gateway.opens().await, somebody());
    let code = page.session.code();
    assert!(gateway.looks_up(&code).await.is_none());
    gateway.claims(&page.code, &person).await;
    let (looked_up, life) = gateway.looks_up(&code).await.unwrap();
    assert_eq!((&looked_up.by, life), (&person, SESSION_TTL));
    assert_eq!(gateway.redeems(&code).await, Some(looked_up));
    assert!(gateway.looks_up(&code).await.is_none(), "it is spent");
}

async fn s3_of_a_thousand_redeemers_exactly_one_gets_the_scan(store: Store) {
    let (here, there) = (store.gateway().await, store.gateway().await);
    let page = here.opens().await;
    here.claims(&page.code, &somebody()).await;
    let redeemers = (0..1000).map(|n| {
        let replica = if n % 2 == 0 { here.clone() } else { there.clone() };
        let code = page.session.code();
        tokio::spawn(async move { replica.redeems(&code).await.is_some() })
    });
    let successes =
        join_all(redeemers).await.into_iter().filter(|redeemed| *redeemed.as_ref().unwrap()).count();
    assert_eq!(successes, 1);
}

async fn the_same_request_gets_the_scan_again(store: Store) {
    let (here, there) = (store.gateway().await, store.gateway().await);
    let (page, request) = (here.opens().await, Uuid::new_v4());
    here.claims(&page.code, &somebody()).await;
    let code = page.session.code();
    let scan = here.redeems_as(&code, request).await;
    assert!(scan.is_some());
    assert_eq!(there.redeems_as(&code, request).await, scan);
    assert!(here.redeems(&code).await.is_none());
}

async fn a_redeemed_login_stays_claimed(store: Store) {
    let gateway = store.gateway().await;
    let (mut page, person) = (gateway.opens().await, somebody());
    gateway.claims(&page.code, &person).await;
    gateway.redeems(&page.session.code()).await.unwrap();
    assert_eq!(gateway.claims(&page.code, &person).await, Claim::Repeated { life: SESSION_TTL });
    assert_eq!(gateway.claims(&page.code, &somebody()).await, Claim::Taken);
    assert_eq!(gateway.refreshes(&mut page).await, Refresh::AlreadyScanned);
}

async fn a_redeemed_login_can_be_resumed(store: Store) {
    let gateway = store.gateway().await;
    let mut page = gateway.opens().await;
    gateway.claims(&page.code, &somebody()).await;
    assert_eq!(page.is_told().await, Change::Scanned);
    gateway.redeems(&page.session.code()).await.unwrap();
    let (_watch, resumed) = gateway.resumes(&page.session).await.unwrap();
    assert!(matches!(resumed, Resumed::Scanned));
    assert_eq!(page.is_told().await, Change::Replaced);
}

async fn a_login_is_counted_once_whoever_asks(store: Store) {
    let (here, there) = (store.gateway().await, store.callback().await);
    let person = somebody();
    for number in 1..=20 {
        let login = here.opens().await.watch.login();
        let askers = (0..20).map(|n| {
            let (replica, person) = (if n % 2 == 0 { here.clone() } else { there.clone() }, person.clone());
            tokio::spawn(async move { replica.counts(&person, login).await })
        });
        let answers: HashSet<u64> = join_all(askers).await.into_iter().map(|asked| asked.unwrap()).collect();
        assert_eq!(answers, HashSet::from([number]));
    }
}

async fn each_login_is_counted_by_its_own(store: Store) {
    let gateway = store.gateway().await;
    let (first, second, person) = (gateway.opens().await, gateway.opens().await, somebody());
    assert_eq!(gateway.counts(&person, first.watch.login()).await, 1);
    assert_eq!(gateway.counts(&person, second.watch.login()).await, 2);
    assert_eq!(gateway.counts(&person, first.watch.login()).await, 1);
}

async fn people_are_counted_apart(store: Store) {
    let gateway = store.gateway().await;
    let login = gateway.opens().await.watch.login();
    assert_eq!(gateway.counts(&somebody(), login).await, 1);
    assert_eq!(gateway.counts(&somebody(), login).await, 1);
}

async fn a_forgotten_person_is_counted_from_one(store: Store) {
    let gateway = store.gateway().await;
    let person = somebody();
    for number in 1..=3 {
        let login = gateway.opens().await.watch.login();
        assert_eq!(gateway.counts(&person, login).await, number);
    }
    gateway.forgets(&person).await;
    gateway.forgets(&person).await;
    assert_eq!(gateway.counts(&person, gateway.opens().await.watch.login()).await, 1);
}

async fn a_login_keeps_its_number_when_its_person_is_forgotten(store: Store) {
    let gateway = store.gateway().await;
    let (first, second, person) = (gateway.opens().await, gateway.opens().await, somebody());
    gateway.counts(&person, first.watch.login()).await;
    assert_eq!(gateway.counts(&person, second.watch.login()).await, 2);
    gateway.forgets(&person).await;
    assert_eq!(gateway.counts(&person, second.watch.login()).await, 2, "the phone's answer is repeated");
}

async fn c3_a_signature_is_the_first_messages_on_every_replica(store: Store) {
    let (here, there) = (store.callback().await, store.callback().await);
    let (seen, another) = (stamp(), stamp());
    assert!(here.binds(seen, "first").await);
    for replica in [&here, &there, &here] {
        assert!(!replica.binds(seen, "second").await);
        assert!(!replica.binds(seen, "").await);
        assert!(replica.binds(seen, "first").await, "a repeat");
    }
    assert!(there.binds(another, "second").await);
    assert!(!here.binds(another, "first").await);
}

async fn c3_of_two_messages_in_the_same_moment_one_has_the_signature(store: Store) {
    let (here, there) = (store.callback().await, store.callback().await);
    for _ in 0..ROUNDS {
        let stamp = stamp();
        let binds = |replica: &Replica, message: &'static str| {
            let replica = replica.clone();
            tokio::spawn(async move { replica.binds(stamp, message).await })
        };
        let (first, second) = tokio::join!(binds(&here, "first"), binds(&there, "second"));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_ne!(first, second);
        assert_eq!(here.binds(stamp, "second").await, second, "whoever has it keeps it");
    }
}

async fn c3_a_signature_is_remembered_for_its_life_and_no_longer(store: Store) {
    let callback = store.callback().await;
    let stamp = stamp();
    assert!(callback.binds_for(stamp, "first", SHORT_LIFE).await);
    // A repeat does not prolong it: its timestamp grows old all the same.
    assert!(callback.binds(stamp, "first").await);
    assert!(!callback.binds(stamp, "second").await);
    until("the signature to be forgotten", async || callback.binds(stamp, "second").await).await;
    assert!(!callback.binds(stamp, "first").await);
}

/// A claim that runs on a thread of its own, so that it races.
fn spawned_claim(callback: &Replica, page: &Page, by: &OpenId) -> impl Future<Output = Claim> + use<> {
    let (callback, code, by) = (callback.clone(), page.code.clone(), by.clone());
    tokio::spawn(async move { callback.claims(&code, &by).await }).map(Result::unwrap)
}

/// Waits until the page's scene cannot be claimed. A scan with a wrong ticket claims nothing, and shows it.
async fn is_over(callback: &Replica, page: &Page) {
    let wrong = qr_code(&page.session).ticket;
    let person = somebody();
    until("the scene to be over", async || {
        match callback.claims_with(&page.code.scene, &wrong, &person).await {
            Claim::WrongTicket => false,
            Claim::Over => true,
            other => panic!("{other:?}"),
        }
    })
    .await;
}

fn is_told_nothing(page: &mut Page) -> bool {
    page.watch.changed().now_or_never().is_none()
}
