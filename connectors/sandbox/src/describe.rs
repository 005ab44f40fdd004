//! The description of the connector. It grants nothing; the operator does.

use egression_sdk::{Action, Description, TypeSupport};
use serde_json::{Value, json};

/// By default, the shop takes 100 items in a request. With 50, a refused batch costs less to halve.
const MAX_ITEMS: u32 = 50;
/// Bytes of bodies in one call. By default, the hub accepts bodies of up to 1 MiB.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// How long a batch that is not full waits for more items.
const MAX_WAIT_MS: u64 = 50;

const ACTIONS: [Action; 4] = [
    Action::Create,
    Action::Update,
    Action::Delete,
    Action::Upsert,
];

/// `cargo xtask dev` sets a new version for each build, because a host refuses other bytes under an
/// installed version.
const VERSION: &str = match option_env!("EGRESSION_CONNECTOR_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

pub(crate) fn describe() -> Description {
    Description::new("sandbox", VERSION, "Sandbox shop")
        .object_type(
            supported(
                "category",
                include_str!("../../../wit/schemas/standard-0.1/examples/category.json"),
            )
            .reference("/parent", "category"),
        )
        .object_type(supported(
            "brand",
            include_str!("../../../wit/schemas/standard-0.1/examples/brand.json"),
        ))
        // The hub sends a product after its brand and categories, because the shop refuses a
        // product without them.
        .object_type(
            supported(
                "product",
                include_str!("../../../wit/schemas/standard-0.1/examples/product.json"),
            )
            .reference("/brand", "brand")
            .reference("/categories/*", "category"),
        )
        .object_type(
            supported(
                "offer",
                include_str!("../../../wit/schemas/standard-0.1/examples/offer.json"),
            )
            .reference("/product", "product"),
        )
        // The host handles the first two schemes, and `session.rs` handles `connector`.
        .auth("bearer", &[])
        .auth("oauth2_client_credentials", &[])
        .auth("connector", &["api_key"])
        .settings(&settings_schema())
        .host_of_setting("base_url")
        .reusable()
}

/// All four types are delivered in the same way. All actions are idempotent, because the shop
/// honors idempotency keys: it repeats its first answer for the same key with the same bytes.
fn supported(object_type: &str, example: &str) -> TypeSupport {
    let mut support = TypeSupport::standard(object_type, &ACTIONS)
        .idempotent(&ACTIONS)
        .batch(MAX_ITEMS, MAX_BYTES)
        .max_wait_ms(MAX_WAIT_MS)
        .in_order();
    example.clone_into(&mut support.example);
    support
}

fn settings_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sandbox shop",
        "type": "object",
        "additionalProperties": false,
        "required": ["base_url"],
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                "pattern": "^https?://",
                "description": "The URL of the shop, without /v1. The connection only reaches this \
                                host."
            },
            "mode": {
                "enum": ["batch", "single"],
                "default": "batch",
                "description": "One request for all items of a call, or one request per item."
            },
            "login": {
                "type": "boolean",
                "default": false,
                "description": "Whether the connector logs in with the secret api_key. If not, the \
                                host attaches the connection's credential."
            }
        }
    })
}
