//! The catalogue: the PCI ID database as a shop's assortment, in `standard@0.1` bodies.
//!
//! | in the data | becomes | id | refers to |
//! |---|---|---|---|
//! | vendor | brand | `8086` | |
//! | device class | category | `class:02` | |
//! | subclass | category | `subclass:02:00` | its class, as parent |
//! | device | product | `8086:1572` | its brand, one category |
//! | | offer, one for each product | as the product's | the product |
//!
//! The same seed gives the same catalogue.

use std::collections::HashSet;

use egression_sandbox::canonical_digest;
use pci_ids::{Classes, Device, Vendors};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::classification::classify;

/// Vendors, classes with subclasses, devices, offers of the pinned data.
pub(crate) const WHOLE: [(&str, usize); 4] = [
    ("brand", 2_445),
    ("category", 22 + 115),
    ("product", 19_836),
    ("offer", 19_836),
];
/// A step size that visits all devices, because it shares no divisor with their number.
const STRIDE: usize = 7_919;

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) object_type: &'static str,
    pub(crate) id: String,
    pub(crate) body: Value,
}

impl Object {
    fn new(object_type: &'static str, id: impl Into<String>, body: Value) -> Self {
        Self {
            object_type,
            id: id.into(),
            body,
        }
    }

    /// The digest by which shops compare contents.
    pub(crate) fn digest(&self) -> String {
        canonical_digest(&self.body)
    }
}

/// A device with the price of its offer.
struct Listed {
    device: &'static Device,
    minor_units: u64,
    stock: u64,
}

/// The whole catalogue, with parents before their children.
pub(crate) fn whole(seed: u64) -> Vec<Object> {
    let mut objects = categories();
    objects.extend(brands());
    let listed = listed(seed);
    objects.extend(listed.iter().map(product));
    objects.extend(listed.iter().map(offer));
    objects
}

/// `count` objects, closed under references.
///
/// The selection spreads over the whole catalogue. It takes each product with its offer, its brand
/// and its categories as long as all of these fit, and fills the rest with classes, subclasses and
/// brands.
pub(crate) fn part(seed: u64, count: usize) -> Vec<Object> {
    let whole = whole(seed);
    if count >= whole.len() {
        return whole;
    }
    let products: Vec<&Object> = whole
        .iter()
        .filter(|object| object.object_type == "product")
        .collect();
    let mut taken: HashSet<(&str, String)> = HashSet::new();
    for place in 0..products.len() {
        let product = products[place * STRIDE % products.len()];
        let mut needed = vec![
            ("product", product.id.clone()),
            ("offer", product.id.clone()),
        ];
        needed.extend(references(product));
        needed.retain(|object| !taken.contains(object));
        if taken.len() + needed.len() > count {
            break;
        }
        taken.extend(needed);
    }
    let room = count - taken.len();
    // In this order, every parent comes before its child.
    let fill = whole
        .iter()
        .filter(|object| matches!(object.object_type, "category" | "brand"));
    let fill: Vec<_> = fill
        .map(key)
        .filter(|object| !taken.contains(object))
        .take(room)
        .collect();
    taken.extend(fill);
    whole
        .iter()
        .filter(|object| taken.contains(&key(object)))
        .cloned()
        .collect()
}

fn key(object: &Object) -> (&'static str, String) {
    (object.object_type, object.id.clone())
}

/// The references of a product: its brand, its category and the parent of that category.
fn references(product: &Object) -> Vec<(&'static str, String)> {
    let (vendor, _) = product.id.split_once(':').unwrap_or_default();
    let category = product.body["categories"][0]["id"]
        .as_str()
        .unwrap_or_default();
    let parent = category
        .strip_prefix("subclass:")
        .and_then(|rest| rest.split_once(':'))
        .map(|(class, _)| format!("class:{class}"));
    let mut references = vec![
        ("brand", vendor.to_owned()),
        ("category", category.to_owned()),
    ];
    references.extend(parent.map(|parent| ("category", parent)));
    references
}

fn categories() -> Vec<Object> {
    let mut classes: Vec<_> = Classes::iter().collect();
    classes.sort_by_key(|class| class.id());
    let mut objects: Vec<_> = classes
        .iter()
        .map(|class| {
            Object::new(
                "category",
                class_id(class.id()),
                json!({ "name": { "en": class.name() }, "position": class.id() }),
            )
        })
        .collect();
    for subclass in classes.iter().flat_map(|class| class.subclasses()) {
        let (class, id) = subclass.as_cid_sid();
        let parent = json!({ "type": "category", "id": class_id(class) });
        let body = json!({ "name": { "en": subclass.name() }, "parent": parent, "position": id });
        objects.push(Object::new("category", subclass_id(class, id), body));
    }
    objects
}

