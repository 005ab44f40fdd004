//! Native tests against a scripted shop.

mod batch;
mod connection;
mod description;
mod single;

use egression_sdk::{
    Action, Call, CallError, Connection, Connector, Item, ItemOutcome, ScriptedChannel, Session,
};
use serde_json::{Value, json};

use crate::Sandbox;

const SHOP: &str = "https://shop.test/v1";

/// A connection whose credential the host manages.
fn connection(mode: &str) -> Connection {
    Connection::new(&json!({ "base_url": "https://shop.test/", "mode": mode }))
}

/// A connection that logs in.
fn login_connection() -> Connection {
    Connection::new(&json!({ "base_url": "https://shop.test", "login": true }))
}

fn body() -> Value {
    json!({ "name": { "en": "Adapter" }, "brand": { "type": "brand", "id": "8086" } })
}

/// The products p0, p1, … with their indices.
fn products(action: Action, count: u32) -> Vec<Item> {
    let body = (action != Action::Delete).then(body);
    (0..count)
        .map(|index| {
            Item::new(action, "product", &format!("p{index}"), body.as_ref()).at_index(index)
        })
        .collect()
}

fn deliver(
    channel: &ScriptedChannel,
    connection: &Connection,
    session: Option<&Session>,
    items: &[Item],
) -> Result<Vec<ItemOutcome>, CallError> {
    Sandbox::deliver(&Call::new(channel, connection, session), items)
}
