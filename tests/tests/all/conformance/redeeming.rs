//! A code, redeemed once; and the end of the login's life.

use futures_util::future::join_all;
use shared::backplane::{Change, Resumed};
use shared::login::{Claim, Code, Deadlines, Refresh, SessionId};
use tests::patience::until;
use tests::replica::{SCENE_TTL, SESSION_TTL, Store, somebody};
use uuid::Uuid;

use super::{SHORT_LIFE, is_over};

tests::on_every_backplane! {
    a_login_is_gone_after_its_life,
    a_scanned_login_is_gone_after_its_life,
    a_code_redeems_nothing_before_the_scan,
    a_code_redeems_the_scan,
    a_wrong_code_redeems_nothing,
    a_code_is_looked_up_without_being_spent,
    s3_of_a_thousand_redeemers_exactly_one_gets_the_scan,
    the_same_request_gets_the_scan_again,
    f2_a_code_that_is_given_back_is_redeemed_once_by_another_request,
    a_request_that_gave_the_code_back_never_gets_it_even_if_it_comes_late,
    nobody_gives_back_what_another_request_has_spent,
    a_redeemed_login_stays_claimed,
    a_redeemed_login_can_be_resumed,
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

async fn f2_a_code_that_is_given_back_is_redeemed_once_by_another_request(store: Store) {
    let (here, there) = (store.gateway().await, store.gateway().await);
    let (page, person, request) = (here.opens().await, somebody(), Uuid::new_v4());
    here.claims(&page.code, &person).await;
    let code = page.session.code();
    let scan = here.redeems_as(&code, request).await;
    for _ in 0..2 {
        here.withdraws(&code, request).await;
        assert_eq!(there.looks_up(&code).await.map(|(scan, _)| scan), scan, "it is good again");
    }
    assert!(here.redeems_as(&code, request).await.is_none(), "it was answered that it is not redeemed");
    assert_eq!(there.redeems(&code).await, scan);
    assert!(here.redeems(&code).await.is_none());
    assert_eq!(here.claims(&page.code, &person).await, Claim::Repeated { life: SESSION_TTL });
}

async fn a_request_that_gave_the_code_back_never_gets_it_even_if_it_comes_late(store: Store) {
    let gateway = store.gateway().await;
    let (page, late, later) = (gateway.opens().await, Uuid::new_v4(), Uuid::new_v4());
    gateway.claims(&page.code, &somebody()).await;
    let code = page.session.code();
    gateway.withdraws(&code, late).await;
    gateway.withdraws(&code, later).await;
    for request in [late, later] {
        assert!(gateway.redeems_as(&code, request).await.is_none());
    }
    assert!(gateway.redeems(&code).await.is_some(), "it was not spent");
}

async fn nobody_gives_back_what_another_request_has_spent(store: Store) {
    let gateway = store.gateway().await;
    let (page, another, request) = (gateway.opens().await, gateway.opens().await, Uuid::new_v4());
    gateway.claims(&page.code, &somebody()).await;
    let code = page.session.code();
    let scan = gateway.redeems_as(&code, request).await;
    gateway.withdraws(&code, Uuid::new_v4()).await;
    let (login, proof) = (page.watch.login().to_string(), another.session.code().expose());
    let wrong = Code::parse(&format!("{login}{}", &proof[login.len()..])).unwrap();
    gateway.withdraws(&wrong, request).await;
    assert!(gateway.redeems(&code).await.is_none());
    assert_eq!(gateway.redeems_as(&code, request).await, scan);
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
