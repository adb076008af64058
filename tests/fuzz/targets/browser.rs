//! A browser's whole connection, in memory: the HTTP request with its origin and subprotocols, then frames. Every answer
//! is one that docs/browser-protocol.md knows, and only who has a session's secret sees anything of it.
//!
//! The lines up to an empty one are the request; `$SESSION`, `$SCANNED` and `$GONE` are the secrets of a login that waits,
//! of one that was scanned, and of nobody's. Each line behind them is a frame: `t` text, `b` binary, `p` ping, `q` pong,
//! `c` close, `x` bytes that are no frame.

#![no_main]

use std::time::Duration;

use fuzz::account::{CONTENT, Login};
use fuzz::from_here;
use fuzz::gateway::{BACKPLANE, GATEWAY, RUNTIME};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use shared::login::SessionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

const TYPES: [&str; 4] = ["qrcode_url", "scan_success", "expired", "error"];
const ERRORS: [&str; 5] =
    ["unknown_session", "replaced", "platform_unavailable", "backplane_unavailable", "bad_message"];
const CLOSE_CODES: [u16; 7] = [1000, 1012, 1008, 1002, 1007, 1009, 1013];

fuzz_target!(|input: &[u8]| -> Corpus {
    RUNTIME.block_on(async {
        timeout(Duration::from_secs(8), run(&String::from_utf8_lossy(input))).await.unwrap()
    })
});

async fn run(input: &str) -> Corpus {
    let Some((head, frames)) = input.split_once("\n\n") else { return Corpus::Reject };
    let (waiting, scanned) = (Login::open(&BACKPLANE, CONTENT).await, Login::open(&BACKPLANE, CONTENT).await);
    scanned.scan(&BACKPLANE, "oSim0_1a2B3c4D5e6F7g8H9i0JkL").await;
    let secrets =
        [("$SESSION", &waiting.session), ("$SCANNED", &scanned.session), ("$GONE", &SessionId::random())];
    let head =
        secrets.iter().fold(head.to_owned(), |head, (word, session)| head.replace(word, &session.expose()));

    let mut sent = format!("{}\r\n\r\n", head.replace('\n', "\r\n")).into_bytes();
    sent.extend(frames.lines().filter(|line| !line.is_empty()).flat_map(frame));
    sent.extend(frame("c"));
    let received = exchange(sent).await;

    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        assert!(received.is_empty(), "{:?}", String::from_utf8_lossy(&received));
        return Corpus::Keep;
    };
    let response = String::from_utf8(received[..end].to_vec()).unwrap();
    let status = response.strip_prefix("HTTP/1.").unwrap()[2..5].to_owned();
    if status != "101" {
        assert!(
            ["200", "400", "403", "404", "405", "426", "413", "414", "431", "505", "501"].contains(&&*status),
            "{response}"
        );
        return Corpus::Keep;
    }
    let text =
        |(opcode, payload): &(u8, Vec<u8>)| (*opcode == 1).then(|| serde_json::from_slice(payload).unwrap());
    let frames = read(&received[end + 4..]);
    for message in frames.iter().filter_map(text) {
        check(&message, &head, [&waiting, &scanned]);
    }
    for (_, payload) in frames.iter().filter(|(opcode, _)| *opcode == 8) {
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        assert!(code.is_none_or(|code| CLOSE_CODES.contains(&code)), "{code:?}");
    }
    Corpus::Keep
}

/// Sends everything, hangs up, and reads what comes until the server does.
async fn exchange(sent: Vec<u8>) -> Vec<u8> {
    let (server, mut client) = duplex(1 << 20);
    let service = TowerToHyperService::new(from_here(GATEWAY.router()));
    let connection = hyper::server::conn::http1::Builder::new()
        .max_headers(64)
        .serve_connection(TokioIo::new(server), service)
        .with_upgrades();
    let mut received = Vec::new();
    let talk = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut received).await.unwrap();
    };
    // An error of the connection is the client's doing; a time-out above is not.
    let _ = tokio::join!(connection, talk);
    received
}

/// A frame as a browser masks it, with a mask of zeros.
fn frame(line: &str) -> Vec<u8> {
    let mut characters = line.chars();
    let opcode = match characters.next() {
        Some('t') => 1,
        Some('b') => 2,
        Some('p') => 9,
        Some('q') => 10,
        Some('c') => 8,
        _ => return characters.as_str().as_bytes().to_vec(),
    };
    let payload = characters.as_str().as_bytes();
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => frame.push(0x80 | length as u8),
        Ok(length) => frame.extend([&[0xfe], &length.to_be_bytes()[..]].concat()),
        Err(_) => frame.extend([&[0xff], &(payload.len() as u64).to_be_bytes()[..]].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The server's frames: opcode and payload.
fn read(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!((first & 0xf0, second & 0x80), (0x80, 0), "whole and unmasked");
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk().unwrap())), &rest[2..]),
            127 => panic!("a message of more than 64 KiB"),
            length => (usize::from(*length), rest),
        };
        frames.push((first & 15, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty() && frames.len() < 500);
    frames
}

/// A message that the protocol knows; a secret or a code only for who showed the secret.
fn check(message: &Value, head: &str, [waiting, scanned]: [&Login; 2]) {
    let kind = message["message_type"].as_str().unwrap();
    assert!(TYPES.contains(&kind), "{message}");
    match kind {
        "qrcode_url" => {
            assert!(head.contains(&waiting.session.expose()));
            assert_eq!(
                (&message["session"], &message["content"]),
                (&waiting.session.expose().into(), &CONTENT.into())
            );
            assert!(
                message["url"].as_str().unwrap().starts_with("data:image/svg+xml,")
                    && message["expires_in"].is_u64()
            );
        }
        "scan_success" => {
            assert!(head.contains(&scanned.session.expose()));
            assert_eq!(message["code"], scanned.session.code().expose());
        }
        "error" => assert!(ERRORS.contains(&message["code"].as_str().unwrap()), "{message}"),
        _ => {}
    }
}
