//! A whole push, from its query and body to the answer and the login. Line: the mode. Line: the query, completed as the
//! query's target does it. Then the body, a line `--`, and the message: `$SCENE` and `$TICKET` are those of a live login,
//! and in the body `$ENCRYPT`, `$OLD` and `$OTHER` the message encrypted: as it must be, under the old key, and for
//! another account.

#![no_main]

use std::sync::LazyLock;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Uri};
use callback::cipher::AesKeys;
use callback::{Callback, Config, Mode, xml};
use fuzz::account::{APP_ID, KEY, Login, OLD_KEY, ORIGINAL_ID, OTHER_TEXTS, SUCCESS, TOKEN, config, now};
use fuzz::cipher::{Key, pack, sign, to_base64};
use fuzz::form::Query;
use fuzz::xml::{Reading, read as second};
use fuzz::{from_here, lines, sections};
use libfuzzer_sys::{Corpus, fuzz_target};
use shared::backplane::{Backplane, MemoryBackplane};
use shared::traces::Traces;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

fuzz_target!(|input: &str| -> Corpus { RUNTIME.block_on(run(input)) });

struct Call {
    uri: Uri,
    body: String,
    message: String,
    /// What the body says that the message is, encrypted.
    encrypted: String,
}

async fn run(input: &str) -> Corpus {
    let config = config(lines::<2>(input)[0]);
    let backplane = Backplane::Memory(MemoryBackplane::default());
    let login = Login::open(&backplane, "").await;
    let callback = Callback::new(config.clone(), backplane.clone(), Traces::off());
    let Some(call) = Call::of(input, &login) else { return Corpus::Reject };
    let Some(authentic) = Query::decode(call.uri.query().unwrap_or_default()).is_authentic() else {
        return Corpus::Reject;
    };
    let first = answer(&callback, &call).await;
    let again = answer(&callback, &call).await;
    let claimed = backplane.redeemable(&login.session.code()).await.unwrap();
    let text = match first.0 {
        200 => shown(&config, &call, &first.1),
        400 | 403 | 413 => {
            assert!(first.1.is_empty() && claimed.is_none());
            return Corpus::Keep;
        }
        status => panic!("status {status}"),
    };
    assert!(
        authentic && Query::decode(call.uri.query().unwrap()).is_unambiguous(),
        "answered what nobody signed"
    );
    assert_eq!(
        (again.0, shown(&config, &call, &again.1)),
        (200, text.clone()),
        "a repeat has the same answer"
    );
    assert_eq!(claimed.is_some(), text.as_deref() == Some(SUCCESS));
    if let Some((scan, _)) = claimed {
        assert!(scan.scene == login.scene);
        call.check_claim(&config, &login, scan.by.expose());
    }
    Corpus::Keep
}

impl Call {
    fn of(input: &str, login: &Login) -> Option<Self> {
        let (outside, message) = sections(input);
        let [_, query, body] = lines(outside);
        let live =
            |text: &str| text.replace("$SCENE", &login.scene.expose()).replace("$TICKET", &login.ticket);
        let message = live(message);
        let encrypt = |key: &str, app_id: &str| {
            to_base64(&Key::parse(key).unwrap().encrypt(&pack([b'r'; 16], message.as_bytes(), app_id)))
        };
        let kinds =
            [("$ENCRYPT", KEY, APP_ID), ("$OLD", OLD_KEY, APP_ID), ("$OTHER", KEY, "wx0123456789abcdee")];
        let mut body = live(body);
        let mut encrypted = String::new();
        for (word, key, app_id) in kinds {
            if body.contains(word) && encrypted.is_empty() {
                encrypted = encrypt(key, app_id);
                body = body.replace(word, &encrypted);
            }
        }
        if encrypted.is_empty()
            && let Reading::Fields([Some(own)]) = second(body.as_bytes(), ["Encrypt"])
        {
            encrypted = own.trim().to_owned();
        }
        let uri = format!("/wechat/callback?{}", Query::complete(query, &encrypted)).parse().ok()?;
        Some(Self { uri, body, message, encrypted })
    }

