//! A tenant's deliveries contain nothing from another tenant's source or execution.

use anyhow::Result;
use egression_tests::follow;
use egression_tests::shop::ShopLog;
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{BODY, IDEMPOTENCY_KEY, OBJECT, World};

#[tokio::test]
async fn source_is_read_only_for_its_subscription() -> Result<()> {
    let world = World::start().await?;
    let asked = world.source.asked();
    let tenant = world.key("submit", Some("other")).await?;
    let job = |source: &str| {
        json!({"source": source, "channel": "mine", "action": "upsert",
            "object_type": "product", "object_ids": [OBJECT]})
    };
    // The operator's key does not lift the rule: a job belongs to its subscription.
    for rest in [&tenant, &world.operator] {
        for (source, says) in [
            ("pim", "unknown source `pim`"),
            ("nobody", "unknown source `nobody`"),
        ] {
            let mut job = job(source);
            job["subscription"] = json!("other");
            let request = rest.request(Method::POST, "/v1/jobs").json(&job);
            let refused = rest.send(request).await?.expect(400)?;
            let unknown = json!([{"pointer": "/source", "code": "unknown_source", "detail": says}]);
            assert_eq!(refused.json["errors"], unknown, "{}", refused.text);
        }
    }
    let own = json!({"source": "inline", "channel": "mine", "action": "upsert",
        "object_type": "category", "object_ids": ["c2"], "payload": {"name": {"en": "Hats"}}});
    let lenient = follow::bulk(&tenant, &[job("pim"), own], "respond-async")
        .await?
        .expect(202)?;
    let done = follow::until_done(&tenant, &lenient.json).await?;
    assert_eq!(
        (&done["counts"]["succeeded"], &done["counts"]["rejected"]),
        (&json!(1), &json!(1)),
        "{done:#}"
    );
    assert_eq!(world.source.asked(), asked, "nobody read the source");
    let log = ShopLog::new(format!("http://{}", world.shop.addr()))?;
    let objects = log.objects().await?;
    assert_eq!(objects.len(), 2, "{objects:?}");
    assert!(!format!("{objects:?}").contains(BODY), "{objects:?}");
    Ok(())
}

#[tokio::test]
async fn idempotency_key_of_another_tenant_is_free() -> Result<()> {
    let world = World::start().await?;
    let tenant = world.key("submit", Some("other")).await?;
    let job = json!({"source": "inline", "channel": "mine", "action": "upsert",
        "object_type": "category", "object_ids": ["c3"], "payload": {"name": {"en": "Hats"}}});
    let request = tenant
        .request(Method::POST, "/v1/jobs")
        .header("idempotency-key", IDEMPOTENCY_KEY)
        .header("prefer", "respond-async")
        .json(&job);
    let answer = tenant.send(request).await?.expect(202)?;
    assert_eq!(answer.json["subscription"], "other", "{}", answer.text);
    assert_ne!(
        answer.json["id"],
        Value::from(world.owner.execution.as_str())
    );
    Ok(())
}

#[tokio::test]
async fn source_that_no_longer_lists_the_subscription_is_not_read() -> Result<()> {
    let world = World::start().await?;
    let operator = &world.operator;
    let put = async |path: &str, document: &Value| {
        let request = operator.request(Method::PUT, path).json(document);
        operator.send(request).await
    };
    let source = |subscriptions: Value| {
        json!({"kind": "http", "subscriptions": subscriptions, "allow_addresses": ["127.0.0.1/32"],
            "object_url": format!("{}/objects/{{type}}/{{id}}", world.source.url()),
            "auth": {"scheme": "bearer", "token": {"value": "source-token"}}})
    };
    put("/v1/sources/lent", &source(json!(["acme-co", "other"])))
        .await?
        .expect(201)?;
    let asked = world.source.asked();
    let connection = "/v1/channels/mine/connections/other";
    let act = async |verb: &str| {
        let request = operator.request(Method::POST, &format!("{connection}:{verb}"));
        operator.send(request).await?.expect(200)
    };
    act("pause").await?;
    let job = json!({"subscription": "other", "source": "lent", "channel": "mine",
        "action": "upsert", "object_type": "product", "object_ids": [OBJECT]});
    let execution = follow::submit(operator, &job).await?;
    put("/v1/sources/lent", &source(json!(["acme-co"])))
        .await?
        .expect(200)?;
    act("resume").await?;
    let done = follow::until_done(operator, &execution).await?;
    assert_eq!(done["errors"][0]["code"], "source.unlisted", "{done:#}");
    assert_eq!(world.source.asked(), asked, "nobody read the source");
    Ok(())
}
