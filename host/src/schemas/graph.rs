//! A schema as a graph of subschemas: which of them meet which values.
//!
//! Keywords whose cost cannot be counted are refused: references that depend on the path of the
//! evaluation (`$dynamicRef`), and `unevaluatedProperties` and `unevaluatedItems`, which evaluate
//! their neighbors again at each level. `additionalProperties` and `items` remain.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::bounds::SchemaBounds;
use super::pattern::Pattern;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Keywords that are refused, with the reason.
const REFUSED: [(&str, &str); 10] = [
    ("$dynamicRef", "use `$ref`"),
    ("$dynamicAnchor", "use `$ref` with a JSON pointer"),
    ("$recursiveRef", "use `$ref`"),
    ("$recursiveAnchor", "use `$ref` with a JSON pointer"),
    ("$anchor", "use `$ref` with a JSON pointer"),
    ("$vocabulary", "it belongs to a meta-schema"),
    ("unevaluatedProperties", "use `additionalProperties`"),
    ("unevaluatedItems", "use `items`"),
    (
        "dependencies",
        "use `dependentSchemas` or `dependentRequired`",
    ),
    ("additionalItems", "use `prefixItems` and `items`"),
];

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at `{pointer}`: {detail}")]
pub struct SchemaFault {
    /// The place in the schema, as the fragment of a URI: `#/properties/name`.
    pub pointer: String,
    pub detail: String,
}

impl SchemaFault {
    pub fn new(pointer: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: format!("#{pointer}"),
            detail: detail.into(),
        }
    }
}

/// The subschemas; the first is the whole schema.
#[derive(Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
    /// The states of all regular expressions.
    pub states: usize,
}

/// One subschema. Numbers are positions in [`Graph::nodes`].
#[derive(Debug, Default)]
pub struct Node {
    pub pointer: String,
    /// Steps of its keywords, whatever the value: names that are required, values of `enum`.
    pub own_steps: u64,
    /// Subschemas for the same value.
    pub in_place: Vec<InPlace>,
    pub properties: HashMap<String, usize>,
    pub pattern_properties: Vec<(Arc<Pattern>, usize)>,
    pub additional: Option<usize>,
    pub names: Option<usize>,
    pub prefix: Vec<usize>,
    pub items: Option<usize>,
    pub contains: Option<usize>,
    pub pattern: Option<Arc<Pattern>>,
    pub unique: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct InPlace {
    pub to: usize,
    /// The validator evaluates it again when it explains a violation.
    pub again: bool,
}

impl Node {
    /// The subschemas for the member `name` of an object.
    pub fn member(&self, name: &str, targets: &mut Vec<usize>) {
        let before = targets.len();
        targets.extend(self.properties.get(name));
        let matching = self.pattern_properties.iter();
        targets.extend(
            matching
                .filter(|(pattern, _)| pattern.is_match(name))
                .map(|(_, to)| to),
        );
        if targets.len() == before {
            targets.extend(self.additional);
        }
    }

    /// The subschemas for an element of an array.
    pub fn element(&self, index: usize, targets: &mut Vec<usize>) {
        targets.extend(self.prefix.get(index).copied().or(self.items));
        targets.extend(self.contains);
    }

    pub fn looks_at_members(&self) -> bool {
        !self.properties.is_empty()
            || !self.pattern_properties.is_empty()
            || self.additional.is_some()
            || self.names.is_some()
    }