fn brands() -> Vec<Object> {
    let mut vendors: Vec<_> = Vendors::iter().collect();
    vendors.sort_by_key(|vendor| vendor.id());
    let brand = |vendor: &&pci_ids::Vendor| {
        Object::new(
            "brand",
            format!("{:04x}", vendor.id()),
            json!({ "name": { "en": vendor.name() } }),
        )
    };
    vendors.iter().map(brand).collect()
}

fn listed(seed: u64) -> Vec<Listed> {
    let mut devices: Vec<_> = Vendors::iter().flat_map(pci_ids::Vendor::devices).collect();
    devices.sort_by_key(|device| device.as_vid_pid());
    let mut chance = StdRng::seed_from_u64(seed);
    let list = |device| Listed {
        device,
        minor_units: chance.random_range(199..250_000),
        stock: chance.random_range(0..500),
    };
    devices.into_iter().map(list).collect()
}

fn product(listed: &Listed) -> Object {
    let device = listed.device;
    let (vendor, id) = device.as_vid_pid();
    let category = match classify(device.name()) {
        (class, Some(subclass)) => subclass_id(class, subclass),
        (class, None) => class_id(class),
    };
    let body = json!({
        "name": { "en": device.name() },
        "brand": { "type": "brand", "id": format!("{vendor:04x}") },
        "categories": [{ "type": "category", "id": category }],
        "sku": sku(device),
        "attributes": {
            "vendor_id": vendor, "device_id": id, "subsystems": device.subsystems().count(),
        },
    });
    Object::new("product", product_id(device), body)
}

fn offer(listed: &Listed) -> Object {
    let body = json!({
        "product": { "type": "product", "id": product_id(listed.device) },
        "sku": sku(listed.device),
        "price": { "currency": "EUR", "minor_units": listed.minor_units },
        "stock": listed.stock,
    });
    Object::new("offer", product_id(listed.device), body)
}

fn class_id(class: u8) -> String {
    format!("class:{class:02x}")
}

fn subclass_id(class: u8, subclass: u8) -> String {
    format!("subclass:{class:02x}:{subclass:02x}")
}

fn product_id(device: &Device) -> String {
    let (vendor, device) = device.as_vid_pid();
    format!("{vendor:04x}:{device:04x}")
}

fn sku(device: &Device) -> String {
    let (vendor, device) = device.as_vid_pid();
    format!("PCI-{vendor:04X}-{device:04X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalogue_has_the_pinned_counts() {
        let objects = whole(1);
        for (object_type, count) in WHOLE {
            assert_eq!(
                objects
                    .iter()
                    .filter(|object| object.object_type == object_type)
                    .count(),
                count,
                "{object_type}"
            );
        }
        let keys: HashSet<_> = objects.iter().map(key).collect();
        assert_eq!(keys.len(), 42_254);
    }

    #[test]
    fn part_is_closed_under_references_and_has_the_requested_size() {
        let all: Vec<_> = whole(1).iter().map(key).collect();
        for count in [1, 2, 7, 500, 5_000, 42_253, 42_254, 50_000] {
            let objects = part(1, count);
            assert_eq!(objects.len(), count.min(all.len()));
            let there: HashSet<_> = objects.iter().map(key).collect();
            assert_eq!(there.len(), objects.len());
            for object in &objects {
                let needed = match object.object_type {
                    "product" => references(object),
                    "offer" => vec![("product", object.id.clone())],
                    "category" => object.body["parent"]["id"]
                        .as_str()
                        .map(|parent| ("category", parent.to_owned()))
                        .into_iter()
                        .collect(),
                    _ => Vec::new(),
                };
                assert!(
                    needed.iter().all(|object| there.contains(object)),
                    "{object:?}"
                );
            }
        }
    }

    #[test]
    fn seed_determines_prices_only() {
        let (one, again, other) = (whole(1), whole(1), whole(2));
        assert!(
            one.iter()
                .zip(&again)
                .all(|(left, right)| left.body == right.body)
        );
        let different = one
            .iter()
            .zip(&other)
            .filter(|(left, right)| left.body != right.body);
        assert!(different.clone().count() > 19_000);
        assert!(
            different
                .into_iter()
                .all(|(left, _)| left.object_type == "offer")
        );
    }
}
