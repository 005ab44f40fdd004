//! Jobs whose objects refer to unfinished ones wait for these.

use std::collections::HashMap;

use egression_core::domain::ids::JobSeq;
use egression_core::domain::object::ObjectKey;
use egression_core::time::Wall;

use crate::delivery::finished::Disposed;
use crate::delivery::job_store::{JobStore, Parent};
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::delivery::settle::history_events;
use crate::delivery::settle::settlement_builder::waits_for_parents;

/// What each job must wait for.
type Missing = HashMap<JobSeq, Vec<Parent>>;

/// Sets jobs aside that must wait; returns the others. A repeat of pinned bytes waited before.
pub async fn wait_for_parents(
    store: &JobStore,
    route: &Route,
    mut work: Vec<Work>,
    now: Wall,
    disposed: &mut Disposed,
) -> Vec<Work> {
    let asked = named_objects(&work);
    if asked.is_empty() {
        return work;
    }
    let parents = match store.unfinished_parents(route.connection, &asked).await {
        Ok(parents) => parents,
        Err(error) => {
            tracing::error!(%error, "cannot read parents; their children do not wait");
            return work;
        }
    };
    let mut missing = Missing::new();
    for ((job, object), parent) in asked.into_iter().zip(parents) {
        if parent.is_some() {
            missing.entry(job).or_default().push((object, parent));
        }
    }
    add_unknown_dependencies(store, route, &work, &mut missing).await;
    ignore_circles(store, route, &mut work, &mut missing, now).await;
    let mut going = Vec::with_capacity(work.len());
    for item in work {
        match missing.remove(&item.row.job) {
            Some(parents) => {
                disposed.aside(item.head, waits_for_parents(route, &item.row, parents, now));
            }
            None => going.push(item),
        }
    }
    going
}

/// The objects that jobs name in `depends_on` or refer to in their bodies, except their own.
fn named_objects(work: &[Work]) -> Vec<(JobSeq, ObjectKey)> {
    work.iter()
        .filter(|item| item.row.pinned.is_none())
        .flat_map(|item| {
            let referred = item.references.iter().map(|reference| &reference.target);
            item.row
                .depends_on
                .iter()
                .chain(referred)
                .filter(move |object| **object != item.row.object)
                .map(move |object| (item.row.job, object.clone()))
        })
        .collect()
}

/// An object of `depends_on` without an unfinished job must be known to be at the destination.
async fn add_unknown_dependencies(
    store: &JobStore,
    route: &Route,
    work: &[Work],
    missing: &mut Missing,
) {
    let dependent = work
        .iter()
        .filter(|item| item.row.pinned.is_none() && !item.row.depends_on.is_empty());
    for item in dependent {
        let known = match store
            .are_there(route.connection, &item.row.depends_on)
            .await
        {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(%error, "cannot read if parents are there; the job does not wait");
                continue;
            }
        };
        for (object, there) in item.row.depends_on.iter().zip(known) {
            let parents = missing.get(&item.row.job).map_or(&[][..], Vec::as_slice);
            if !there && parents.iter().all(|(other, _)| other != object) {
                missing
                    .entry(item.row.job)
                    .or_default()
                    .push((object.clone(), None));
            }
        }
    }
}

/// A job does not wait for an object that waits for it.
async fn ignore_circles(
    store: &JobStore,
    route: &Route,
    work: &mut [Work],
    missing: &mut Missing,
    now: Wall,
) {
    let pairs: Vec<_> = missing
        .iter()
        .flat_map(|(job, of)| {
            of.iter()
                .map(|(object, parent)| (*job, object.clone(), *parent))
        })
        .collect();
    for (job, object) in store.circles(route.connection, &pairs).await {
        if let Some(item) = work.iter_mut().find(|item| item.row.job == job) {
            item.events
                .push(history_events::reference_ignored(&object, now));
        }
        if let Some(parents) = missing.get_mut(&job) {
            parents.retain(|(other, _)| *other != object);
        }
    }
    missing.retain(|_, parents| !parents.is_empty());
}
