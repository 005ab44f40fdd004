//! `POST /v1/documents:apply`.

use super::harness::*;

#[tokio::test]
async fn apply_writes_all_documents_or_none() {
    let host = Host::start().await;
    let apply = |text: &str| host.raw("/v1/documents:apply", TOML, text.to_owned());
    let good = "[[subscriptions]]\nname = \"fresh\"\n[[connections]]\nsubscription = \"fresh\"\n\
                channel = \"shop-fr\"\n";
    let dangling = good.replace("shop-fr", "nowhere");
    let answer = apply(&dangling).await;
    answer
        .expect(400)
        .shows("/errors/0/pointer", "/connections/0/channel");
    host.get("/v1/subscriptions/fresh").await.expect(404);
    let answer = apply(good).await;
    answer.expect(200);
    answer.shows(
        "/applied/1",
        json!({"kind": "connection", "name": "shop-fr/fresh", "version": 1, "created": true}),
    );
    apply("[[subscriptions]").await.expect(400);
    // A secret that is not there is found before the documents in front of it are written.
    for (secret, code) in [
        ("{ env = \"NOT_SET\" }", "secret.unreadable"),
        ("{ stored = true }", "secret.not_stored"),
    ] {
        let later = format!(
            "[[subscriptions]]\nname = \"later\"\n[[connections]]\nsubscription = \"later\"\n\
             channel = \"shop-fr\"\n\
             settings = {{ base_url = \"https://shop.example\" }}\nauth = {{ scheme = \"bearer\", \
             token = {secret} }}\n"
        );
        let answer = apply(&later).await;
        answer.expect(400).shows("/errors/0/code", code);
        answer.shows("/errors/0/pointer", "/connections/0/auth/token");
        // Nothing was written.
        host.get("/v1/subscriptions/later").await.expect(404);
    }
    let typed = "[[sources]]\nname = \"a\"\nkind = \"inline\"\n\
                 auth = { scheme = \"bearer\", token = \"hush-hush\" }\n";
    let answer = apply(typed).await;
    answer.expect(400).has_code("malformed_request");
    assert!(
        !answer.text.contains("hush") && answer.text.contains("line 4"),
        "{}",
        answer.text
    );
    let json = host.raw("/v1/documents:apply", JSON, "{}").await;
    json.expect(415);
}
