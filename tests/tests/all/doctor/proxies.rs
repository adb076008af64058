//! What stands between the internet and the programs, and does something else than it should.

use std::net::SocketAddr;
use std::time::Duration;

use tests::doctor::{Doctor, Report};
use tests::loopback;
use tests::nginx::Nginx;
use tests::relay::{Relay, Target};
use tests::stack::{Plan, Stack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A stack, and in front of it one more nginx.
struct World {
    stack: Stack,
    doctor: Doctor,
}

impl World {
    async fn new() -> Self {
        let stack = Plan { gateways: 1, callbacks: 1, ..Plan::default() }.start().await;
        let doctor = Doctor::of_stack(&stack);
        Self { stack, doctor }
    }

    fn gateway(&self) -> SocketAddr {
        self.stack.gateways[0].public()
    }

    fn callback(&self) -> SocketAddr {
        self.stack.callbacks[0].public()
    }

    /// Locations that work as they should.
    fn good_page(&self) -> String {
        format!(
            "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Host $http_host; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}",
            self.gateway()
        )
    }

    fn good_callback(&self) -> String {
        format!("location = /wechat/callback {{ proxy_pass http://{}; }}", self.callback())
    }

    /// What the doctor says of a proxy with these locations.
    async fn sees_proxy(&self, locations: &[&str]) -> Report {
        let mut nginx = Nginx::absent();
        let address = nginx.address();
        nginx.start_with(&format!("server {{ listen {address}; {} }}", locations.join(" "))).await;
        let report = self.doctor.given("PUBLIC_URL", &format!("http://{address}")).looks().await;
        report.is_readable();
        report
    }

    async fn sees_callback(&self, location: &str) -> Report {
        let location = format!("location = /wechat/callback {{ {location} }}");
        self.sees_proxy(&[&self.good_page(), &location]).await
    }

    async fn sees_page(&self, locations: &str) -> Report {
        self.sees_proxy(&[&self.good_callback(), locations]).await
    }
}

#[tokio::test]
async fn whatever_answers_in_the_callbacks_place_is_named() {
    let world = World::new().await;
    world.sees_proxy(&[&world.good_page(), &world.good_callback()]).await.is_well();

    let gateway = format!("proxy_pass http://{};", world.gateway());
    world
        .sees_callback(&gateway)
        .await
        .fails_only("callback", &["404", "gateway answers 404 as well", "8081"]);
    let redirect = "return 301 https://login.example.com/wechat/callback/?$args;";
    let report = world.sees_callback(redirect).await;
    let says =
        ["a redirect (301) to https://login.example.com/wechat/callback/ ", "no redirect", "服务器地址(URL)"];
    report.fails_only("callback", &says);
    assert!(!report.printed.contains("signature="), "{}", report.printed);

    let echo = |body: &str| format!("default_type text/plain; return 200 {body};");
    world.sees_callback(&echo(r#"'"$arg_echostr"'"#)).await.fails_only("callback", &["quotes", "JSON"]);
    world.sees_callback(&echo("'$arg_echostr\\n'")).await.fails_only("callback", &["line ends"]);
    world.sees_callback(&echo("'ok $arg_echostr'")).await.fails_only("callback", &["around it: ok "]);
    world.sees_callback(&echo("''")).await.fails_only("callback", &["empty body"]);
    world.sees_callback(&echo("success")).await.fails_only("callback", &["another text", "success"]);
    let wall = echo("'<!doctype html><title>Sign in</title>'");
    world.sees_callback(&wall).await.fails_only("callback", &["HTML page", "\"Sign in\"", "login wall"]);
    let leak = echo(&format!("'token {}'", world.stack.account.token));
    world.sees_callback(&leak).await.fails_only("callback", &["token [hidden]"]);

    world.sees_callback("return 403;").await.fails_only("callback", &["403", "firewall"]);
    world.sees_callback("return 401;").await.fails_only("callback", &["401", "password"]);
    world.sees_callback("return 429;").await.fails_only("callback", &["429", "limits"]);
    world.sees_callback("return 444;").await.fails_only("callback", &["no answer"]).says(
        "ok",
        "page",
        &["WebSocket"],
    );
    let nobody = format!("proxy_pass http://{};", loopback::socket_address());
    world.sees_callback(&nobody).await.fails_only("callback", &["502", "does not reach the callback"]);
}

#[tokio::test]
async fn who_believes_anybody_is_no_callback() {
    let world = World::new().await;
    let report = world.sees_callback("default_type text/plain; return 200 $arg_echostr;").await;
    report
        .says("ok", "callback", &["byte for byte"])
        .fails("callback", &["wrong signature", "believes anybody"]);
}

#[tokio::test]
async fn a_firewall_that_lets_verifications_through_and_no_pushes_is_named() {
    let world = World::new().await;
    let only_get =
        format!("if ($request_method = POST) {{ return 403; }} proxy_pass http://{};", world.callback());
    let report = world.sees_callback(&only_get).await;
    report.fails_only("aes/mode", &["403", "firewall"]).says("ok", "callback", &["byte for byte"]);
}

#[tokio::test]
async fn a_proxy_that_keeps_browsers_from_the_gateway_is_named() {
    let world = World::new().await;
    let gateway = world.gateway();
    let usual = "proxy_http_version 1.1; proxy_set_header Host $http_host;";
    let no_upgrade = format!("location / {{ proxy_pass http://{gateway}; {usual} }}");
    world.sees_page(&no_upgrade).await.fails_only("page", &["status 400", "Upgrade $http_upgrade"]);
    let no_host = format!(
        "location / {{ proxy_pass http://{gateway}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection upgrade; }}"
    );
    world.sees_page(&no_host).await.fails_only("page", &["403", "Host $http_host"]);
    let page = format!("location = / {{ proxy_pass http://{gateway}; {usual} }}");
    for (rest, says) in [
        ("return 403;", ["403", "firewall"]),
        ("return 404;", ["404", "8080"]),
        ("return 429 'slow down';", ["429", "a proxy limits"]),
        ("return 503;", ["503", "MAX_CONNECTIONS"]),
        ("return 302 /login;", ["redirect (302)", "no redirect"]),
    ] {
        world.sees_page(&format!("{page} location / {{ {rest} }}")).await.fails_only("page", &says);
    }
    let nobody = loopback::socket_address();
    let nobody = format!("{page} location / {{ proxy_pass http://{nobody}; }}");
    world.sees_page(&nobody).await.fails_only("page", &["502", "does not reach a gateway"]);
    let other_page =
        "location / { default_type text/html; return 200 '<html><title>Welcome to nginx!</title>'; }";
    let report = world.sees_page(other_page).await;
    report
        .fails("page", &["does not show the login page", "Welcome to nginx!"])
        .fails("page", &["/ws", "status 200"]);
}

/// Answers every request on a port of its own with these bytes, and the last of them again and again if `for_ever`.
async fn answering(bytes: &'static [u8], for_ever: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let mut sent = socket.write_all(bytes).await;
                while sent.is_ok() && !for_ever.is_empty() {
                    sent = socket.write_all(for_ever).await;
                }
                let _ = socket.shutdown().await;
            });
        }
    });
    url
}

