//! A connector with two slots in its bytes, into which a test writes a settings schema and a body
//! schema. It delivers without network.

use std::hint::black_box;

use egression_sdk::{
    Action, BodyFormat, Call, CallError, Connector, Description, Item, ItemOutcome, Outcome,
    TypeSupport, export_connector,
};
use serde_json::json;

/// The length of a slot. A schema is followed by blanks, which JSON ignores.
pub const SLOT_BYTES: usize = 16 * 1024;

static SETTINGS: [u8; SLOT_BYTES] = slot(br#"{"title":"slot of the settings schema"}"#);
static BODY: [u8; SLOT_BYTES] = slot(br#"{"title":"slot of the body schema"}"#);

const fn slot(content: &[u8]) -> [u8; SLOT_BYTES] {
    let mut slot = [b' '; SLOT_BYTES];
    let mut at = 0;
    while at < content.len() {
        slot[at] = content[at];
        at += 1;
    }
    slot
}

/// The compiler must not know the content, because a test replaces it.
fn text(slot: &[u8]) -> String {
    String::from_utf8_lossy(black_box(slot))
        .trim_end()
        .to_owned()
}

pub struct SchemaSlots;

impl Connector for SchemaSlots {
    fn describe() -> Description {
        let body = BodyFormat::JsonSchema(text(&BODY));
        let product = TypeSupport::new("product", &[Action::Upsert], body)
            .idempotent(&[Action::Upsert])
            .example(&json!({}));
        let mut description =
            Description::new("schema-slots", env!("CARGO_PKG_VERSION"), "Schema slots")
                .object_type(product)
                .auth("none", &[]);
        description.settings_schema = text(&SETTINGS);
        description
    }

    fn deliver(_: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        Ok(ItemOutcome::for_all(items, &Outcome::delivered(Vec::new())))
    }
}

export_connector!(SchemaSlots);
