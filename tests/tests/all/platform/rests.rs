//! A platform in trouble is given a rest, and probed when it is over.

use super::*;

#[tokio::test]
async fn a_busy_platform_is_asked_three_times() {
    let world = World::new().await;
    for path in [STABLE_TOKEN, CREATE] {
        world.suffers(json!({"error": {"errcode": -1, "calls": 2, "path": path}})).await;
        let began = Instant::now();
        makes_a_code(&world.client).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(450), "not at once: {:?}", began.elapsed());
    }
    assert_eq!(world.traffic().await, (3, 1 + 3));
    let world = World::warm().await;
    world.suffers(json!({"error": {"errcode": -1, "calls": 1000, "path": CREATE}})).await;
    assert_eq!(code_of(&makes_a_code(&world.client).await.unwrap_err()), -1);
    assert_eq!(world.traffic().await, (1, 1 + 3));
}

#[tokio::test]
async fn a_crowd_does_not_make_a_busy_platform_busier() {
    let world = World::warm().await;
    world
        .suffers(json!({"error": {"errcode": -1, "calls": 100_000, "path": CREATE}, "latency_ms": 50}))
        .await;
    for made in join_all((0..100).map(|_| makes_a_code(&world.client))).await {
        assert_eq!(first_code_of(&made.unwrap_err()), -1);
    }
    let calls = world.calls(CREATE).await;
    assert!(calls <= 1 + 100 + BORNE as u64, "{calls} calls of a hundred logins");
    assert_eq!(code_of(&rests(makes_a_code(&world.client).await.unwrap_err()).0), -1);
}

#[tokio::test]
async fn broken_connections_in_a_row_make_it_rest_and_one_call_finds_out_that_it_is_over() {
    let world = World::warm().await;
    world.suffers(json!({"connection_reset": {"calls": BORNE + 1, "path": CREATE}})).await;
    for _ in 0..BORNE {
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    }
    let calls = world.calls(CREATE).await;
    let error = makes_a_code(&world.client).await.unwrap_err();
    assert_eq!(error.retry_after(), Duration::from_secs(1));
    let (cause, left) = rests(error);
    assert!(matches!(cause, Error::Unreachable(_)) && left <= Duration::from_secs(1), "{cause} {left:?}");
    assert_eq!(world.calls(CREATE).await, calls, "a platform that rests is not asked");
    sleep(left).await;
    // The probe, with whom nobody else calls, meets the last reset.
    let mut failures = join_all((0..20).map(|_| makes_a_code(&world.client))).await;
    assert_eq!(world.calls(CREATE).await, calls + 1);
    let failures: Vec<_> = failures.drain(..).map(Result::unwrap_err).collect();
    let made_nothing = failures.iter().filter(|error| error.made_nothing()).count();
    assert_eq!(made_nothing, 19, "the platform may have done what the probe asked");
    let (_, left) = rests(failures.into_iter().next().unwrap());
    assert!(left > Duration::from_secs(1), "the second rest is longer: {left:?}");
    sleep(left).await;
    makes_a_code(&world.client).await.unwrap();
    for made in join_all((0..20).map(|_| makes_a_code(&world.client))).await {
        made.unwrap();
    }
}

#[tokio::test]
async fn a_probe_that_is_given_up_is_not_the_last() {
    let world = World::warm().await;
    world.suffers(json!({"connection_reset": {"calls": BORNE, "path": CREATE}})).await;
    for _ in 0..BORNE {
        makes_a_code(&world.client).await.unwrap_err();
    }
    sleep(rests(makes_a_code(&world.client).await.unwrap_err()).1).await;
    world.suffers(json!({"latency_ms": 60_000})).await;
    let (probe, other) = (Box::pin(makes_a_code(&world.client)), Box::pin(makes_a_code(&world.client)));
    let Either::Right((refused, probe)) = select(probe, other).await else { panic!("the probe hangs") };
    let (_, left) = rests(refused.unwrap_err());
    assert!(left > CALL_TIMEOUT / 2 && left <= CALL_TIMEOUT, "as long as the probe may take: {left:?}");
    drop(probe);
    world.suffers(json!({"latency_ms": 0})).await;
    makes_a_code(&world.client).await.unwrap();
}

#[tokio::test]
async fn a_used_up_quota_stops_the_calls_that_it_is_for_as_long_as_it_names() {
    // Close to midnight a day's rest is short, and just after it 10 minutes.
    let day = 86_400 + 120;
    for (errcode, shortest, longest) in [(45011, 50, 70), (45009, 31, day)] {
        let world = World::warm().await;
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1, "path": CREATE}})).await;
        let told = makes_a_code(&world.client).await.unwrap_err().retry_after().as_secs();
        let error = makes_a_code(&world.client).await.unwrap_err();
        assert!(error.retry_after().as_secs() <= told, "who waits as long as was told first finds it over");
        let (cause, left) = rests(error);
        assert_eq!(code_of(&cause), errcode);
        // Something of it has passed.
        assert!((shortest..=longest).contains(&left.as_secs()), "{errcode}: {left:?}");
        looks_up(&world.client).await.expect("another call has a quota of its own");
        assert_eq!(world.traffic().await, (1, 2), "{errcode}");
    }
}

#[tokio::test]
async fn what_an_operator_must_mend_stops_the_calls_at_once() {
    let codes =
        [(48001, CREATE), (48004, CREATE), (50007, CREATE), (40125, STABLE_TOKEN), (40243, STABLE_TOKEN)];
    for (errcode, path) in codes {
        let world = World::new().await;
        world.suffers(json!({"error": {"errcode": errcode, "calls": 1000, "path": path}})).await;
        assert_eq!(code_of(&makes_a_code(&world.client).await.unwrap_err()), errcode);
        for refused in join_all((0..50).map(|_| makes_a_code(&world.client))).await {
            let (cause, left) = rests(refused.unwrap_err());
            assert_eq!(code_of(&cause), errcode);
            assert!((20..=30).contains(&left.as_secs()), "{errcode}: {left:?}");
        }
        assert_eq!(world.calls(path).await, 1, "{errcode}");
        assert_eq!(world.calls(STABLE_TOKEN).await, 1, "{errcode} is not about the token");
    }
}
