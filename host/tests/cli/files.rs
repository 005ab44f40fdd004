//! Configuration files: `apply` sends them, `serve` refuses invalid ones with the position.

use serde_json::json;

use crate::binary::Place;
use crate::fake::{FakeHost, Reply};

const FILE: &str = r#"
[server]
listen = "127.0.0.1:1"
[[connections]]
subscription = "acme"
channel = "shop-de"
auth = { scheme = "bearer", token = { env = "TOKEN" } }
[[channels]]
name = "shop-de"
connector = "sandbox"
"#;

#[tokio::test]
async fn apply_sends_the_text() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    place.write("part.toml", FILE);
    let applied = json!({"applied": [{"kind": "channel", "name": "shop-de", "version": 1,
        "created": true}, {"kind": "connection", "name": "shop-de/acme", "version": 7,
        "created": false}]});
    host.on("POST /v1/documents:apply", Reply::new(200, applied));
    let ended = place.run(&["apply", "part.toml", "--url", &host.url]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout,
        "KIND\tNAME\tVERSION\tCREATED\nchannel\tshop-de\t1\ttrue\n\
         connection\tshop-de/acme\t7\tfalse\n"
    );
    assert_eq!(host.asked()[0].body, FILE);
    assert_eq!(host.asked()[0].headers["content-type"], "application/toml");
}

#[tokio::test]
async fn apply_shows_refusals() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    place.write("part.toml", FILE);
    host.on(
        "POST /v1/documents:apply",
        Reply::new(
            409,
            json!({"title": "Conflict", "detail": "managed by the configuration file",
                "code": "managed_by_file"}),
        ),
    );
    let ended = place.run(&["apply", "part.toml", "--url", &host.url]).await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (
            Some(4),
            "error: 409 Conflict: managed by the configuration file (managed_by_file)\n"
        )
    );
    place.write("wrong.toml", FILE.replace("connector = ", "conector = "));
    let ended = place
        .run(&["apply", "wrong.toml", "--url", &host.url])
        .await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .starts_with("error: wrong.toml:10:1: unknown field `conector`"),
        "{}",
        ended.stderr
    );
    assert_eq!(host.lines().len(), 1);
}

#[tokio::test]
async fn serve_reports_the_position_of_a_problem() {
    let place = Place::new();
    place.write("egression.toml", FILE);
    let ended = place.run(&["serve", "--config", "egression.toml"]).await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (
            Some(2),
            "error: egression.toml:5:1: this file has no subscription `acme` (reference.missing)\n"
        )
    );
}
