//! How often a schema evaluates one value, whatever the value is.
//!
//! A subschema evaluates its value once, plus the evaluations of `$ref`, `allOf`, `anyOf` and so on
//! for the same value. A value inside it counts the evaluations of all subschemas that meet it: two
//! `properties` of an `allOf` evaluate the same member twice. A recursion through members or
//! elements is harmless in itself (a list, a tree of categories) and counts once. One that
//! multiplies with each level of the value is left to the meter, which knows the value.

use std::collections::BTreeSet;

use super::bounds::SchemaBounds;
use super::graph::{Graph, SchemaFault};

/// Refuses a schema that evaluates one value too often, or forever.
pub fn check(graph: &Graph, bounds: &SchemaBounds) -> Result<(), SchemaFault> {
    let mut estimate = Estimate {
        graph,
        bounds,
        in_place: vec![Mark::New; graph.nodes.len()],
        per_value: vec![Mark::New; graph.nodes.len()],
    };
    for at in 0..graph.nodes.len() {
        estimate.in_place(at)?;
    }
    for at in 0..graph.nodes.len() {
        estimate.per_value(at)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Mark {
    New,
    /// On the path from the root of the search.
    Open,
    Done(Cost),
}

#[derive(Clone, Copy, Debug)]
struct Cost {
    evaluations: u64,
    /// The longest chain of subschemas for one value.
    chain: u32,
}

struct Estimate<'a> {
    graph: &'a Graph,
    bounds: &'a SchemaBounds,
    in_place: Vec<Mark>,
    per_value: Vec<Mark>,
}

impl Estimate<'_> {
    /// The evaluations of the value itself.
    fn in_place(&mut self, at: usize) -> Result<Cost, SchemaFault> {
        let node = &self.graph.nodes[at];
        match self.in_place[at] {
            Mark::Done(cost) => return Ok(cost),
            Mark::Open => {
                let detail = "the subschema refers to itself for the same value, so that its \
                              evaluation never ends";
                return Err(SchemaFault::new(&node.pointer, detail));
            }
            Mark::New => self.in_place[at] = Mark::Open,
        }
        let mut cost = Cost {
            evaluations: 1,
            chain: 1,
        };
        for edge in &node.in_place {
            let below = self.in_place(edge.to)?;
            cost.evaluations = cost.evaluations.saturating_add(below.evaluations);
            cost.chain = cost.chain.max(below.chain + 1);
        }
        if cost.chain > self.bounds.max_depth {
            let detail = format!(
                "a chain of more than {} references begins here (see `runtime.schemas.max_depth`)",
                self.bounds.max_depth
            );
            return Err(SchemaFault::new(&node.pointer, detail));
        }
        self.bounded(at, cost.evaluations)?;
        self.in_place[at] = Mark::Done(cost);
        Ok(cost)
    }

    /// The most evaluations of the value, or of a value inside it.
    fn per_value(&mut self, at: usize) -> Result<u64, SchemaFault> {
        let own = self.in_place(at)?;
        match self.per_value[at] {
            Mark::Done(cost) => return Ok(cost.evaluations),
            Mark::Open => return Ok(own.evaluations),
            Mark::New => self.per_value[at] = Mark::Open,
        }
        let mut most = own.evaluations;
        for targets in self.values_inside(at) {
            let mut evaluations: u64 = 0;
            for target in targets {
                evaluations = evaluations.saturating_add(self.per_value(target)?);
            }
            most = most.max(evaluations);
        }
        self.bounded(at, most)?;
        self.per_value[at] = Mark::Done(Cost {
            evaluations: most,
            chain: 0,
        });
        Ok(most)
    }

    /// For each kind of value inside: the subschemas that meet it, as often as they do.
    fn values_inside(&self, at: usize) -> Vec<Vec<usize>> {
        // As long as the evaluations of the value, which are bounded by now.
        let mut here = vec![at];
        let mut next = 0;
        while let Some(at) = here.get(next) {
            let edges = &self.graph.nodes[*at].in_place;
            next += 1;
            here.extend(edges.iter().map(|edge| edge.to));
        }
        let nodes = || here.iter().map(|at| &self.graph.nodes[*at]);
        let names: BTreeSet<&String> = nodes().flat_map(|node| node.properties.keys()).collect();
        let mut kinds = Vec::new();
        for name in names {
            let mut targets = Vec::new();
            nodes().for_each(|node| node.member(name, &mut targets));
            kinds.push(targets);
        }
        let other_members = nodes().flat_map(|node| {
            let patterns = node.pattern_properties.iter().map(|(_, to)| *to);
            patterns.chain(node.additional)
        });
        kinds.push(other_members.collect());
        kinds.push(nodes().filter_map(|node| node.names).collect());
        let listed = nodes().map(|node| node.prefix.len()).max().unwrap_or(0);
        for index in 0..=listed {
            let mut targets = Vec::new();
            nodes().for_each(|node| node.element(index, &mut targets));
            kinds.push(targets);
        }
        kinds
    }

    fn bounded(&self, at: usize, evaluations: u64) -> Result<(), SchemaFault> {
        if evaluations <= self.bounds.max_evaluations {
            return Ok(());
        }
        let detail = format!(
            "the subschema evaluates one value {evaluations} times; the limit is {} (see \
             `runtime.schemas.max_evaluations`)",
            self.bounds.max_evaluations
        );
        Err(SchemaFault::new(&self.graph.nodes[at].pointer, detail))
    }
}
