//! `POST /v1/documents:apply`.

use super::harness::*;

#[tokio::test]
async fn apply_writes_all_documents_or_none() {
    let host = Host::start().await;
    let toml = ("content-type", "application/toml");
    let good = "[[subscriptions]]\nname = \"fresh\"\n[[connections]]\nsubscription = \"fresh\"\n\
                channel = \"shop-de\"\n";
    let dangling = good.replace("shop-de", "nowhere");
    let answer = host.raw("/v1/documents:apply", &[toml], dangling).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.json()["errors"][0]["pointer"]
        ),
        (400, &json!("/connections/0/channel"))
    );
    assert_eq!(host.get("/v1/subscriptions/fresh").await.status, 404);
    let answer = host.raw("/v1/documents:apply", &[toml], good).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json()["applied"][1],
        json!({"kind": "connection", "name": "shop-de/fresh", "version": 1, "created": true})
    );
    assert_eq!(
        host.raw("/v1/documents:apply", &[toml], "[[subscriptions]")
            .await
            .status,
        400
    );
    // A secret that is not there is found before the documents in front of it are written.
    for (secret, code) in [
        ("{ env = \"NOT_SET\" }", "secret.unreadable"),
        ("{ stored = true }", "secret.not_stored"),
    ] {
        let later = format!(
            "[[subscriptions]]\nname = \"later\"\n[[connections]]\nsubscription = \"later\"\n\
             channel = \"shop-de\"\n\
             settings = {{ base_url = \"https://shop.example\" }}\nauth = {{ scheme = \"bearer\", \
             token = {secret} }}\n"
        );
        let answer = host.raw("/v1/documents:apply", &[toml], later).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["errors"][0]["code"]),
            (400, &json!(code)),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            "/connections/0/auth/token"
        );
        assert_eq!(
            host.get("/v1/subscriptions/later").await.status,
            404,
            "nothing was written"
        );
    }
    let typed = "[[sources]]\nname = \"a\"\nkind = \"inline\"\n\
                 auth = { scheme = \"bearer\", token = \"hush-hush\" }\n";
    let answer = host.raw("/v1/documents:apply", &[toml], typed).await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (400, "malformed_request")
    );
    assert!(
        !answer.text.contains("hush") && answer.text.contains("line 4"),
        "{}",
        answer.text
    );
    assert_eq!(
        host.raw(
            "/v1/documents:apply",
            &[("content-type", "application/json")],
            "{}"
        )
        .await
        .status,
        415
    );
}
