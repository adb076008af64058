//! What a person sees, in a real browser.

use tests::chromium::Chromium;
use tests::program::{Program, setting};
use tests::stack::{Stack, scan_at, somebodys_openid};

const NAME: &str = "微信用户";

async fn standalone(settings: &[(&str, &str)]) -> Program {
    let settings = settings.iter().map(|(name, value)| setting(*name, *value)).collect();
    Program::start("standalone", settings).await
}

/// Whether the picture of the QR code is on the page, drawn.
const PICTURE: &str = "const image = document.querySelector('scan-login').shadowRoot.querySelector('img'); \
                       return image.naturalWidth > 0 && image.getBoundingClientRect().width > 150";

#[tokio::test]
async fn a_newcomer_scans_through_the_phone_page_and_sees_the_name() {
    let program = standalone(&[]).await;
    let (page, phone) = (Chromium::start("zh-CN").await, Chromium::start("zh-CN").await);
    page.open(&program.url()).await;
    page.login_is("waiting").await;
    page.eventually("the picture", PICTURE).await;
    assert!(page.text().await.contains("微信扫码登录"));

    // What a phone does that reads the QR code: it opens the text in it.
    phone.open(&page.qr_code().await).await;
    phone.eventually("the scan button", "return document.querySelector('#codes button')").await;
    phone.tap("#codes button").await;
    let shown = "return document.querySelector('#log').innerText.includes('登录成功')";
    phone.eventually("the reply on the phone", shown).await;

    page.login_is("success").await;
    assert!(page.text().await.contains(NAME), "{}", page.text().await);
}

#[tokio::test]
async fn the_page_speaks_english_to_who_reads_english() {
    let program = standalone(&[("DISPLAY_NAME", "Somebody")]).await;
    let page = Chromium::start("en-US").await;
    page.open(&program.url()).await;
    page.login_is("waiting").await;
    assert!(page.text().await.contains("Log in with WeChat"));
    scan_at(&program.url(), &serde_json::json!({"content": page.qr_code().await})).await;
    page.login_is("success").await;
    assert!(page.text().await.contains("Hello, Somebody!"), "{}", page.text().await);
}

#[tokio::test]
async fn an_expired_code_shows_its_way_on() {
    let program = standalone(&[("SCENE_TTL", "2s")]).await;
    let page = Chromium::start("zh-CN").await;
    page.open(&program.url()).await;
    let first = page.qr_code().await;
    page.login_is("expired").await;
    page.run("document.querySelector('scan-login').shadowRoot.querySelector('button').click()").await;
    page.login_is("waiting").await;
    assert_ne!(page.qr_code().await, first);
}

#[tokio::test]
async fn a_reload_resumes_and_costs_no_code() {
    let program = standalone(&[]).await;
    let page = Chromium::start("zh-CN").await;
    page.open(&program.url()).await;
    let code = page.qr_code().await;
    page.reload().await;
    page.login_is("waiting").await;
    assert_eq!(page.qr_code().await, code);
    scan_at(&program.url(), &serde_json::json!({"content": code})).await;
    page.login_is("success").await;
    page.reload().await;
    page.login_is("success").await;
}

#[tokio::test]
async fn a_page_outlives_its_gateways() {
    let mut stack = Stack::start().await;
    let page = Chromium::start("zh-CN").await;
    page.open(&stack.url()).await;
    page.login_is("waiting").await;
    let code = page.qr_code().await;
    for gateway in 0..stack.gateways.len() {
        // One of the two has the page; it reconnects by itself, and shows the same code.
        stack.gateways[gateway].kill();
        stack.gateways[gateway].restart().await;
    }
    let scan = stack.scan(&code, &somebodys_openid()).await;
    assert!(scan.shown.is_some_and(|shown| shown.contains("登录成功")));
    page.login_is("success").await;
    assert!(page.text().await.contains(NAME));
}

#[tokio::test]
async fn a_browser_leaves_nothing_behind() {
    let chromium = Chromium::start("en").await;
    let directory = chromium.directory().to_owned();
    let temporary = std::fs::read_dir(directory.join("tmp")).unwrap().count();
    assert!(temporary > 0, "it was told where temporary files belong");
    drop(chromium);
    assert!(!directory.exists());
}