    /// A login was claimed: the platform said so, of this account, in this mode, with the right ticket.
    fn check_claim(&self, config: &Config, login: &Login, by: &str) {
        let query = Query::decode(self.uri.query().unwrap());
        let message = match config.mode {
            Mode::Plain => {
                assert!(
                    matches!(query.get("encrypt_type"), None | Some("raw"))
                        && !self.body.contains("<Encrypt>")
                );
                &self.body
            }
            Mode::Safe(_) | Mode::Compatible(_) => {
                let parts = [TOKEN, query.first("timestamp"), query.first("nonce"), &self.encrypted];
                assert_eq!(query.get("encrypt_type"), Some("aes"));
                assert_eq!(query.first("msg_signature").to_ascii_lowercase(), sign(&parts));
                &self.message
            }
        };
        let wanted = ["FromUserName", "ToUserName", "Event", "EventKey", "Ticket"];
        let Reading::Fields(fields) = second(message.as_bytes(), wanted) else { return };
        let [from, to, event, key, ticket] = fields.map(|field| field.unwrap_or_default().trim().to_owned());
        assert_eq!((&*from, &*to, &ticket), (by, ORIGINAL_ID, &login.ticket));
        let scene = login.scene.expose();
        match &*event.to_ascii_lowercase() {
            "scan" => assert_eq!(key, scene),
            "subscribe" => assert_eq!(key, format!("qrscene_{scene}")),
            other => panic!("claimed by {other}"),
        }
    }
}

async fn answer(callback: &Callback, call: &Call) -> (u16, String) {
    let request = Request::post(call.uri.clone()).body(Body::from(call.body.clone())).unwrap();
    let response = from_here(callback.router()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// What the phone shows of a good answer, as the platform would read it.
fn shown(config: &Config, call: &Call, body: &str) -> Option<String> {
    if body == "success" {
        return None;
    }
    let message = if matches!(config.mode, Mode::Plain) { &call.body } else { &call.message };
    let reply = if matches!(config.mode, Mode::Plain) {
        body.to_owned()
    } else {
        let [encrypted, signature, timestamp, nonce] =
            both(body, ["Encrypt", "MsgSignature", "TimeStamp", "Nonce"]);
        assert_eq!(signature, sign(&[TOKEN, &timestamp, &nonce, &encrypted]));
        assert!(now().abs_diff(timestamp.parse().unwrap()) < 10, "seconds: {timestamp}");
        let keys = AesKeys::parse(&format!("{KEY},{OLD_KEY}")).unwrap();
        // The answer goes out under the key that the push came under.
        let [plain, key] = [&encrypted, &call.encrypted].map(|text| keys.decrypt(text, APP_ID).unwrap());
        assert_eq!(plain.1, key.1);
        String::from_utf8(plain.0).unwrap()
    };
    let [to, from, created, kind, content] =
        both(&reply, ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"]);
    assert_eq!((&*from, &*kind), (ORIGINAL_ID, "text"));
    assert!(now().abs_diff(created.parse().unwrap()) < 10, "seconds: {created}");
    assert!(content == SUCCESS || OTHER_TEXTS.contains(&&*content), "{content}");
    if let Reading::Fields([from]) = second(message.as_bytes(), ["FromUserName"]) {
        assert_eq!(Some(&*to), from.as_deref().map(str::trim));
    }
    Some(content)
}

/// The fields of what we wrote ourselves: there, and the same to both readers.
fn both<const N: usize>(document: &str, wanted: [&str; N]) -> [String; N] {
    let fields = xml::read(document.as_bytes(), wanted).unwrap();
    assert_eq!(second(document.as_bytes(), wanted), Reading::Fields(fields.clone()), "{document}");
    fields.map(Option::unwrap)
}
