//! The unfinished jobs of the objects that a connector says its items are blocked on.

use std::collections::BTreeMap;

use egression_core::domain::outcome::Outcome;

use crate::delivery::invoke::invocation::Invocation;
use crate::delivery::job_store::{JobStore, Parent};
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;

/// Finds them by item index. An item cannot wait for itself, nor for an object that waits for it:
/// such objects are removed from the outcome.
pub async fn find_parents(
    store: &JobStore,
    route: &Route,
    batch: &[Work],
    invocation: &mut Invocation,
) -> BTreeMap<u32, Vec<Parent>> {
    let mut parents = BTreeMap::new();
    for (index, outcome) in &mut invocation.outcomes {
        let Outcome::BlockedOn(objects) = outcome else {
            continue;
        };
        let position = usize::try_from(*index).ok();
        let Some(item) = position.and_then(|position| batch.get(position)) else {
            continue;
        };
        objects.retain(|object| *object != item.row.object);
        let asked: Vec<_> = objects
            .iter()
            .map(|object| (item.row.job, object.clone()))
            .collect();
        let found = store
            .unfinished_parents(route.connection, &asked)
            .await
            .unwrap_or_default();
        let mut found = found.into_iter();
        let pairs: Vec<_> = asked
            .into_iter()
            .map(|(job, object)| (job, object, found.next().flatten()))
            .collect();
        let circles = store.circles(route.connection, &pairs).await;
        objects.retain(|object| circles.iter().all(|(_, other)| other != object));
        let kept = pairs
            .into_iter()
            .filter(|(_, object, _)| objects.contains(object));
        parents.insert(
            *index,
            kept.map(|(_, object, parent)| (object, parent)).collect(),
        );
    }
    parents
}