    pub fn looks_at_elements(&self) -> bool {
        !self.prefix.is_empty() || self.items.is_some() || self.contains.is_some()
    }
}

impl Graph {
    pub fn read(schema: &Value, bounds: &SchemaBounds) -> Result<Self, SchemaFault> {
        let depth = depth(schema);
        if depth > bounds.max_depth {
            let detail = format!(
                "the schema is nested {depth} levels deep; the limit is {} (see \
                 `runtime.schemas.max_depth`)",
                bounds.max_depth
            );
            return Err(SchemaFault::new("", detail));
        }
        let mut reader = Reader {
            root: schema,
            id: schema.get("$id").and_then(Value::as_str),
            bounds,
            seen: HashMap::new(),
            nodes: Vec::new(),
            patterns: HashMap::new(),
            states: 0,
        };
        reader.read(schema, "")?;
        Ok(Self {
            nodes: reader.nodes,
            states: reader.states,
        })
    }
}

struct Reader<'a> {
    root: &'a Value,
    id: Option<&'a str>,
    bounds: &'a SchemaBounds,
    /// By the address in `root`.
    seen: HashMap<usize, usize>,
    nodes: Vec<Node>,
    patterns: HashMap<&'a str, Arc<Pattern>>,
    states: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self, schema: &'a Value, pointer: &str) -> Result<usize, SchemaFault> {
        let address = std::ptr::from_ref(schema) as usize;
        if let Some(known) = self.seen.get(&address) {
            return Ok(*known);
        }
        let at = self.nodes.len();
        if at >= self.bounds.max_subschemas {
            let detail = format!(
                "the schema has more than {} subschemas (see `runtime.schemas.max_subschemas`)",
                self.bounds.max_subschemas
            );
            return Err(SchemaFault::new(pointer, detail));
        }
        self.nodes.push(Node {
            pointer: pointer.to_owned(),
            ..Node::default()
        });
        self.seen.insert(address, at);
        match schema {
            Value::Bool(_) => {}
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    self.keyword(at, keyword, value, pointer)?;
                }
            }
            _ => {
                let detail = "a schema must be an object or a boolean";
                return Err(SchemaFault::new(pointer, detail));
            }
        }
        Ok(at)
    }

    fn keyword(
        &mut self,
        at: usize,
        keyword: &'a str,
        value: &'a Value,
        parent: &str,
    ) -> Result<(), SchemaFault> {
        if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| *refused == keyword) {
            let detail = format!("the host does not evaluate `{keyword}`; {instead}");
            return Err(SchemaFault::new(parent, detail));
        }
        let pointer = format!("{parent}/{}", escaped(keyword));
        match keyword {
            "$ref" => {
                let to = self.reference(value, parent)?;
                self.nodes[at].in_place.push(InPlace { to, again: false });
            }
            "allOf" | "anyOf" | "oneOf" => {
                for to in self.list(value, &pointer)? {
                    let again = keyword != "allOf";
                    self.nodes[at].in_place.push(InPlace { to, again });
                }
            }
            "not" | "if" | "then" | "else" => {
                let to = self.read(value, &pointer)?;
                let again = matches!(keyword, "not" | "if");
                self.nodes[at].in_place.push(InPlace { to, again });
            }
            "dependentSchemas" => {
                for (_, to) in self.map(value, &pointer)? {
                    self.nodes[at].in_place.push(InPlace { to, again: false });
                }
            }
            "properties" => {
                let members = self.map(value, &pointer)?;
                // The validator looks for each of them in an object.
                self.nodes[at].own_steps += members.len() as u64 / 4;
                self.nodes[at].properties = members
                    .into_iter()
                    .map(|(name, to)| (name.clone(), to))
                    .collect();
            }
            "patternProperties" => {
                for (pattern, to) in self.map(value, &pointer)? {
                    let pattern = self.pattern(pattern, &pointer)?;
                    self.nodes[at].pattern_properties.push((pattern, to));
                }
            }
            "prefixItems" => self.nodes[at].prefix = self.list(value, &pointer)?,
            "additionalProperties" => self.nodes[at].additional = Some(self.read(value, &pointer)?),
            "propertyNames" => self.nodes[at].names = Some(self.read(value, &pointer)?),
            "items" => self.nodes[at].items = Some(self.read(value, &pointer)?),
            "contains" => self.nodes[at].contains = Some(self.read(value, &pointer)?),
            "$defs" => {
                self.map(value, &pointer)?;
            }
            "pattern" => {
                if let Some(text) = value.as_str() {
                    self.nodes[at].pattern = Some(self.pattern(text, &pointer)?);
                }
            }
            "uniqueItems" => self.nodes[at].unique = value.as_bool().unwrap_or(false),
            "enum" | "const" | "required" | "dependentRequired" => {
                self.nodes[at].own_steps += size(value);
            }
            "$schema" => {
                let draft = value.as_str().map(|text| text.trim_end_matches('#'));
                if !parent.is_empty() || draft != Some(DRAFT) {
                    let detail = format!("`$schema` may only be `{DRAFT}`, at the root");
                    return Err(SchemaFault::new(parent, detail));
                }
            }
            "$id" if !parent.is_empty() => {
                let detail = "`$id` is only allowed at the root";
                return Err(SchemaFault::new(parent, detail));
            }
            // Annotations, and assertions of constant cost. The meta-schema checks their shape.
            _ => {}
        }
        Ok(())
    }

    /// The subschemas of a list. A value of another shape is left to the meta-schema.
    fn list(&mut self, value: &'a Value, pointer: &str) -> Result<Vec<usize>, SchemaFault> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            found.push(self.read(item, &format!("{pointer}/{index}"))?);
        }
        Ok(found)
    }

    fn map(
        &mut self,
        value: &'a Value,
        pointer: &str,
    ) -> Result<Vec<(&'a String, usize)>, SchemaFault> {
        let mut found = Vec::new();
        for (name, item) in value.as_object().into_iter().flat_map(Map::iter) {
            found.push((
                name,
                self.read(item, &format!("{pointer}/{}", escaped(name)))?,
            ));
        }
        Ok(found)
    }

    fn reference(&mut self, value: &'a Value, parent: &str) -> Result<usize, SchemaFault> {
        let text = value.as_str().unwrap_or_default();
        let own = self.id.and_then(|id| text.strip_prefix(id));
        let fragment = own.unwrap_or(text).strip_prefix('#');
        let pointer = fragment
            .map(|fragment| percent_encoding::percent_decode_str(fragment).decode_utf8_lossy());
        let target = pointer
            .as_ref()
            .and_then(|pointer| Some((pointer, self.root.pointer(pointer)?)));
        let Some((pointer, target)) = target else {
            let detail = format!(
                "the reference `{}` leads to no place of this schema; it must be `#` or begin \
                 with `#/`",
                text.chars().take(100).collect::<String>()
            );
            return Err(SchemaFault::new(parent, detail));
        };
        self.read(target, pointer)
    }

    fn pattern(&mut self, text: &'a str, pointer: &str) -> Result<Arc<Pattern>, SchemaFault> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(Arc::clone(known));
        }
        if text.len() > self.bounds.max_pattern_bytes {
            let detail = format!(
                "a regular expression has {} bytes; the limit is {} (see \
                 `runtime.schemas.max_pattern_bytes`)",
                text.len(),
                self.bounds.max_pattern_bytes
            );
            return Err(SchemaFault::new(pointer, detail));
        }
        let Some(pattern) = Pattern::compile(text) else {
            let detail = format!(
                "the regular expression `{text}` is invalid or too large, or needs look-around \
                 or back-references, which cannot be matched in linear time"
            );
            return Err(SchemaFault::new(pointer, detail));
        };
        self.states += pattern.states();
        if self.states > self.bounds.max_pattern_states {
            let detail = format!(
                "the regular expressions up to `{text}` have {} states; the limit is {} (see \
                 `runtime.schemas.max_pattern_states`)",
                self.states, self.bounds.max_pattern_states
            );
            return Err(SchemaFault::new(pointer, detail));
        }
        let pattern = Arc::new(pattern);
        self.patterns.insert(text, Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// A segment of a JSON pointer (RFC 6901, section 4).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The levels of a value; 1 for a scalar. The parser bounds them.
fn depth(value: &Value) -> u32 {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => None,
    };
    1 + below.unwrap_or(0)
}

/// The steps to compare or copy a value: one per value in it, and one per 64 bytes of text.
pub fn size(value: &Value) -> u64 {
    let below = match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| 1 + name.len() as u64 / 64 + size(value))
            .sum(),
        Value::String(text) => text.len() as u64 / 64,
        _ => 0,
    };
    1 + below
}
