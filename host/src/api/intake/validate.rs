//! The door: whether a submission can be done, and everything that is fixed when it is taken —
//! connection, belt, key, time.
//!
//! One [`Acceptance`] serves one request against one view of the configuration, so that all its
//! jobs see the same.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, SourceId};
use egression_core::domain::object::{ObjectHash, ObjectKey};
use egression_core::time::Wall;

use super::fields::{Check, shown};
use super::cycles::{Dependencies, DependencyError};
use super::submission::Submission;
use crate::api::http::problem::FieldError;
use crate::api::settings::ApiSettings;
use crate::api::state::Connectors;
use crate::api::middleware::trace;
use crate::documents::catalogue::{Catalogue, Channel};
use crate::documents::model::SourceKind;
use crate::runtime::description::Description;
use crate::store::rows::StagedJob;

/// Takes the items of one request.
pub struct Acceptance {
    catalogue: Arc<Catalogue>,
    connectors: Arc<dyn Connectors>,
    subscription: String,
    settings: Arc<ApiSettings>,
    shared_context: usize,
    targets: HashMap<String, Result<Arc<Target>, (&'static str, String)>>,
    dependencies: Dependencies,
}

/// A channel as this subscription reaches it.
struct Target {
    connection: ConnectionId,
    channel: Arc<Channel>,
    description: Arc<Description>,
}

/// A submission that was taken, to be expanded into jobs.
pub struct Accepted {
    targets: Vec<(Arc<Target>, u32)>,
    object_ids: Vec<String>,
    object_type: String,
    model: StagedJob,
    fixed_key: Option<String>,
}

impl Acceptance {
    /// For one request of a subscription. `shared_context`: the pairs that the execution itself
    /// has.
    pub fn new(
        catalogue: Arc<Catalogue>,
        connectors: Arc<dyn Connectors>,
        subscription: String,
        settings: Arc<ApiSettings>,
        shared_context: usize,
    ) -> Self {
        let (targets, dependencies) = (HashMap::new(), Dependencies::default());
        Self {
            catalogue,
            connectors,
            subscription,
            settings,
            shared_context,
            targets,
            dependencies,
        }
    }

    /// Takes a submission, or says everything that is wrong with it (pointers are relative to it).
    ///
    /// # Errors
    /// The places, at least one.
    pub fn accept(&mut self, item: Submission) -> Result<Accepted, Vec<FieldError>> {
        let mut check = Check::default();
        if item
            .subscription
            .as_deref()
            .is_some_and(|name| name != self.subscription)
        {
            check.wrong(
                "/subscription",
                "foreign_subscription",
                format!(
                    "the request is for subscription `{}`: it is given once",
                    self.subscription
                ),
            );
        }
        let action = check.need("/action", item.action);
        let object_type = check.need("/object_type", item.object_type.clone());
        let object_ids = check.object_ids(item.object_ids.clone());
        let source = self.source(&item, &mut check);
        let times = check.times(&item);
        let priority = check.priority(item.priority);
        check.words(&item);
        check.context(item.context.as_ref(), self.shared_context);
        check.payload(&item, self.settings.max_payload_bytes);
        let depends_on: Vec<ObjectKey> = check.depends_on(&item, self.settings.max_depends_on);
        let targets = self.targets(&item, object_type.as_deref(), action, &mut check);
        let (Some(action), Some(object_type), true) = (action, object_type, check.is_good()) else {
            return Err(check.into_errors());
        };
        self.depend(&targets, &object_type, &object_ids, &depends_on)?;
        let traceparent = item
            .context
            .as_ref()
            .and_then(|c| c.get("traceparent"))
            .filter(|t| trace::is_traceparent(t))
            .cloned();
        let model = StagedJob {
            index: 0,
            connection: ConnectionId(0),
            belt: 0,
            object: ObjectKey::new("", ""),
            action,
            priority,
            partition_key: None,
            source,
            scheduled_at: times.0,
            expires_at: times.1,
            client_ref: item.client_ref,
            context: item.context.filter(|c| !c.is_empty()),
            depends_on,
            payload: item.payload.map(|p| p.get().to_owned()),
            full: item.full.unwrap_or(false),
            revision: item.revision,
            traceparent,
        };
        Ok(Accepted {
            targets,
            object_ids,
            object_type,
            model,
            fixed_key: item.partition_key,
        })
    }