#[tokio::test]
async fn who_upgrades_without_knowing_websocket_is_no_gateway() {
    let world = World::new().await;
    let callback = format!("http://{}/wechat/callback", world.callback());
    let upgrades = answering(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        b"",
    );
    let doctor = world.doctor.given("CALLBACK_URL", &callback).given("PUBLIC_URL", &upgrades.await);
    doctor.looks().await.fails("page", &["/ws", "Sec-WebSocket-Accept", "no gateway"]);
}

#[tokio::test]
async fn a_page_without_an_end_is_read_at_its_beginning() {
    let world = World::new().await;
    let callback = format!("http://{}/wechat/callback", world.callback());
    let doctor = world.doctor.given("CALLBACK_URL", &callback);
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html><title>For ever</title>";
    let endless = answering(head, &[b'x'; 4096]);
    let report = doctor.given("PUBLIC_URL", &endless.await).looks().await;
    report.fails("page", &["does not show the login page", "titled \"For ever\""]);
}

#[tokio::test]
async fn a_name_or_a_port_where_nobody_is_is_named_once() {
    let world = World::new().await;
    let closed = format!("http://{}", loopback::socket_address());
    let report = world.doctor.given("PUBLIC_URL", &closed).looks().await;
    report.fails_only("callback", &["nobody answers on port", "refused"]);
    report.says("skip", "aes/mode", &["cannot be reached"]).says("skip", "page", &["see callback"]);
    let report = world.doctor.given("PUBLIC_URL", "http://nowhere.invalid").looks().await;
    report.fails_only("callback", &["nowhere.invalid: no such name", "A and AAAA records"]);
}

#[tokio::test]
async fn the_callback_may_be_at_another_url_than_the_page() {
    let world = World::new().await;
    let (page, callback) = (format!("http://{}", world.gateway()), format!("http://{}", world.callback()));
    let doctor = world.doctor.given("PUBLIC_URL", &page);
    doctor.given("CALLBACK_URL", &format!("{callback}/wechat/callback")).looks().await.is_well();
    doctor.looks().await.fails_only("callback", &["404"]);
    // What is known of the page says nothing of the callback, and the other way round.
    let closed = format!("http://{}", loopback::socket_address());
    let report = doctor.given("CALLBACK_URL", &format!("{closed}/wechat/callback")).looks().await;
    report.fails_only("callback", &["refused"]).says("ok", "page", &["WebSocket"]);
    let doctor = world.doctor.given("CALLBACK_URL", &format!("{callback}/wechat/callback"));
    doctor.given("PUBLIC_URL", &closed).looks().await.fails_only("page", &["refused"]);
    doctor.not_given("PUBLIC_URL").looks().await.is_well().says("skip", "page", &["PUBLIC_URL is not set"]);
}

#[tokio::test]
async fn a_callback_that_is_slow_from_outside_is_a_warning_and_one_that_hangs_is_given_up() {
    let world = World::new().await;
    let address = world.callback();
    let relay = Relay::to(Target::Tcp(address)).await;
    let url = format!("http://{}/wechat/callback", relay.address());
    let doctor = world.doctor.given("CALLBACK_URL", &url);
    // Each way: above the 3 s that are slow by as little as can be, for the 5 s after which it is given up are near.
    relay.delay(Duration::from_millis(1510));
    let report = doctor.looks().await;
    report.is_well().says("warn", "callback", &["byte for byte", "slow", "gives up after 5 s"]);
    report.says("warn", "aes/mode", &["slow"]);
    relay.hold_all();
    let report = doctor.looks().await;
    report.fails_only("callback", &["no answer in time", "gives up after 5 s"]).says("skip", "aes/mode", &[]);
}

#[tokio::test]
async fn a_callback_that_hangs_does_not_hide_the_page_behind_the_same_proxy() {
    let world = World::new().await;
    let relay = Relay::to(Target::Tcp(world.callback())).await;
    relay.hold_all();
    let report = world.sees_callback(&format!("proxy_pass http://{};", relay.address())).await;
    report.fails_only("callback", &["no answer in time", "gives up after 5 s"]);
    report.says("skip", "aes/mode", &["does not answer"]).says("ok", "page", &["WebSocket"]);
}
