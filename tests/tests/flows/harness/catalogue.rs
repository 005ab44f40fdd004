//! A small catalogue with all four types: categories in a tree, brands, products, offers.

use egression_sandbox::canonical_digest;
use egression_tests::order::AcceptedOrder;
use egression_tests::source::SourceObject;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

/// Belts for the catalogue.
pub const BELTS: &str = "belts = [[\"category\", \"brand\"], [\"product\"], [\"offer\"]]\n";
/// The number of categories below each root.
const BRANCHES: usize = 9;

pub struct Thing {
    pub object_type: &'static str,
    pub id: String,
    pub body: Value,
}

/// One tenth categories, one tenth brands, and products with an offer each. Subcategories come
/// before their parents.
pub fn things(count: usize) -> Vec<Thing> {
    let (categories, brands) = (count / 10, count / 10);
    let products = (count - categories - brands) / 2;
    let mut things = Vec::with_capacity(count);
    for n in (0..categories).rev() {
        let root = n % (BRANCHES + 1) == 0;
        let mut body = json!({"name": {"en": format!("Category {n}")}});
        if !root {
            body["parent"] =
                json!({"type": "category", "id": format!("c{}", n - n % (BRANCHES + 1))});
        }
        things.push(Thing {
            object_type: "category",
            id: format!("c{n}"),
            body,
        });
    }
    for n in 0..brands {
        things.push(Thing {
            object_type: "brand",
            id: format!("b{n}"),
            body: json!({"name": {"en": format!("Brand {n}")}}),
        });
    }
    for n in 0..products {
        let body = json!({
            "name": {"en": format!("Product {n}")},
            "brand": {"type": "brand", "id": format!("b{}", n % brands)},
            "categories": [{"type": "category", "id": format!("c{}", n % categories)}],
        });
        things.push(Thing {
            object_type: "product",
            id: format!("p{n}"),
            body,
        });
    }
    for n in 0..(count - categories - brands - products) {
        let body = json!({
            "product": {"type": "product", "id": format!("p{}", n % products)},
            "price": {"currency": "EUR", "minor_units": 100 + n},
        });
        things.push(Thing {
            object_type: "offer",
            id: format!("o{n}"),
            body,
        });
    }
    things
}

impl Thing {
    pub fn digest(&self) -> String {
        canonical_digest(&self.body)
    }

    pub fn at_source(&self, revision: u64) -> SourceObject {
        let body = to_raw_value(&self.body).unwrap();
        SourceObject {
            id: self.id.clone(),
            object_type: self.object_type.to_owned(),
            revision,
            body,
        }
    }

    /// A job that reads its body from the source.
    pub fn job(&self) -> Value {
        json!({"source": "pim", "object_type": self.object_type, "object_ids": [self.id]})
    }
}

/// The order with one key per object, and one job per key.
pub fn order(things: &[Thing]) -> AcceptedOrder {
    let mut order = AcceptedOrder::default();
    for thing in things {
        order.push(
            &format!("{}:{}", thing.object_type, thing.id),
            thing.object_type,
            &thing.id,
            &thing.digest(),
        );
    }
    order
}
