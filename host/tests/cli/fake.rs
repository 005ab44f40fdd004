//! A fake host that responds from a script and records the requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `POST /v1/bulk?…`.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// One response of the script.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

#[derive(Clone, Default)]
struct Script {
    /// Responses by method and path; the last one repeats.
    replies: Arc<Mutex<BTreeMap<String, VecDeque<Reply>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub(crate) struct FakeHost {
    pub(crate) url: String,
    script: Script,
}

impl Reply {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl FakeHost {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Script::default();
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    /// `at`: method and path, `GET /v1/jobs/job_1`.
    pub(crate) fn on(&self, at: &str, reply: Reply) {
        self.script
            .replies
            .lock()
            .unwrap()
            .entry(at.to_owned())
            .or_default()
            .push_back(reply);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {}", uri.path_and_query().unwrap());
    script.asked.lock().unwrap().push(Asked {
        line,
        headers,
        body,
    });
    let mut replies = script.replies.lock().unwrap();
    let reply = replies
        .get_mut(&format!("{method} {}", uri.path()))
        .and_then(|queue| {
            if queue.len() > 1 {
                queue.pop_front()
            } else {
                queue.front().cloned()
            }
        });
    let reply = reply.unwrap_or_else(|| {
        Reply::new(
            404,
            json!({"title": "Not found", "detail": "there is no such thing", "code": "not_found"}),
        )
    });
    let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = if reply.body.is_null() {
        Body::empty()
    } else {
        Body::from(reply.body.to_string())
    };
    response.body(body).unwrap()
}

/// An execution with this status and these counts.
pub(crate) fn execution(status: &str, done: bool, counts: Value) -> Value {
    let total: u64 = counts
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .sum();
    let mut counts = counts;
    counts["total"] = json!(total);
    json!({
        "id": "exe_1", "status": status, "done": done, "counts": counts,
        "channels": [{"channel": "shop-de", "belt": if done { Value::Null } else { json!(1) },
            "belts": [{"belt": 1, "types": ["product"], "total": total,
                "finished": counts["succeeded"]}],
            "waiting": if done { json!([]) } else { json!([{"kind": "limit", "key": "shop-de",
                "until": null, "jobs": counts["waiting"]}]) }}],
        "errors": [],
    })
}
