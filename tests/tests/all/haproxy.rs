//! HAProxy as docs/haproxy.cfg sets it up, before real replicas: only the addresses are others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tests::browser::Browser;
use tests::child::Child;
use tests::patience::until;
use tests::program::{Program, setting};
use tests::stack::{Plan, Stack, somebodys_openid};
use tests::{application::Application, http, loopback};
use tokio::net::TcpStream;

use crate::bounds::sent;

struct HaProxy {
    directory: TempDir,
    address: SocketAddr,
    _server: Child,
}

impl HaProxy {
    async fn start(address: SocketAddr, gateways: &[Program], callbacks: &[Program]) -> Self {
        let mut text =
            include_str!("../../../docs/haproxy.cfg").replace("bind :80\n", &format!("bind {address}\n"));
        for (kind, programs) in [("gateway", gateways), ("callback", callbacks)] {
            for (number, program) in (1..).zip(programs) {
                let name = format!("    server {kind}-{number} ");
                let line = text.lines().find(|line| line.starts_with(&name)).unwrap().to_owned();
                let admin = program.admin_url().rsplit_once(':').unwrap().1.to_owned();
                text = text.replace(&line, &format!("{name}{} check port {admin}", program.public()));
            }
        }
        assert!(!text.contains("192.0.2."), "{text}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("haproxy.cfg");
        std::fs::write(&path, text).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut server = Child::start(executable(), |command| {
            // In the foreground, one process.
            command.arg("-db").arg("-f").arg(&path);
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        });
        until("HAProxy to listen", async || {
            assert!(server.is_running(), "{:?}", std::fs::read_to_string(directory.path().join("log")));
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { directory, address, _server: server }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

/// Debian keeps it where only root's PATH leads.
fn executable() -> PathBuf {
    let usual = PathBuf::from("/usr/sbin/haproxy");
    if usual.exists() { usual } else { "haproxy".into() }
}

async fn somebody_logs_in(stack: &Stack, proxy: &HaProxy) {
    let mut browser = Browser::open(&proxy.url()).await;
    let content = browser.qr_code().await.content;
    let person = somebodys_openid();
    let scan = stack.scan(&content, &person).await;
    assert_eq!(scan.attempts.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [Some(200)]);
    let application = Application::new(proxy.url(), &stack.account.redeem_secret);
    assert_eq!(application.redeem(&browser.success().await.code).await.openid, person);
}

#[tokio::test]
async fn people_log_in_through_haproxy_and_a_replica_that_dies_costs_no_push() {
    let address = loopback::socket_address();
    let callback_url = format!("http://{address}/wechat/callback");
    let settings =
        vec![setting("SIMULATOR_CALLBACK_URL", callback_url), setting("QR_LIMIT_PER_CLIENT", "20/min")];
    let mut stack = Plan { settings, ..Plan::default() }.start().await;
    let proxy = HaProxy::start(address, &stack.gateways, &stack.callbacks).await;
    assert!(sent(http::client().get(proxy.url())).await.status().is_success());
    for _ in 0..4 {
        somebody_logs_in(&stack, &proxy).await;
    }
    let log = proxy.log();
    for replica in
        ["gateways/gateway-1", "gateways/gateway-2", "callbacks/callback-1", "callbacks/callback-2"]
    {
        assert!(log.contains(replica), "no {replica} in {log}");
    }
    let large = http::client().post(format!("{}/wechat/callback", proxy.url())).body(vec![b'x'; 65_537]);
    assert_eq!(sent(large).await.status(), 413);

    // Its next look is up to two seconds away: until then it finds out by asking.
    stack.callbacks[1].kill();
    for _ in 0..4 {
        somebody_logs_in(&stack, &proxy).await;
    }
    stack.gateways[0].kill();
    until("the other gateway alone", async || proxy.log().contains("gateways/gateway-1 is DOWN")).await;
    for _ in 0..2 {
        somebody_logs_in(&stack, &proxy).await;
    }
    let log = proxy.log();
    assert!(log.contains("\"path\":\"/wechat/callback\"") && log.contains("\"path\":\"/ws\""), "{log}");
    for secret in ["signature", "openid", "nonce"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    assert!(
        !stack.printed().contains("a forwarded address is not believed"),
        "who is before them is a proxy of theirs"
    );
}
