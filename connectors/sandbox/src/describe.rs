//! What the connector says about itself. It describes, it never grants: an operator does.

use egression_sdk::{Action, Description, TypeSupport};
use serde_json::{Value, json};

/// The shop takes 100 items in a request by default. Half of it keeps a batch that is refused cheap
/// to halve.
const MAX_ITEMS: u32 = 50;
/// Bodies in one call. A single body is at most 1 MiB by default at the hub.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// How long a batch that is not full waits for more.
const MAX_WAIT_MS: u64 = 50;

const ACTIONS: [Action; 4] = [
    Action::Create,
    Action::Update,
    Action::Delete,
    Action::Upsert,
];

/// `cargo xtask dev` sets a version of its own for each build, because a host refuses other bytes
/// under an installed version.
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
        // The hub waits for these objects before it sends a product, and the shop refuses a product
        // without them.
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
        // The first three are the host's work; `connector` means `authenticate` in `session.rs`.
        .auth("bearer", &[])
        .auth("oauth2_client_credentials", &[])
        .auth("connector", &["api_key"])
        .settings(&settings_schema())
        .host_of_setting("base_url")
        .reusable()
}

/// All four types are delivered alike. Every action is idempotent because the shop honours
/// idempotency keys: the same key with the same bytes gets the first answer again.
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
                "description": "Where the shop is, without /v1. Its host is the one that the connection reaches."
            },
            "mode": {
                "enum": ["batch", "single"],
                "default": "batch",
                "description": "One request for all items of a call, or one request each."
            },
            "login": {
                "type": "boolean",
                "default": false,
                "description": "The connector logs in by itself with the secret api_key; else the host attaches the connection's credential."
            }
        }
    })
}
