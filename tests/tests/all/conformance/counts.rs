//! The number of a person's login.

use std::collections::HashSet;

use futures_util::future::join_all;
use shared::login::OpenId;
use tests::replica::{Store, somebody};

tests::on_every_backplane! {
    a_login_is_counted_once_whoever_asks,
    each_login_is_counted_by_its_own,
    people_are_counted_apart,
    a_forgotten_person_is_counted_from_one,
    a_login_keeps_its_number_when_its_person_is_forgotten,
    a_person_is_forgotten_once_for_each_message,
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

async fn a_person_is_forgotten_once_for_each_message(store: Store) {
    let (gateway, person, another) = (store.gateway().await, somebody(), somebody());
    let logs_in = async |person: &OpenId| gateway.counts(person, gateway.opens().await.watch.login()).await;
    assert_eq!((logs_in(&person).await, logs_in(&person).await), (1, 2));
    gateway.forgets_by(&person, "unsubscribe").await;
    assert_eq!(logs_in(&person).await, 1, "the person has come back");
    for replica in [&gateway, &store.callback().await] {
        replica.forgets_by(&person, "unsubscribe").await;
        replica.forgets_by(&another, "unsubscribe").await;
    }
    assert_eq!(logs_in(&person).await, 2, "a repeat has no second effect");
    gateway.forgets_by(&person, "unsubscribe again").await;
    assert_eq!(logs_in(&person).await, 1);
}
