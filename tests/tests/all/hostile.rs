//! C5: what the callback's program does with bodies that are far too large.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use callback::signature::Token;
use futures_util::future::join_all;
use tests::patience::within;
use tests::program::{Program, setting};
use tests::redis::RedisServer;
use tests::stack::{Account, is_well};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What each sender would like to send.
const BODY: usize = 10 << 20;
/// Senders at the same time; a callback that kept their bodies would need 320 MiB.
const SENDERS: usize = 32;
/// What the callback may need more than before, in all.
const GROWTH_MAX_KIB: u64 = 16 << 10;

#[tokio::test]
async fn c5_ten_mebibytes_leave_the_memory_flat() {
    for mode in ["safe", "plain"] {
        let (account, redis) = (Account::random(), RedisServer::start().await);
        let mut settings = account.settings(mode);
        settings.push(setting("REDIS_URL", redis.url().expose()));
        let callback = Program::start("callback", settings).await;
        is_well(&callback).await;
        let requests = Arc::new(requests(&account));
        // Once, so that what is there for good is there.
        crowd(&callback, &requests).await;
        let before = peak_memory_kib(&callback);
        for _ in 0..3 {
            crowd(&callback, &requests).await;
        }
        let growth = peak_memory_kib(&callback) - before;
        assert!(growth < GROWTH_MAX_KIB, "{growth} KiB more than {before} KiB");
        is_well(&callback).await;
    }
}

/// Heads, and the bodies that follow them as far as the callback takes them.
fn requests(account: &Account) -> Vec<(String, Vec<u8>)> {
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
    let signature = Token::parse(&account.token).unwrap().sign(&timestamp, "1");
    let encrypted = "&encrypt_type=aes&msg_signature=0";
    let chunk = format!("{:x}\r\n{}\r\n", 32 << 10, "a".repeat(32 << 10)).into_bytes();
    let deep = "<a>".repeat(BODY / 3).into_bytes();
    let mut requests = Vec::new();
    for query in [
        format!("signature={signature}&timestamp={timestamp}&nonce=1"),
        format!("signature={signature}&timestamp={timestamp}&nonce=1{encrypted}"),
        format!("signature=0&timestamp={timestamp}&nonce=1{encrypted}"),
    ] {
        let head =
            |framing: &str| format!("POST /wechat/callback?{query} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
        requests.push((head("transfer-encoding: chunked"), chunk.repeat(BODY / chunk.len())));
        requests.push((head(&format!("content-length: {BODY}")), deep.clone()));
        // As much as is read at the most.
        requests.push((head("content-length: 65536"), deep[..65_536].to_vec()));
    }
    requests
}

async fn crowd(callback: &Program, requests: &Arc<Vec<(String, Vec<u8>)>>) {
    let address = callback.public();
    let senders = (0..SENDERS).map(|n| {
        let requests = requests.clone();
        tokio::spawn(async move {
            let (head, body) = &requests[n % requests.len()];
            let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
            let mut answer = [0; 12];
            let sends = async {
                // The callback's end makes writing fail.
                let _ = write.write_all(head.as_bytes()).await;
                let _ = write.write_all(body).await;
            };
            let (answered, ()) = tokio::join!(within("an answer", read.read_exact(&mut answer)), sends);
            answered.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
        })
    });
    for sender in join_all(senders).await {
        sender.unwrap();
    }
}

/// The most that the program ever had in memory.
fn peak_memory_kib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
