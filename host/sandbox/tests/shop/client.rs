//! A shop with a client.

use std::time::Duration;

use egression_sandbox::{Report, RunningShop, Scenario, Shop};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Ends a hanging test; no assertion depends on it.
const GIVE_UP: Duration = Duration::from_secs(30);

pub(crate) struct ShopClient {
    pub(crate) shop: RunningShop,
    pub(crate) http: Client,
    pub(crate) token: String,
}

/// A status and the JSON body; null for an empty body.
pub(crate) type Answer = (u16, Value);

impl ShopClient {
    /// A shop with this scenario, and a client without a token.
    pub(crate) async fn open(scenario: &str) -> Self {
        let scenario = Scenario::from_toml(scenario).unwrap();
        let shop = Shop::start(scenario, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let http = Client::builder().timeout(GIVE_UP).build().unwrap();
        let token = String::new();
        Self { shop, http, token }
    }

    /// A shop with this scenario, and a client that is logged in. The login is the first call.
    pub(crate) async fn start(scenario: &str) -> Self {
        let mut client = Self::open(scenario).await;
        client.log_in().await;
        client
    }

    pub(crate) async fn log_in(&mut self) {
        let login = self.request(Method::POST, "/v1/login");
        let (status, body) = answer(login.json(&json!({"api_key": "sandbox-key"}))).await;
        assert_eq!(status, 200, "{body}");
        self.token = body["token"].as_str().unwrap().to_owned();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.shop.addr());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn put_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::PUT, path);
        answer(request.header("idempotency-key", key).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn batch(&self, object_type: &str, items: &Value) -> Answer {
        let request = self.request(Method::POST, &format!("/v1/{object_type}/batch"));
        answer(request.json(&json!({ "items": items }))).await
    }

    /// The lines of one of the control surface's logs.
    pub(crate) async fn lines(&self, log: &str) -> Vec<Value> {
        let request = self.request(Method::GET, &format!("/_sandbox/{log}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let text = response.text().await.unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    /// The record of the last call, as soon as `is` holds for it.
    pub(crate) async fn last_call(&self, is: impl Fn(&Value) -> bool) -> Value {
        let seen = async {
            loop {
                let last = self.lines("calls").await.pop();
                if let Some(last) = last.filter(|call| is(call)) {
                    return last;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(GIVE_UP, seen).await.unwrap()
    }

    pub(crate) async fn change(&self, change: &Value) -> Answer {
        answer(self.request(Method::PUT, "/_sandbox/scenario").json(change)).await
    }

    pub(crate) fn report(&self) -> Report {
        self.shop.report()
    }

    /// Writes a raw request, which may stay unfinished. `length` is the `Content-Length`; `body` is
    /// the part of the body that is sent.
    pub(crate) async fn send_raw(&self, head: &str, length: usize, body: &str) -> TcpStream {
        let mut tcp = TcpStream::connect(self.shop.addr()).await.unwrap();
        let token = &self.token;
        let request = format!(
            "{head} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = send(request).await;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap()
    };
    (status, body)
}

pub(crate) fn category(name: &str) -> Value {
    json!({"name": {"de": name}})
}

pub(crate) fn product(name: &str, category: &str) -> Value {
    json!({"name": {"de": name}, "categories": [{"type": "category", "id": category}]})
}

pub(crate) fn code(answer: &Answer) -> (u16, &str) {
    let error = answer.1.get("error").unwrap_or(&answer.1);
    (answer.0, error["code"].as_str().unwrap_or("none"))
}
