//! Looking people up.

use super::*;

#[tokio::test]
async fn a_stranger_has_nothing_to_tell() {
    let world = World::new().await;
    match looks_up(&world.client).await {
        Ok(person) => assert!(person.unionid.is_none() && person.nickname.is_none()),
        Err(error) => assert_eq!(code_of(&error), 40003),
    }
}

#[tokio::test]
async fn a_persons_own_error_is_nobodys_trouble() {
    let world = World::warm().await;
    let strangers = 4 * BORNE;
    world.suffers(json!({"error": {"errcode": 40003, "calls": strangers, "path": USER_INFO}})).await;
    for _ in 0..strangers {
        assert_eq!(code_of(&looks_up(&world.client).await.unwrap_err()), 40003);
    }
    looks_up(&world.client).await.unwrap();
}

#[tokio::test]
async fn a_look_up_ends_before_redeeming_goes_on_without_it_whatever_the_platform_does() {
    let world = World::warm().await;
    looks_up(&world.client).await.unwrap();
    world.suffers(json!({"error": {"errcode": -1, "calls": 1000, "path": USER_INFO}})).await;
    assert_eq!(code_of(&looks_up(&world.client).await.unwrap_err()), -1);
    let slow = json!({"error": {"errcode": -1, "calls": 1000, "path": USER_INFO}, "latency_ms": 1000});
    world.suffers(slow).await;
    let error = looks_up(&world.client).await.unwrap_err();
    assert_eq!(code_of(&error), -1, "an answer that could not be waited for was not asked for");
    assert!(world.calls(USER_INFO).await <= 1 + 3 + 1);
    world.suffers(json!({"reset": true, "latency_ms": 60_000})).await;
    let silent = join_all((0..BORNE).map(|_| looks_up(&world.client))).await;
    for error in silent.into_iter().map(Result::unwrap_err) {
        assert!(matches!(&error, Error::Unreachable(why) if why == "no answer in time"), "{error:?}");
    }
    rests(looks_up(&world.client).await.unwrap_err());
    world.suffers(json!({"latency_ms": 0})).await;
    makes_a_code(&world.client).await.expect("QR codes are another matter");
}
