//! Access tokens: fetched once, replaced once, never forced.

use super::*;

#[tokio::test]
async fn a_hundred_calls_at_once_fetch_one_token() {
    let world = World::new().await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
    assert_eq!(world.traffic().await, (1, 100));
}

#[tokio::test]
async fn a_hundred_calls_at_once_share_one_refusal() {
    let world = World::new().await;
    world.suffers(json!({"ip_not_allowed": true, "latency_ms": 100})).await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        assert_eq!(first_code_of(&made.unwrap_err()), 40164);
    }
    assert_eq!(world.traffic().await, (1, 0), "nobody hammers");
}

#[tokio::test]
async fn a_fetch_goes_on_without_those_who_left() {
    let world = World::new().await;
    world.suffers(json!({"latency_ms": 300})).await;
    assert!(timeout(Duration::from_millis(50), makes_a_code(&world.client)).await.is_err());
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.traffic().await, (1, 1));
}

#[tokio::test]
async fn replicas_agree_on_the_token_by_themselves() {
    let world = World::new().await;
    let other = world.replica();
    makes_a_code(&world.client).await.unwrap();
    makes_a_code(&other).await.unwrap();
    makes_a_code(&world.client).await.unwrap();
    let counters = world.counters().await;
    assert_eq!((&counters["stable_tokens"], &counters["tokens_made"]), (&json!(2), &json!(1)));
    assert_eq!(world.calls(CREATE).await, 3, "no call failed");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_and_the_call_made_again() {
    let world = World::warm().await;
    world.suffers(json!({"token_revoked": true})).await;
    for made in join_all((0..20).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
    assert_eq!(world.calls(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn each_code_that_means_a_bad_token_makes_a_new_one_and_none_is_forced() {
    let world = World::warm().await;
    for (n, errcode) in [40001, 40014, 42001].into_iter().enumerate() {
        let fault = json!({"errcode": errcode, "calls": 1, "path": CREATE});
        world.suffers(json!({"token_revoked": true, "error": fault})).await;
        makes_a_code(&world.client).await.unwrap();
        let n = n as u64 + 1;
        assert_eq!(world.traffic().await, (1 + n, 1 + 2 * n), "{errcode}");
    }
    // Two hours later, by the platform's clock alone.
    world.control("clock", &json!({"advance_seconds": 7300})).await;
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.traffic().await, (5, 9));
    assert_eq!(world.counters().await["forced_tokens"], 0);
}

#[tokio::test]
async fn a_token_that_was_replaced_meanwhile_is_not_replaced_again() {
    let world = World::warm().await;
    world.suffers(json!({"latency_ms": 700})).await;
    let client = world.client.clone();
    let late = tokio::spawn(async move { makes_a_code(&client).await });
    world.hears(CREATE, 2).await;
    world.suffers(json!({"latency_ms": 0, "token_revoked": true})).await;
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.calls(STABLE_TOKEN).await, 2);
    within("the late call", late).await.unwrap().unwrap();
    assert_eq!(world.traffic().await, (2, 5), "it found the new token there");
}

#[tokio::test]
async fn a_token_that_is_given_again_after_it_failed_ends_in_an_error_that_says_so() {
    let world = World::new().await;
    for code in [40001, 40014, 42001] {
        let client = world.replica();
        makes_a_code(&client).await.unwrap();
        world.suffers(json!({"error": {"errcode": code, "calls": 1000, "path": CREATE}})).await;
        let (tokens, calls) = world.traffic().await;
        let error = makes_a_code(&client).await.unwrap_err();
        assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
        assert!(error.to_string().contains("does not take the access token that it gives"), "{error}");
        assert_eq!(world.traffic().await, (tokens + 1, calls + 1), "no loop");
        for _ in 0..10 {
            let (cause, left) = rests(makes_a_code(&client).await.unwrap_err());
            assert!(
                matches!(cause, Error::TokenNotTaken) && left > Duration::from_secs(20),
                "{cause} {left:?}"
            );
        }
        assert_eq!(world.traffic().await, (tokens + 1, calls + 1), "no hammering");
        // Another kind of call, which does not rest, finds it out by itself.
        world.suffers(json!({"error": {"errcode": code, "calls": 1000, "path": USER_INFO}})).await;
        let error = looks_up(&client).await.unwrap_err();
        assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
        assert_eq!(world.calls(STABLE_TOKEN).await, tokens + 1, "that it was given again is known");
        world.suffers(json!({"error": null})).await;
    }
}

#[tokio::test]
async fn a_new_token_that_is_not_taken_either_gets_no_third_try() {
    let world = World::warm().await;
    let fault = json!({"errcode": 40001, "calls": 1000, "path": CREATE});
    world.suffers(json!({"token_revoked": true, "error": fault})).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert!(matches!(error, Error::TokenNotTaken), "{error:?}");
    assert_eq!(world.traffic().await, (2, 3));
}

#[tokio::test]
async fn at_the_token_endpoint_40001_is_a_wrong_secret_and_nothing_is_tried_again() {
    for errcode in [40001, 40014, 42001] {
        let world = World::new().await;
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1000, "path": STABLE_TOKEN}})).await;
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert_eq!(code_of(&error), errcode);
        assert_eq!(error.to_string().contains("WECHAT_APP_SECRET"), errcode == 40001, "{error}");
        assert_eq!(world.traffic().await, (1, 0), "{errcode}");
    }
}

#[tokio::test]
async fn a_dead_token_that_cannot_be_replaced_is_not_used_again() {
    let world = World::warm().await;
    world.suffers(json!({"token_revoked": true, "ip_not_allowed": true})).await;
    assert_eq!(code_of(&makes_a_code(&world.client).await.unwrap_err()), 40164);
    for _ in 0..10 {
        assert_eq!(code_of(&rests(makes_a_code(&world.client).await.unwrap_err()).0), 40164);
    }
    assert_eq!(world.traffic().await, (2, 2));
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_harms_nobody_while_the_token_is_good() {
    let world = World::warm().await;
    world.suffers(json!({"ip_not_allowed": true})).await;
    makes_a_code(&world.client).await.unwrap();
    assert_eq!(world.calls(STABLE_TOKEN).await, 1);
}
