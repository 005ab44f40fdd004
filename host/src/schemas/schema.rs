//! A schema that was read within the bounds, and its judgments.

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::bounds::SchemaBounds;
use super::cost;
use super::graph::{Graph, SchemaFault};
use super::meter::{Meter, TooCostly};
use super::pattern::{CACHE_BYTES, MAX_COMPILED_BYTES};

/// The share of the steps that may be repeated to explain violations. It bounds the memory of the
/// explanation.
const EXPLAINED: u64 = 20;
/// The most bytes of the text of a violation, which may quote the value.
const MAX_TEXT_BYTES: usize = 500;

#[derive(Debug)]
pub struct Schema {
    graph: Graph,
    validator: Validator,
    max_steps: u64,
    /// About the bytes of memory that it holds.
    bytes: usize,
}

/// What a schema says about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    /// At least one violation.
    Invalid(Vec<Violation>),
    /// It was not evaluated, because it would take more steps than this.
    TooCostly {
        max_steps: u64,
    },
}

/// A place that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The place in the value, as a JSON pointer (RFC 6901).
    pub pointer: String,
    pub text: String,
}

impl Schema {
    /// Reads a schema of draft 2020-12. The fault names the place and the bound.
    pub fn read(schema: &Value, bounds: &SchemaBounds) -> Result<Self, SchemaFault> {
        let bytes = schema.to_string().len();
        if bytes > bounds.max_bytes {
            let detail = format!(
                "the schema has {bytes} bytes; the limit is {} (see `runtime.schemas.max_bytes`)",
                bounds.max_bytes
            );
            return Err(SchemaFault::new("", detail));
        }
        let graph = Graph::read(schema, bounds)?;
        cost::check(&graph, bounds)?;
        let patterns = PatternOptions::regex()
            .size_limit(2 * MAX_COMPILED_BYTES)
            .dfa_size_limit(CACHE_BYTES);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .should_validate_formats(false)
            .build(schema)
            .map_err(|error| {
                let pointer = error.instance_path().to_string();
                SchemaFault::new(&pointer, text(&error))
            })?;
        Ok(Self {
            bytes: bytes * 16 + graph.states * 128,
            graph,
            validator,
            max_steps: bounds.max_steps,
        })
    }

    /// About the bytes of memory that it holds.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Evaluates a value. Reports at most `most` violations.
    pub fn judge(&self, value: &Value, most: usize) -> Verdict {
        let mut meter = Meter::new(&self.graph, self.max_steps);
        if let Err(TooCostly) = meter.count(value) {
            return Verdict::TooCostly {
                max_steps: self.max_steps,
            };
        }
        if self.validator.is_valid(value) {
            return Verdict::Valid;
        }
        let explained = self.max_steps / EXPLAINED;
        let mut violations = Vec::new();
        if meter.explaining() > explained {
            violations.push(Violation {
                pointer: String::new(),
                text: "it does not fit the schema, and is too large to name the place".to_owned(),
            });
        } else if meter.steps() <= explained {
            let errors = self.validator.iter_errors(value).take(most);
            violations.extend(errors.map(|error| Violation::of(&error)));
        } else if let Err(error) = self.validator.validate(value) {
            violations.push(Violation::of(&error));
        }
        Verdict::Invalid(violations)
    }
}

impl Violation {
    fn of(error: &ValidationError<'_>) -> Self {
        Self {
            pointer: error.instance_path().to_string(),
            text: text(error),
        }
    }
}

fn text(error: &ValidationError<'_>) -> String {
    let mut text = error.to_string();
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.push('…');
    }
    text
}
