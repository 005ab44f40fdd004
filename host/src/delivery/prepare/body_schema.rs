//! Checks bodies against their schema, a standard one or the connector's own.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::problem::Problem;
use moka::sync::Cache;
use serde_json::Value;

use crate::runtime::BodyFormat;
use crate::schemas::{Schema, SchemaBounds, SchemaFault, Verdict};

const CATEGORY: &str = include_str!("../../../../wit/schemas/standard-0.1/category.json");
const BRAND: &str = include_str!("../../../../wit/schemas/standard-0.1/brand.json");
const PRODUCT: &str = include_str!("../../../../wit/schemas/standard-0.1/product.json");
const OFFER: &str = include_str!("../../../../wit/schemas/standard-0.1/offer.json");

/// The name of the standard bodies that this host knows.
const STANDARD: &str = "standard@0.1";

/// The bytes of compiled schemas of connectors that are kept.
const KEPT_BYTES: u64 = 128 * 1024 * 1024;

/// A connector's digest and an object type.
type OwnSchema = (String, String);
type Read = Arc<Result<Schema, SchemaFault>>;

/// Compiled schemas.
#[derive(Debug)]
pub struct BodySchemas {
    bounds: SchemaBounds,
    standard: HashMap<&'static str, Schema>,
    own: Cache<OwnSchema, Read>,
}

impl BodySchemas {
    pub fn new(bounds: SchemaBounds) -> Self {
        // Bounds on the schemas of connectors must not refuse those of the contract.
        let own_bounds = SchemaBounds {
            max_steps: bounds.max_steps,
            ..SchemaBounds::default()
        };
        let read = |text: &str| {
            let schema: Value =
                serde_json::from_str(text).expect("the schemas of the contract are JSON");
            Schema::read(&schema, &own_bounds).expect("the schemas of the contract are valid")
        };
        let standard = [
            ("category", CATEGORY),
            ("brand", BRAND),
            ("product", PRODUCT),
            ("offer", OFFER),
        ];
        let weight = |(digest, _): &OwnSchema, read: &Read| {
            let bytes = read.as_ref().as_ref().map_or(0, Schema::bytes);
            u32::try_from(bytes + digest.len()).unwrap_or(u32::MAX)
        };
        Self {
            bounds,
            standard: standard.map(|(name, text)| (name, read(text))).into(),
            own: Cache::builder()
                .max_capacity(KEPT_BYTES)
                .weigher(weight)
                .build(),
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
        let verdict = match format {
            BodyFormat::Standard(name) if name == STANDARD => {
                self.standard.get(object_type)?.judge(body, 1)
            }
            BodyFormat::Standard(_) => return None,
            BodyFormat::JsonSchema(schema) => match &*self.own(digest, object_type, schema) {
                Ok(schema) => schema.judge(body, 1),
                Err(fault) => {
                    let message = format!("the connector's body schema is refused, {fault}");
                    return Some(Problem::new("body.schema_refused", message));
                }
            },
        };
        match verdict {
            Verdict::Valid => None,
            Verdict::Invalid(violations) => {
                let violation = violations.into_iter().next()?;
                let message = format!("the body does not fit its schema: {}", violation.text);
                Some(Problem::new("body.schema", message).at(violation.pointer))
            }
            Verdict::TooCostly { max_steps } => {
                let message = format!(
                    "the body takes more than {max_steps} steps to check against its schema (see \
                     `runtime.schemas.max_steps`)"
                );
                Some(Problem::new("body.too_costly", message))
            }
        }
    }

    /// Two threads may read the same schema once each. If one waited for the other, a schema that
    /// takes too long would stop both.
    fn own(&self, digest: &str, object_type: &str, schema: &Value) -> Read {
        let key = (digest.to_owned(), object_type.to_owned());
        self.own.get(&key).unwrap_or_else(|| {
            let read = Arc::new(Schema::read(schema, &self.bounds));
            self.own.insert(key, Arc::clone(&read));
            read
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusal_names_the_first_violation_with_its_pointer() {
        let schemas = BodySchemas::new(SchemaBounds::default());
        let format = BodyFormat::Standard(STANDARD.into());
        let offer = |minor_units: Value| {
            json!({
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

    #[test]
    fn refusal_of_a_costly_body_names_the_bound() {
        let schemas = BodySchemas::new(SchemaBounds {
            max_steps: 100,
            ..SchemaBounds::default()
        });
        let code = |format: &BodyFormat, body: &Value| {
            let problem = schemas.refusal("d", "product", format, body);
            problem.map(|problem| problem.code)
        };
        let own = BodyFormat::JsonSchema(json!({ "items": { "type": "integer" } }));
        assert_eq!(code(&own, &json!(vec![1; 50])), None);
        assert_eq!(
            code(&own, &json!(vec![1; 101])).as_deref(),
            Some("body.too_costly")
        );
        let standard = BodyFormat::Standard(STANDARD.into());
        let large = json!({ "variants": vec![json!({}); 1000] });
        assert_eq!(code(&standard, &large).as_deref(), Some("body.too_costly"));
    }
}
