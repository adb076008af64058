//! What is served to browsers, and what a page of ours or of somebody else may do with it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::application::Application;
use tests::chromium::Chromium;
use tests::http;
use tests::loopback;
use tests::patience::within;
use tests::program::{Program, setting};
use tests::stack::{scan_at, somebodys_openid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const REDEEM_SECRET: &str = "a-secret-of-mine";

/// A standalone whose origin is known before it runs, so that `ALLOWED_ORIGINS` can name it.
async fn standalone(settings: &[(&str, &str)]) -> Program {
    let mut all = vec![setting("REDEEM_SECRET", REDEEM_SECRET)];
    all.extend(settings.iter().map(|(name, value)| setting(*name, *value)));
    Program::start("standalone", all).await
}

/// The QR codes that the platform has made.
async fn codes(standalone: &Program) -> usize {
    let request = http::client().get(format!("{}/simulator/codes", standalone.url())).send();
    let body: Value = within("the codes", request).await.unwrap().json().await.unwrap();
    body["codes"].as_array().unwrap().len()
}

/// Somebody else's site: one page at every path.
struct Site {
    address: SocketAddr,
    server: tokio::task::AbortHandle,
}

impl Site {
    /// `page` is told the site's origin.
    async fn start(page: impl FnOnce(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let page = page(&format!("http://{address}"));
        let router = Router::new().fallback(get(move || async { Html(page) }));
        let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() }).abort_handle();
        Self { address, server }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An application's page with the element of `gateway`; it writes down what it is told.
fn embedding(gateway: &str) -> String {
    format!(
        "<!doctype html><title>An application</title>
        <script>
            window.told = [];
            for (const what of ['success', 'expired', 'error'])
                addEventListener('scan-login-' + what, ({{ type, detail }}) => told.push({{ type, ...detail }}));
        </script>
        <script type=module src='{gateway}/sdk/scan-login.js'></script>
        <scan-login server='{gateway}'></scan-login>"
    )
}

#[tokio::test]
async fn b6_every_part_of_the_page_is_served_under_a_strict_policy() {
    let standalone = standalone(&[]).await;
    for path in ["/", "/page.js", "/page.css"] {
        let answer = http::client().get(format!("{}{path}", standalone.url())).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let header = |name: &str| {
            let values: Vec<_> = answer.headers().get_all(name).iter().collect();
            let [value] = values[..] else { panic!("{path}: {name} is there {} times", values.len()) };
            value.to_str().unwrap().to_ascii_lowercase()
        };
        let policy = header("content-security-policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        for needed in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(directives.contains(&needed), "{path}: {needed} in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(header("x-frame-options"), "deny", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.headers().get("set-cookie").is_none(), "{path}");
        // A page that needs what its policy forbids would not work.
        let body = answer.text().await.unwrap();
        assert!(
            !body.contains("style=") && !body.contains("<script>") && !body.contains("onclick"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_element_is_served_to_any_origin_and_the_page_to_its_own() {
    let standalone = standalone(&[]).await;
    let fetch = async |path: &str| {
        let request = http::client().get(format!("{}{path}", standalone.url()));
        request.header("origin", "https://shop.example").send().await.unwrap()
    };
    let element = fetch("/sdk/scan-login.js").await;
    assert_eq!(element.status(), StatusCode::OK);
    let header = |name: &str| element.headers()[name].to_str().unwrap();
    assert_eq!(header("access-control-allow-origin"), "*");
    assert_eq!(header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-type").starts_with("text/javascript"));
    assert!(!element.headers().contains_key("access-control-allow-credentials"));
    for path in ["/", "/page.js", "/page.css", "/api/redeem"] {
        assert!(!fetch(path).await.headers().contains_key("access-control-allow-origin"), "{path}");
    }
}

#[tokio::test]
async fn b6_a_page_in_somebody_elses_frame_shows_and_starts_nothing() {
    let own = loopback::socket_address();
    let site = Site::start(|_| {
        // The frame first; when it has loaded whatever it may, the element as a clock for what it would have started.
        format!(
            "<!doctype html><title>A trap</title><body><script>
            const frame = document.createElement('iframe');
            frame.src = 'http://{own}/';
            frame.onload = () => {{
                const module = document.createElement('script');
                module.type = 'module';
                module.src = 'http://{own}/sdk/scan-login.js';
                document.body.append(module, document.createElement('scan-login'));
            }};
            document.body.append(frame);
            </script>"
        )
    })
    .await;
    let listen = own.to_string();
    // Both could open a session, so that nothing but the frame keeps the page from it.
    let origins = format!("http://{own},{}", site.origin());
    let standalone = standalone(&[("STANDALONE_LISTEN", &listen), ("ALLOWED_ORIGINS", &origins)]).await;
    let browser = Chromium::start("zh-CN").await;
    browser.open(&site.origin()).await;
    browser.login_is("waiting").await;
    assert_eq!(codes(&standalone).await, 1, "the element's code and no other");
    browser.open(&standalone.url()).await;
    browser.login_is("waiting").await;
    assert_eq!(codes(&standalone).await, 2, "without a frame the page has one");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_embeds_the_login_and_gets_a_code_that_redeems() {
    let own = loopback::socket_address();
    let site = Site::start(|_| embedding(&format!("http://{own}"))).await;
    let listen = own.to_string();
    let standalone = standalone(&[("STANDALONE_LISTEN", &listen), ("ALLOWED_ORIGINS", &site.origin())]).await;
    let browser = Chromium::start("zh-CN").await;
    browser.open(&site.origin()).await;
    browser.login_is("waiting").await;
    let person = somebodys_openid();
    scan_at(&standalone.url(), &json!({ "content": browser.qr_code().await, "openid": person })).await;
    browser.login_is("success").await;
    let told = browser.run("return told").await;
    let [success] = &told.as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&success["type"], &success["user"]), (&json!("scan-login-success"), &json!("微信用户")));
    let application = Application::new(standalone.url(), REDEEM_SECRET);
    assert_eq!(application.redeem(success["code"].as_str().unwrap()).await.openid, person);
}

#[tokio::test]
async fn b1_a_page_of_another_origin_embeds_the_login_in_vain() {
    let standalone = standalone(&[]).await;
    let site = Site::start(|_| embedding(&standalone.url())).await;
    let browser = Chromium::start("zh-CN").await;
    browser.open(&site.origin()).await;
    browser.login_is("reconnecting").await;
    assert_eq!(codes(&standalone).await, 0, "nothing was made");
    assert_eq!(browser.run("return sessionStorage.length").await, 0);
}

/// What every access log on the way could hold: what clients say, as it passes, a connection apart from another.
#[derive(Clone, Default)]
struct Overheard(Arc<Mutex<Vec<Vec<u8>>>>);

impl Overheard {
    /// Relays to `server` and listens.
    async fn start(server: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (overheard, address) = (Self::default(), listener.local_addr().unwrap());
        let all = overheard.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(all.clone().relay(client, server));
            }
        });
        (overheard, address)
    }

    async fn relay(self, client: TcpStream, server: SocketAddr) {
        let server = TcpStream::connect(server).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let connection = {
            let mut connections = self.0.lock().unwrap();
            connections.push(Vec::new());
            connections.len() - 1
        };
        let requests = async {
            let mut said = Vec::new();
            while let Ok(1..) = from_client.read_buf(&mut said).await {
                self.0.lock().unwrap()[connection].extend(&said);
                if to_server.write_all(&said).await.is_err() {
                    break;
                }
                said.clear();
            }
        };
        // Either side's end is the other's.
        tokio::select! {
            () = requests => {}
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        }
    }

    /// The lines that satisfy `is`; frames of WebSockets are none.
    fn lines(&self, is: impl Fn(&str) -> bool) -> Vec<String> {
        let connections = self.0.lock().unwrap();
        let said = connections.iter().map(|said| String::from_utf8_lossy(said));
        said.flat_map(|said| said.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| is(line))
            .collect()
    }
}

fn is_request_line(line: &str) -> bool {
    line.ends_with(" HTTP/1.1")
}

fn is_referer(line: &str) -> bool {
    line.to_ascii_lowercase().starts_with("referer:")
}

#[tokio::test]
async fn b8_no_secret_is_in_a_url_a_referer_or_the_history() {
    let standalone = standalone(&[]).await;
    let (overheard, address) = Overheard::start(standalone.public()).await;
    let (browser, page) = (Chromium::start("zh-CN").await, format!("http://{address}/"));
    browser.open(&page).await;
    browser.login_is("waiting").await;
    let session = browser.run("return sessionStorage.getItem(sessionStorage.key(0))").await;
    let session = session.as_str().unwrap();
    browser.reload().await;
    browser.login_is("waiting").await;
    browser.run("addEventListener('scan-login-success', ({ detail }) => window.code = detail.code)").await;
    scan_at(&standalone.url(), &json!({ "content": browser.qr_code().await })).await;
    let code = browser.eventually("the code", "return window.code").await;
    let code = code.as_str().unwrap();
    browser.login_is("success").await;
    assert_eq!(browser.run("return [location.href, document.cookie, history.length]").await[0], page);
    browser.reload().await;
    browser.login_is("success").await;
    let after = browser.run("return [location.href, document.cookie, localStorage.length]").await;
    assert_eq!(after, json!([page, "", 0]));
    let stored = browser.run("return JSON.stringify({ ...sessionStorage })").await.to_string();
    assert!(stored.contains(session) && !stored.contains(code), "{stored}");

    let requests = overheard.lines(is_request_line);
    let sockets = requests.iter().filter(|line| *line == "GET /ws HTTP/1.1").count();
    assert_eq!(sockets, 3, "{requests:?}");
    let resumes = overheard.lines(|line| line.to_ascii_lowercase().starts_with("sec-websocket-protocol:"));
    assert!(resumes.iter().any(|line| line.contains(session)), "the relay hears secrets: {resumes:?}");
    let paths: BTreeSet<&str> = requests.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(paths, BTreeSet::from(["/", "/page.css", "/page.js", "/sdk/scan-login.js", "/ws"]));
    for line in requests.iter().chain(&overheard.lines(is_referer)) {
        assert!(!line.contains(session) && !line.contains(code) && !line.contains('?'), "{line}");
    }
}
