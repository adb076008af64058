//! Whose message a signature belongs to, in plain mode.

use tests::patience::until;
use tests::replica::{Replica, Store, stamp};

use super::{ROUNDS, SHORT_LIFE};

tests::on_every_backplane! {
    c3_a_signature_is_the_first_messages_on_every_replica,
    c3_of_two_messages_in_the_same_moment_one_has_the_signature,
    c3_a_signature_is_remembered_for_its_life_and_no_longer,
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
