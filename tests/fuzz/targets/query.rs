//! The query of a call, by the verification of the address: who did not sign it, or signed it long ago, hears nothing,
//! and who did hears the echostr.

#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Uri};
use axum::response::Response;
use callback::Callback;
use fuzz::account::config;
use fuzz::form::Query;
use fuzz::from_here;
use libfuzzer_sys::{Corpus, fuzz_target};
use shared::backplane::{Backplane, MemoryBackplane};
use shared::traces::Traces;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().unwrap());
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    from_here(
        Callback::new(config("safe"), Backplane::Memory(MemoryBackplane::default()), Traces::off()).router(),
    )
});

fuzz_target!(|text: &str| -> Corpus {
    let query = Query::complete(text, "");
    let Ok(uri) = format!("/wechat/callback?{query}").parse::<Uri>() else { return Corpus::Reject };
    let query = Query::decode(uri.query().unwrap_or_default());
    let echostr = query.get("echostr").filter(|echostr| echostr.len() <= 1024);
    let authentic = match query.is_authentic() {
        Some(signed) => signed && query.0.len() <= 16 && query.is_unambiguous(),
        None => return Corpus::Reject,
    };
    let expected = match echostr {
        _ if !authentic => (403, ""),
        None => (400, ""),
        Some(echostr) => (200, echostr),
    };
    let (status, body) = RUNTIME.block_on(async {
        let request = Request::get(uri.clone()).body(Body::empty()).unwrap();
        let response: Response = ROUTER.clone().oneshot(request).await.unwrap();
        if response.status() == 200 {
            assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        }
        (response.status().as_u16(), to_bytes(response.into_body(), 1 << 20).await.unwrap())
    });
    assert_eq!((status, &*body), (expected.0, expected.1.as_bytes()), "{uri}");
    Corpus::Keep
});