    /// Where the body is read. With a payload, and for a delete, nothing is read, and it is kept to
    /// be shown.
    fn source(&self, item: &Submission, check: &mut Check) -> Option<SourceId> {
        let found = item.source.as_deref().map(|name| {
            (
                name,
                self.catalogue
                    .source(name)
                    .map(|source| (source.id, source.kind)),
            )
        });
        if let Some((name, None)) = found {
            check.wrong(
                "/source",
                "unknown_source",
                format!("there is no source `{}`", shown(name)),
            );
            return None;
        }
        let reads = item.payload.is_none() && item.action != Some(Action::Delete);
        match found {
            _ if !reads => found.and_then(|(_, found)| found.map(|(id, _)| id)),
            None => {
                check.wrong(
                    "/source",
                    "required",
                    "a source is needed, or `payload`".to_owned(),
                );
                None
            }
            Some((name, Some((_, SourceKind::Inline)))) => {
                check.wrong(
                    "/payload",
                    "required",
                    format!("source `{name}` is inline: the body comes with the job"),
                );
                None
            }
            Some((_, found)) => found.map(|(id, _)| id),
        }
    }

    fn targets(
        &mut self,
        item: &Submission,
        object_type: Option<&str>,
        action: Option<Action>,
        check: &mut Check,
    ) -> Vec<(Arc<Target>, u32)> {
        let named: &[String] = match (&item.channels, &item.channel) {
            (Some(_), Some(_)) => {
                check.wrong(
                    "/channel",
                    "invalid_value",
                    "expected either `channel` or `channels`".to_owned(),
                );
                return Vec::new();
            }
            (Some(names), None) => names,
            (None, Some(name)) => std::slice::from_ref(name),
            (None, None) => &[],
        };
        if named.is_empty() {
            check.wrong(
                "/channels",
                "required",
                "at least one channel is needed".to_owned(),
            );
        }
        let mut targets: Vec<(Arc<Target>, u32)> = Vec::new();
        for (index, name) in named.iter().enumerate() {
            let pointer = || {
                if item.channel.is_some() {
                    "/channel".to_owned()
                } else {
                    format!("/channels/{index}")
                }
            };
            match self.target(name) {
                Ok(target)
                    if targets
                        .iter()
                        .any(|(t, _)| t.connection == target.connection) =>
                {
                    check.wrong(
                        &pointer(),
                        "duplicate_value",
                        format!("channel `{}` is named twice", shown(name)),
                    );
                }
                Ok(target) => {
                    if let (Some(object_type), Some(action)) = (object_type, action) {
                        target.supports(name, object_type, action, check);
                        let belt = belt_of(&target.channel.document.belts, object_type);
                        targets.push((target, belt));
                    }
                }
                Err((code, detail)) => check.wrong(&pointer(), code, detail),
            }
        }
        targets
    }

    fn target(&mut self, channel: &str) -> Result<Arc<Target>, (&'static str, String)> {
        // Only channels that are there are remembered: a body full of wrong names fills no memory.
        let Some(entry) = self.catalogue.channel(channel) else {
            return Err((
                "unknown_channel",
                format!("there is no channel `{}`", shown(channel)),
            ));
        };
        if let Some(known) = self.targets.get(channel) {
            return known.clone();
        }
        let found = self.find(channel, entry);
        self.targets.insert(channel.to_owned(), found.clone());
        found
    }

    fn find(
        &self,
        channel: &str,
        entry: &Arc<Channel>,
    ) -> Result<Arc<Target>, (&'static str, String)> {
        let connection = self
            .catalogue
            .connection(&self.subscription, channel)
            .ok_or_else(|| {
                (
                    "no_connection",
                    format!(
                        "subscription `{}` has no connection into channel `{channel}`",
                        self.subscription
                    ),
                )
            })?;
        let description = self
            .connectors
            .description(&entry.connector, entry.document.version.as_deref())
            .ok_or_else(|| {
                (
                    "connector_not_installed",
                    format!(
                        "the connector `{}` of channel `{channel}` is not installed",
                        entry.connector
                    ),
                )
            })?;
        Ok(Arc::new(Target {
            connection: connection.id,
            channel: Arc::clone(entry),
            description,
        }))
    }

