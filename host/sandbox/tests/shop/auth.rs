//! Tokens: both ways to obtain one, and every reason for which the shop refuses one.

use reqwest::Method;
use serde_json::json;

use crate::client::{ShopClient, answer, code, send};

const GRANT: [(&str, &str); 3] = [
    ("grant_type", "client_credentials"),
    ("client_id", "me & you"),
    ("client_secret", "s:ecret+/"),
];
const CLIENT: &str = "credentials = { client_id = \"me & you\", client_secret = \"s:ecret+/\" }";

#[tokio::test]
async fn login_opens_the_account() {
    let client = ShopClient::start("account = \"acme\"\ntoken_ttl_s = 77").await;
    let (status, account) = client.get("/v1/account").await;
    assert_eq!(status, 200);
    assert_eq!(account["account"], "acme");
    assert!(!account["scopes"].as_array().unwrap().is_empty());

    let login = |key: &str| {
        let request = client.request(Method::POST, "/v1/login");
        answer(request.json(&json!({ "api_key": key })))
    };
    let (_, granted) = login("sandbox-key").await;
    assert_eq!(
        (&granted["account"], &granted["expires_in"]),
        (&json!("acme"), &json!(77))
    );
    assert_eq!(code(&login("wrong").await), (401, "login.refused"));
}

#[tokio::test]
async fn grant_works_by_form_and_by_basic() {
    let mut client = ShopClient::open(CLIENT).await;
    let url = format!("http://{}/oauth/token", client.shop.addr());
    let by_form = send(client.http.post(&url).form(&GRANT)).await;
    assert_eq!(by_form.headers()["cache-control"], "no-store");
    let by_form: serde_json::Value = by_form.json().await.unwrap();
    assert_eq!(
        (&by_form["token_type"], &by_form["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );

    // RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
    let basic = client.http.post(&url).form(&GRANT[..1]);
    let (status, by_basic) = answer(basic.basic_auth("me+%26+you", Some("s%3Aecret%2B%2F"))).await;
    assert_eq!(status, 200, "{by_basic}");
    assert_ne!(by_form["access_token"], by_basic["access_token"]);
    for granted in [by_form, by_basic] {
        client.token = granted["access_token"].as_str().unwrap().to_owned();
        assert_eq!(client.get("/v1/account").await.0, 200);
    }
}

#[tokio::test]
async fn wrong_grant_gets_the_error_of_the_rfc() {
    let client = ShopClient::open(CLIENT).await;
    let url = format!("http://{}/oauth/token", client.shop.addr());
    let wrong_secret = [GRANT[0], GRANT[1], ("client_secret", "wrong")];
    let wrong_type = [("grant_type", "password"), GRANT[1], GRANT[2]];
    for (form, status, error) in [
        (&wrong_secret[..], 401, "invalid_client"),
        (&GRANT[..1], 401, "invalid_client"),
        (&wrong_type[..], 400, "unsupported_grant_type"),
        (&GRANT[1..], 400, "invalid_request"),
    ] {
        let refused = answer(client.http.post(&url).form(form)).await;
        assert_eq!(refused, (status, json!({ "error": error })));
    }
    let basic = client.http.post(&url).form(&GRANT[..1]);
    assert_eq!(answer(basic.basic_auth("me", None::<&str>)).await.0, 401);
}

#[tokio::test]
async fn token_must_be_known_and_unexpired() {
    let mut client = ShopClient::open("token_ttl_s = 0").await;
    assert_eq!(
        code(&client.get("/v1/account").await),
        (401, "token.unknown")
    );
    client.token = "made-up".to_owned();
    assert_eq!(
        code(&client.get("/v1/product/p").await),
        (401, "token.unknown")
    );
    client.log_in().await;
    let refused = send(client.request(Method::GET, "/v1/account")).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    assert_eq!(
        code(&client.get("/v1/account").await),
        (401, "token.expired")
    );
}

#[tokio::test]
async fn tokens_are_revoked_at_the_write_count() {
    let mut client = ShopClient::start("faults = { token_revocations = [2, 4] }").await;
    let body = crate::client::category("a");
    assert_eq!(client.put("/v1/category/a", &body).await.0, 201);
    assert_eq!(
        code(&client.put("/v1/category/a", &json!({})).await),
        (400, "body.invalid")
    );
    // A refused item does not count. The write that reaches the count is still answered.
    assert_eq!(client.put("/v1/category/b", &body).await.0, 201);
    assert_eq!(
        code(&client.put("/v1/category/c", &body).await),
        (401, "token.revoked")
    );
    client.log_in().await;
    let items = json!([
        {"id": "c", "action": "upsert", "body": body},
        {"id": "d", "action": "upsert", "body": body},
        {"id": "e", "action": "upsert", "body": body},
    ]);
    assert_eq!(client.batch("category", &items).await.0, 200);
    assert_eq!(
        code(&client.get("/v1/account").await),
        (401, "token.revoked")
    );
    client.log_in().await;
    assert_eq!(client.put("/v1/category/f", &body).await.0, 201);
    let report = client.report();
    assert_eq!((report.token_revocations, report.applied), (2, 6));
}
