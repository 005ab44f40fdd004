//! Valid bodies, and the pointers of invalid ones.

use serde_json::json;

use super::*;

fn check(object_type: ObjectType, value: Value) -> Result<Body, Refusal> {
    Body::check(&ObjectKey::new(object_type, "x"), value, String::new())
}

fn pointer(object_type: ObjectType, value: Value) -> String {
    match check(object_type, value) {
        Err(Refusal::BodyInvalid { pointer, .. }) => pointer,
        other => format!("{other:?}"),
    }
}

#[test]
fn full_bodies_pass_and_list_references_once() {
    let category = json!({
        "name": {"de": "Sofas"}, "parent": {"type": "category", "id": "home"}, "position": 3,
    });
    let parent = ObjectKey::new(ObjectType::Category, "home");
    assert_eq!(
        check(ObjectType::Category, category).unwrap().references,
        [parent]
    );
    check(
        ObjectType::Brand,
        json!({"name": "Ikarus", "url": "https://ikarus.example"}),
    )
    .unwrap();
    check(
        ObjectType::Brand,
        json!({"name": {"de": "Ikarus"}, "url": null}),
    )
    .unwrap();
    let product = json!({
        "name": {"de": "Sofa", "en": "Couch"}, "description": {"de": "Weich"},
        "brand": {"type": "brand", "id": "b"}, "sku": "S", "gtin": "4006381333931",
        "categories": [{"type": "category", "id": "c"}, {"type": "category", "id": "c"}],
        "attributes": {"color": "red"}, "media": [{"url": "https://m.example/1", "alt": "front"}],
        "variants": [{"id": "v1", "sku": "S1", "attributes": {}, "media": []}, {"id": "v2"}],
    });
    assert_eq!(
        check(ObjectType::Product, product)
            .unwrap()
            .references
            .len(),
        2
    );
    let offer = json!({
        "product": {"type": "product", "id": "p"},
        "price": {"currency": "EUR", "minor_units": 1999},
        "stock": -1, "sku": "S", "valid_from": "2026-01-01T00:00:00Z", "valid_to": null,
    });
    check(ObjectType::Offer, offer).unwrap();
}

#[test]
fn refusal_points_at_the_invalid_value() {
    use ObjectType::{Brand, Category, Offer, Product};
    let name = json!({"de": "x"});
    let money = json!({"currency": "EUR", "minor_units": 1});
    let target = json!({"type": "product", "id": "p"});
    for (object_type, value, expected) in [
        (Category, json!([]), ""),
        (Category, json!({}), "/name"),
        (Category, json!({"name": {}}), "/name"),
        (Category, json!({"name": {"de": ""}}), "/name/de"),
        (Category, json!({"name": {"a/b": 1}}), "/name/a~1b"),
        (Category, json!({"name": name, "parent": "home"}), "/parent"),
        (
            Category,
            json!({"name": name, "parent": {"type": "brand", "id": "b"}}),
            "/parent/type",
        ),
        (
            Category,
            json!({"name": name, "parent": {"type": "category"}}),
            "/parent/id",
        ),
        (
            Category,
            json!({"name": name, "parent": {"type": "category", "id": "x"}}),
            "/parent",
        ),
        (
            Category,
            json!({"name": name, "position": 1.5}),
            "/position",
        ),
        (Brand, json!({"name": 1}), "/name"),
        (Product, json!({"name": "x"}), "/name"),
        (
            Product,
            json!({"name": name, "categories": {}}),
            "/categories",
        ),
        (
            Product,
            json!({"name": name, "categories": [1]}),
            "/categories/0",
        ),
        (
            Product,
            json!({"name": name, "variants": [{"id": "v"}, {}]}),
            "/variants/1/id",
        ),
        (
            Product,
            json!({"name": name, "variants": [{"id": "v"}, {"id": "v"}]}),
            "/variants/1/id",
        ),
        (
            Product,
            json!({"name": name, "media": [{"alt": "x"}]}),
            "/media/0/url",
        ),
        (
            Product,
            json!({"name": name, "attributes": []}),
            "/attributes",
        ),
        (Offer, json!({"price": money}), "/product"),
        (Offer, json!({"product": target}), "/price"),
        (
            Offer,
            json!({"product": target, "price": {"currency": "eur", "minor_units": 1}}),
            "/price/currency",
        ),
        (
            Offer,
            json!({"product": target, "price": {"currency": "EUR", "minor_units": 1.5}}),
            "/price/minor_units",
        ),
        (
            Offer,
            json!({"product": target, "price": {"currency": "EUR", "minor_units": "1"}}),
            "/price/minor_units",
        ),
        (
            Offer,
            json!({"product": target, "price": money, "stock": "3"}),
            "/stock",
        ),
        (
            Offer,
            json!({"product": target, "price": money, "valid_to": 3}),
            "/valid_to",
        ),
    ] {
        assert_eq!(pointer(object_type, value.clone()), expected, "{value}");
    }
}