    fn depend(
        &mut self,
        targets: &[(Arc<Target>, u32)],
        object_type: &str,
        object_ids: &[String],
        on: &[ObjectKey],
    ) -> Result<(), Vec<FieldError>> {
        if on.is_empty() {
            return Ok(());
        }
        let parents: Vec<ObjectHash> = on.iter().map(ObjectKey::hash).collect();
        for (target, _) in targets {
            for id in object_ids {
                let child = ObjectKey::new(object_type, id.as_str());
                let max = self.settings.max_dependencies_per_request;
                self.dependencies
                    .add(target.connection, child.hash(), &parents, max)
                    .map_err(|error| vec![dependency_error(&child, error, max)])?;
            }
        }
        Ok(())
    }
}

impl Target {
    fn supports(&self, channel: &str, object_type: &str, action: Action, check: &mut Check) {
        let connector = &self.description.name;
        match self.description.object_type(object_type) {
            None => {
                let known: Vec<_> = self
                    .description
                    .object_types
                    .iter()
                    .map(|t| t.object_type.as_str())
                    .collect();
                let detail = format!(
                    "channel `{channel}` (connector `{connector}`) does not deliver `{}`, expected one of {}",
                    shown(object_type),
                    known.join(", ")
                );
                check.wrong("/object_type", "unknown_object_type", detail);
            }
            Some(support) if action.fallback(&support.actions).is_none() => {
                let known: Vec<_> = support.actions.iter().map(|a| a.as_str()).collect();
                let detail = format!(
                    "channel `{channel}` (connector `{connector}`) does not {} a `{object_type}`, expected one of {}",
                    action.as_str(),
                    known.join(", ")
                );
                check.wrong("/action", "unsupported_action", detail);
            }
            Some(_) => {}
        }
    }
}

impl Accepted {
    /// How many jobs this becomes.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.object_ids.len() as u64 * self.targets.len() as u64
    }

    #[must_use]
    pub const fn scheduled_at(&self) -> Option<Wall> {
        self.model.scheduled_at
    }

    /// The jobs in order — object by object, and for each the channels as named — with indexes from
    /// `first`.
    pub fn expand(self, first: u32) -> impl Iterator<Item = StagedJob> {
        let Self {
            targets,
            object_ids,
            object_type,
            model,
            fixed_key,
        } = self;
        let pairs = object_ids.into_iter().flat_map(move |id| {
            let object = ObjectKey::new(object_type.as_str(), id);
            targets
                .clone()
                .into_iter()
                .map(move |(target, belt)| (object.clone(), target, belt))
        });
        pairs
            .zip(first..)
            .map(move |((object, target, belt), index)| {
                let own_key = object.to_string();
                let key = fixed_key
                    .clone()
                    .unwrap_or_else(|| target.channel.document.partition.key(&object));
                let partition_key = Some(key).filter(|k| *k != own_key);
                StagedJob {
                    index,
                    connection: target.connection,
                    belt,
                    object,
                    partition_key,
                    ..model.clone()
                }
            })
    }
}

/// The belt of an object type: the place of the belt that names it, the last one if none does; from
/// 1.
#[must_use]
pub fn belt_of(belts: &[Vec<String>], object_type: &str) -> u32 {
    let place = belts
        .iter()
        .position(|belt| belt.iter().any(|t| t == object_type))
        .map_or(belts.len().max(1), |i| i + 1);
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn dependency_error(child: &ObjectKey, error: DependencyError, max: u32) -> FieldError {
    match error {
        DependencyError::Cycle => FieldError::new(
            "/depends_on",
            "dependency_cycle",
            format!("{child} would wait for itself"),
        ),
        DependencyError::TooDeep => FieldError::new(
            "/depends_on",
            "dependency_too_deep",
            format!("the objects that {child} depends on form too long a chain"),
        ),
        DependencyError::TooMany => {
            let detail = format!(
                "the request has more than {max} dependencies (bound `api.max_dependencies_per_request`)"
            );
            FieldError::new("/depends_on", "too_many_dependencies", detail)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests;
