//! A callback with other settings than the doctor's.

use tests::doctor::Doctor;
use tests::program::setting;
use tests::stack::{Account, Plan, Stack};

async fn small(mode: &'static str) -> Stack {
    Plan { mode, gateways: 1, callbacks: 1, ..Plan::default() }.start().await
}

#[tokio::test]
async fn another_token_is_named_and_nothing_more_is_asked() {
    let stack = small("safe").await;
    let report = Doctor::of_stack(&stack).given("WECHAT_TOKEN", &Account::random().token).looks().await;
    report.is_readable().fails_only("callback", &["403", "another Token", "WECHAT_TOKEN", "令牌(Token)"]);
    report.says("skip", "aes/mode", &["verification"]).says("ok", "page", &["WebSocket"]);
}

#[tokio::test]
async fn another_key_or_app_id_is_named() {
    let stack = small("safe").await;
    let doctor = Doctor::of_stack(&stack);
    let other = Account::random();
    let report = doctor.given("WECHAT_ENCODING_AES_KEY", &other.aes_key).looks().await;
    report
        .is_readable()
        .fails_only("aes/mode", &["EncodingAESKey", "app id", "mode and Token fit", "no key fits"]);
    assert!(stack.printed().contains("no key fits"), "the log tells which, as the doctor says");

    // The platform does not know it either.
    let report = doctor.given("WECHAT_APP_ID", &other.app_id).looks().await;
    report.fails("aes/mode", &["app id", "it is for another app id"]).fails("token", &["40013"]);
    assert!(stack.printed().contains("it is for another app id"), "the log tells which, as the doctor says");
}

#[tokio::test]
async fn of_several_keys_the_one_that_the_callback_lacks_is_named() {
    let stack = small("safe").await;
    let doctor = Doctor::of_stack(&stack);
    let (ours, other) = (&stack.account.aes_key, &Account::random().aes_key);
    let report = doctor.given("WECHAT_ENCODING_AES_KEY", &format!("{other},{ours}")).looks().await;
    report.fails_only("aes/mode", &["does not have EncodingAESKey 1"]).says(
        "ok",
        "aes/mode",
        &["EncodingAESKey 2"],
    );
    let report = doctor.given("WECHAT_ENCODING_AES_KEY", &format!("{ours},{other}")).looks().await;
    report.fails_only("aes/mode", &["does not have EncodingAESKey 2"]).says(
        "ok",
        "aes/mode",
        &["EncodingAESKey 1"],
    );
}

#[tokio::test]
async fn another_mode_is_named_both_ways() {
    let safe = small("safe").await;
    let doctor = Doctor::of_stack(&safe);
    let plain = doctor.given("WECHAT_MESSAGE_MODE", "plain").not_given("WECHAT_ENCODING_AES_KEY");
    let says = ["mode is safe or compatible", "settings say plain", "消息加解密方式"];
    plain.looks().await.is_readable().fails_only("aes/mode", &says);
    // These two take each other's pushes.
    doctor.given("WECHAT_MESSAGE_MODE", "compatible").looks().await.is_well();

    let plain = small("plain").await;
    for mode in ["safe", "compatible"] {
        let report = Doctor::of_stack(&plain).given("WECHAT_MESSAGE_MODE", mode).looks().await;
        let settings = format!("settings say {mode}");
        report.fails_only("aes/mode", &["mode is plain", &settings, "WECHAT_MESSAGE_MODE"]);
    }
}

#[tokio::test]
async fn another_original_id_is_named_in_every_mode() {
    for mode in ["safe", "plain"] {
        let stack = small(mode).await;
        let mut doctor = Doctor::of_stack(&stack).given("WECHAT_MESSAGE_MODE", mode);
        if mode == "plain" {
            doctor = doctor.not_given("WECHAT_ENCODING_AES_KEY");
        }
        let report = doctor.given("WECHAT_ORIGINAL_ID", "gh_another").looks().await;
        report.fails_only("aes/mode", &["gh_another", "all else fits", "原始ID"]);
        let report = doctor.not_given("WECHAT_ORIGINAL_ID").looks().await;
        report.is_well().says("warn", "aes/mode", &["original id", "WECHAT_ORIGINAL_ID"]);
    }
}

#[tokio::test]
async fn a_callback_that_takes_any_account_needs_no_original_id() {
    let unset = setting("WECHAT_ORIGINAL_ID", "");
    let plan = Plan { gateways: 1, callbacks: 1, settings: vec![unset], ..Plan::default() };
    let stack = plan.start().await;
    let doctor = Doctor::of_stack(&stack);
    for doctor in [doctor.not_given("WECHAT_ORIGINAL_ID"), doctor.given("WECHAT_ORIGINAL_ID", "gh_1")] {
        doctor.looks().await.is_well().says("ok", "aes/mode", &[]);
    }
}
