//! An account's server that answers as a test says, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

/// Where every answer with a redirecting status leads: to a good answer.
const ELSEWHERE: &str = "/elsewhere";

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) query: HashMap<String, String>,
    pub(crate) agent: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Received {
    /// The text of a node.
    pub(crate) fn node(&self, name: &str) -> Option<&str> {
        let start = self.body.find(&format!("<{name}>"))? + name.len() + 2;
        let text = &self.body[start..start + self.body[start..].find(&format!("</{name}>"))?];
        Some(text.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>")).unwrap_or(text))
    }
}

type Answer = Box<dyn Fn(&Received) -> (u16, String) + Send + Sync>;

/// The server.
#[derive(Clone)]
pub(crate) struct Callback {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    received: Mutex<Vec<Received>>,
    answer: Mutex<Answer>,
    /// Requests wait here for one another.
    together: Mutex<Option<Arc<Barrier>>>,
}

impl Callback {
    /// Starts it; it answers `success` until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/wechat/callback", listener.local_addr().unwrap());
        let inner = Inner {
            received: Mutex::default(),
            answer: Mutex::new(Box::new(|_| (200, "success".to_owned()))),
            together: Mutex::default(),
        };
        let callback = Self { url, inner: Arc::new(inner) };
        let router = Router::new()
            .route("/wechat/callback", any(receive))
            .route(ELSEWHERE, any("success"))
            .with_state(callback.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        callback
    }

    pub(crate) fn answers(&self, answer: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static) {
        *self.inner.answer.lock().unwrap() = Box::new(answer);
    }

    /// From now on no request is answered before so many are there.
    pub(crate) fn waits_for(&self, requests: usize) {
        *self.inner.together.lock().unwrap() = Some(Arc::new(Barrier::new(requests)));
    }

    /// Everything that came, and forgets it.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.inner.received.lock().unwrap())
    }

    /// The one request that came, and forgets it.
    pub(crate) fn take_one(&self) -> Received {
        let received = self.take();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].clone()
    }
}

async fn receive(
    State(callback): State<Callback>,
    method: Method,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let received =
        Received { method, query, agent: header("user-agent"), content_type: header("content-type"), body };
    callback.inner.received.lock().unwrap().push(received.clone());
    let together = callback.inner.together.lock().unwrap().clone();
    if let Some(barrier) = together {
        barrier.wait().await;
    }
    let (status, body) = callback.inner.answer.lock().unwrap()(&received);
    (StatusCode::from_u16(status).unwrap(), [("location", ELSEWHERE)], body)
}

/// A passive reply in the clear, as an account in plain mode sends it.
pub(crate) fn reply(to: &Received, text: &str) -> String {
    let (account, person) = (to.node("ToUserName").unwrap(), to.node("FromUserName").unwrap());
    format!(
        "<xml><ToUserName><![CDATA[{person}]]></ToUserName><FromUserName><![CDATA[{account}]]></FromUserName>\
         <CreateTime>1763800031</CreateTime><MsgType><![CDATA[text]]></MsgType>\
         <Content><![CDATA[{text}]]></Content></xml>"
    )
}
