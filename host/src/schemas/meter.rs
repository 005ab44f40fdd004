//! Counts the steps of an evaluation before it runs.
//!
//! The count follows every subschema that may meet a value, also those that the validator would
//! skip after a violation. Therefore it is an upper bound, and it stops at the limit.

use serde_json::Value;

use super::graph::{Graph, size};

/// The evaluation would take more steps than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooCostly;

#[derive(Debug)]
pub struct Meter<'a> {
    graph: &'a Graph,
    max_steps: u64,
    steps: u64,
    explaining: u64,
}

/// `uniqueItems` compares short arrays in pairs and hashes the values of long ones.
const UNIQUE_STEPS: u64 = 8;

impl<'a> Meter<'a> {
    pub const fn new(graph: &'a Graph, max_steps: u64) -> Self {
        Self {
            graph,
            max_steps,
            steps: 0,
            explaining: 0,
        }
    }

    /// The steps of the whole evaluation.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The steps below `anyOf` and its like, as often as the validator repeats them to explain why
    /// no branch fits. It keeps a violation for each.
    pub const fn explaining(&self) -> u64 {
        self.explaining
    }

    pub fn count(&mut self, value: &Value) -> Result<(), TooCostly> {
        self.evaluate(0, value, 0)
    }

    fn charge(&mut self, steps: u64, repeated: u64) -> Result<(), TooCostly> {
        self.steps = self.steps.saturating_add(steps);
        if repeated > 0 {
            let repeats = steps.saturating_mul(repeated + 1);
            self.explaining = self.explaining.saturating_add(repeats);
        }
        if self.steps > self.max_steps {
            Err(TooCostly)
        } else {
            Ok(())
        }
    }

    /// `repeated`: the number of subschemas around this one that repeat it.
    fn evaluate(&mut self, at: usize, value: &Value, repeated: u64) -> Result<(), TooCostly> {
        let node = &self.graph.nodes[at];
        self.charge(1 + node.own_steps, repeated)?;
        match value {
            Value::String(text) => {
                // The length in characters.
                let length = text.len() as u64 / 64;
                let search = node.pattern.as_ref().map_or(0, |p| p.steps(text.len()));
                self.charge(length + search, repeated)?;
            }
            Value::Array(items) => {
                if node.unique {
                    self.charge(size(value).saturating_mul(UNIQUE_STEPS), repeated)?;
                }
                if node.looks_at_elements() {
                    let repeated = repeated + u64::from(node.contains.is_some());
                    let mut targets = Vec::new();
                    for (index, item) in items.iter().enumerate() {
                        targets.clear();
                        node.element(index, &mut targets);
                        for target in &targets {
                            self.evaluate(*target, item, repeated)?;
                        }
                    }
                }
            }
            Value::Object(members) if node.looks_at_members() => {
                let mut targets = Vec::new();
                for (name, member) in members {
                    let search = node.pattern_properties.iter();
                    let search: u64 = search.map(|(p, _)| p.steps(name.len())).sum();
                    self.charge(1 + search, repeated)?;
                    if let Some(names) = node.names {
                        self.evaluate(names, &Value::String(name.clone()), repeated)?;
                    }
                    targets.clear();
                    node.member(name, &mut targets);
                    for target in &targets {
                        self.evaluate(*target, member, repeated)?;
                    }
                }
            }
            _ => {}
        }
        for edge in &node.in_place {
            self.evaluate(edge.to, value, repeated + u64::from(edge.again))?;
        }
        Ok(())
    }
}
