//! Checks bodies against their schema, a standard one or the connector's own.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::problem::Problem;
use jsonschema::Validator;
use moka::sync::Cache;
use serde_json::Value;

use crate::runtime::BodyFormat;

const CATEGORY: &str = include_str!("../../../../wit/schemas/standard-0.1/category.json");
const BRAND: &str = include_str!("../../../../wit/schemas/standard-0.1/brand.json");
const PRODUCT: &str = include_str!("../../../../wit/schemas/standard-0.1/product.json");
const OFFER: &str = include_str!("../../../../wit/schemas/standard-0.1/offer.json");

/// The name of the standard bodies that this host knows.
const STANDARD: &str = "standard@0.1";

/// Compiled schemas of connectors that are kept.
const MAX_KEPT: u64 = 1000;

/// A connector's digest and an object type.
type OwnSchema = (String, String);

/// Compiled schemas, each compiled once.
#[derive(Debug)]
pub struct BodySchemas {
    standard: HashMap<&'static str, Arc<Validator>>,
    own: Cache<OwnSchema, Option<Arc<Validator>>>,
}

impl BodySchemas {
    pub fn standard() -> Self {
        let compile = |text: &str| {
            let schema: Value =
                serde_json::from_str(text).expect("the schemas of the contract are JSON");
            Arc::new(
                jsonschema::validator_for(&schema).expect("the schemas of the contract are valid"),
            )
        };
        let standard = [
            ("category", CATEGORY),
            ("brand", BRAND),
            ("product", PRODUCT),
            ("offer", OFFER),
        ];
        Self {
            standard: standard.map(|(name, text)| (name, compile(text))).into(),
            own: Cache::new(MAX_KEPT),
        }
    }

    /// The first violation of the schema. A standard type that the host does not know passes.
    pub fn refusal(
        &self,
        digest: &str,
        object_type: &str,
        format: &BodyFormat,
        body: &Value,
    ) -> Option<Problem> {
        let validator = match format {
            BodyFormat::Standard(name) if name == STANDARD => {
                self.standard.get(object_type).cloned()
            }
            BodyFormat::Standard(_) => None,
            BodyFormat::JsonSchema(schema) => self.own(digest, object_type, schema),
        }?;
        let error = validator.iter_errors(body).next()?;
        let pointer = error.instance_path().to_string();
        Some(
            Problem::new(
                "body.schema",
                format!("the body does not fit its schema: {error}"),
            )
            .at(pointer),
        )
    }

    fn own(&self, digest: &str, object_type: &str, schema: &Value) -> Option<Arc<Validator>> {
        // Checked at installation; a schema that does not compile here refuses nothing.
        self.own
            .get_with((digest.to_owned(), object_type.to_owned()), || {
                jsonschema::validator_for(schema).ok().map(Arc::new)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_the_first_violation_with_its_pointer() {
        let schemas = BodySchemas::standard();
        let format = BodyFormat::Standard(STANDARD.into());
        let offer = |minor_units: Value| {
            serde_json::json!({
                "product": {"type": "product", "id": "1"},
                "price": {"currency": "EUR", "minor_units": minor_units},
            })
        };
        let good = offer(1.into());
        assert_eq!(schemas.refusal("d", "offer", &format, &good), None);
        let bad = offer("1".into());
        let problem = schemas.refusal("d", "offer", &format, &bad).unwrap();
        assert_eq!(problem.pointer.as_deref(), Some("/price/minor_units"));
    }
}
