//! Cycles of `depends_on` within one request. The item that closes a cycle is refused.

use std::collections::{HashMap, HashSet};

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::object::ObjectHash;

/// Objects visited at most in one search. A deeper chain is refused.
const MAX_STEPS: usize = 10_000;
/// Steps of all searches of one request. After that, every dependency that might close a cycle is
/// refused.
const MAX_REQUEST_STEPS: usize = 1_000_000;

type Node = (ConnectionId, ObjectHash);

/// The dependencies in one request so far.
#[derive(Clone, Debug, Default)]
pub struct Dependencies {
    parents: HashMap<Node, Vec<ObjectHash>>,
    /// Objects that others depend on. Only these can close a cycle.
    depended_on: HashSet<Node>,
    edges: usize,
    /// Steps of all searches so far.
    steps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyError {
    Cycle,
    /// The chain is too long to search, or the searches of the request together are.
    TooDeep,
    /// The request has too many dependencies.
    TooMany,
}

impl Dependencies {
    /// Adds an object's parents, all or none. Errors: the parents close a cycle, or a bound is
    /// reached.
    pub fn add(
        &mut self,
        connection: ConnectionId,
        child: ObjectHash,
        parents: &[ObjectHash],
        max_edges: u32,
    ) -> Result<(), DependencyError> {
        if self.edges + parents.len() > max_edges as usize {
            return Err(DependencyError::TooMany);
        }
        if parents.contains(&child) {
            return Err(DependencyError::Cycle);
        }
        if self.depended_on.contains(&(connection, child)) {
            self.search(connection, child, parents)?;
        }
        self.edges += parents.len();
        self.depended_on
            .extend(parents.iter().map(|p| (connection, *p)));
        self.parents
            .entry((connection, child))
            .or_default()
            .extend_from_slice(parents);
        Ok(())
    }

    /// Looks for `child` among the ancestors of its new parents.
    fn search(
        &mut self,
        connection: ConnectionId,
        child: ObjectHash,
        parents: &[ObjectHash],
    ) -> Result<(), DependencyError> {
        let mut open: Vec<ObjectHash> = parents.to_vec();
        let mut seen: HashSet<ObjectHash> = HashSet::new();
        while let Some(object) = open.pop() {
            if object == child {
                return Err(DependencyError::Cycle);
            }
            self.steps += 1;
            if self.steps > MAX_REQUEST_STEPS {
                return Err(DependencyError::TooDeep);
            }
            if !seen.insert(object) {
                continue;
            }
            if seen.len() > MAX_STEPS {
                return Err(DependencyError::TooDeep);
            }
            open.extend(
                self.parents
                    .get(&(connection, object))
                    .into_iter()
                    .flatten(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ConnectionId = ConnectionId(1);

    fn add(
        dependencies: &mut Dependencies,
        child: i64,
        parents: &[i64],
    ) -> Result<(), DependencyError> {
        let parents: Vec<_> = parents.iter().copied().map(ObjectHash).collect();
        dependencies.add(HERE, ObjectHash(child), &parents, 100_000)
    }

    #[test]
    fn cycle_is_refused_and_leaves_nothing() {
        let mut dependencies = Dependencies::default();
        assert_eq!(add(&mut dependencies, 1, &[1]), Err(DependencyError::Cycle));
        assert_eq!(add(&mut dependencies, 1, &[2]), Ok(()));
        assert_eq!(add(&mut dependencies, 2, &[3, 4]), Ok(()));
        assert_eq!(
            add(&mut dependencies, 4, &[5, 1]),
            Err(DependencyError::Cycle)
        );
        assert_eq!(add(&mut dependencies, 4, &[5]), Ok(()));
        assert_eq!(add(&mut dependencies, 5, &[2]), Err(DependencyError::Cycle));
        let elsewhere = dependencies.add(ConnectionId(2), ObjectHash(5), &[ObjectHash(2)], 100_000);
        assert_eq!(elsewhere, Ok(()));
    }

    #[test]
    fn chain_length_is_bounded_and_cheap_in_both_directions() {
        let mut dependencies = Dependencies::default();
        for i in 0..50_000 {
            assert_eq!(add(&mut dependencies, i + 1, &[i]), Ok(()));
        }
        assert_eq!(
            add(&mut dependencies, 0, &[50_000]),
            Err(DependencyError::TooDeep)
        );
        let mut backwards = Dependencies::default();
        for i in (0..50_000).rev() {
            assert_eq!(add(&mut backwards, i, &[i - 1]), Ok(()));
        }
    }

    #[test]
    fn cycle_search_is_bounded_per_request() {
        let mut dependencies = Dependencies::default();
        for i in 0..9_999 {
            assert_eq!(add(&mut dependencies, i + 1, &[i]), Ok(()));
        }
        // Others depend on each of these, and each depends on the whole chain.
        let mut taken = 0;
        for i in 20_000..30_000 {
            assert_eq!(add(&mut dependencies, i + 100_000, &[i]), Ok(()));
            match add(&mut dependencies, i, &[9_999]) {
                Ok(()) => taken += 1,
                Err(error) => assert_eq!(error, DependencyError::TooDeep),
            }
        }
        assert_eq!(taken, MAX_REQUEST_STEPS / 10_000);
        assert_eq!(
            add(&mut dependencies, 50_000, &[9_999]),
            Ok(()),
            "an object without dependents needs no search"
        );
    }

    #[test]
    fn dependency_count_is_bounded() {
        let mut dependencies = Dependencies::default();
        let parents = [ObjectHash(2), ObjectHash(3)];
        assert_eq!(
            dependencies.add(HERE, ObjectHash(1), &parents, 1),
            Err(DependencyError::TooMany)
        );
    }
}
