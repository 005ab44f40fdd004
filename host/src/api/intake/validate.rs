//! Validates one item of a request, or the body of `POST /v1/jobs`, against the documents in force,
//! and expands it into jobs. What a job keeps from now on is decided here: connection, belt,
//! partition key and times.
//!
//! One [`Validator`] serves one request with one snapshot of the documents, so that all its jobs
//! see the same.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, SourceId};
use egression_core::domain::object::{ObjectHash, ObjectKey};
use egression_core::time::Wall;

use super::cycles::{Dependencies, DependencyError};
use super::fields::{FieldChecks, shown};
use super::submission::Submission;
use crate::api::ApiSettings;
use crate::api::http::problem::FieldError;
use crate::api::middleware::trace;
use crate::documents::catalogue::{Catalogue, Channel};
use crate::documents::model::SourceKind;
use crate::runtime::Description;
use crate::store::rows::StagedJob;

/// Returns the description of a connector: of its active version, or of the newest that matches the
/// pin.
pub type Describe = Arc<dyn Fn(&str, Option<&str>) -> Option<Arc<Description>> + Send + Sync>;

#[derive(Clone)]
pub struct Validator {
    catalogue: Arc<Catalogue>,
    describe: Describe,
    subscription: String,
    settings: Arc<ApiSettings>,
    shared_context: usize,
    targets: HashMap<String, Result<Arc<Target>, (&'static str, String)>>,
    dependencies: Dependencies,
}

/// A channel with the connection of the request's subscription.
struct Target {
    connection: ConnectionId,
    channel: Arc<Channel>,
    description: Arc<Description>,
}

/// A valid submission, to be expanded into jobs.
pub struct Accepted {
    targets: Vec<(Arc<Target>, u32)>,
    object_ids: Vec<String>,
    object_type: String,
    model: StagedJob,
    fixed_key: Option<String>,
}

impl Validator {
    /// `shared_context`: the number of pairs in the context of the execution.
    pub fn new(
        catalogue: Arc<Catalogue>,
        describe: Describe,
        subscription: String,
        settings: Arc<ApiSettings>,
        shared_context: usize,
    ) -> Self {
        let (targets, dependencies) = (HashMap::new(), Dependencies::default());
        Self {
            catalogue,
            describe,
            subscription,
            settings,
            shared_context,
            targets,
            dependencies,
        }
    }

    /// Fails with all errors of the submission. Pointers are relative to it.
    pub fn validate(&mut self, item: Submission) -> Result<Accepted, Vec<FieldError>> {
        let mut fields = FieldChecks::default();
        if item
            .subscription
            .as_deref()
            .is_some_and(|name| name != self.subscription)
        {
            fields.wrong(
                "/subscription",
                "foreign_subscription",
                format!(
                    "the request is for subscription `{}`; name it only once",
                    self.subscription
                ),
            );
        }
        let action = fields.need("/action", item.action);
        let object_type = fields.need("/object_type", item.object_type.clone());
        let object_ids = fields.object_ids(item.object_ids.clone());
        let source = self.source(&item, &mut fields);
        let times = fields.times(&item);
        let priority = fields.priority(item.priority);
        fields.texts(&item);
        fields.context(item.context.as_ref(), self.shared_context);
        fields.payload(&item, self.settings.max_payload_bytes);
        let depends_on: Vec<ObjectKey> = fields.depends_on(&item, self.settings.max_depends_on);
        let targets = self.targets(&item, object_type.as_deref(), action, &mut fields);
        let first = targets
            .first()
            .map(|(target, belt)| (target.connection, *belt));
        let (Some(action), Some(object_type), Some((connection, belt)), true) =
            (action, object_type, first, fields.is_good())
        else {
            return Err(fields.into_errors());
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
            connection,
            belt,
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

    /// The source of the body. With a payload and for a delete, nothing is read, and the source is
    /// only shown.
    fn source(&self, item: &Submission, fields: &mut FieldChecks) -> Option<SourceId> {
        let found = item.source.as_deref().map(|name| {
            (
                name,
                self.catalogue
                    .source_for(&self.subscription, name)
                    .map(|source| (source.id, source.kind)),
            )
        });
        if let Some((name, None)) = found {
            fields.wrong(
                "/source",
                "unknown_source",
                format!("unknown source `{}`", shown(name)),
            );
            return None;
        }
        let reads = item.payload.is_none() && item.action != Some(Action::Delete);
        match found {
            _ if !reads => found.and_then(|(_, found)| found.map(|(id, _)| id)),
            None => {
                fields.wrong("/source", "required", "`source` or `payload` is required");
                None
            }
            Some((name, Some((_, SourceKind::Inline)))) => {
                fields.wrong(
                    "/payload",
                    "required",
                    format!("source `{name}` is inline, so `payload` is required"),
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
        fields: &mut FieldChecks,
    ) -> Vec<(Arc<Target>, u32)> {
        let named: &[String] = match (&item.channels, &item.channel) {
            (Some(_), Some(_)) => {
                fields.wrong(
                    "/channel",
                    "invalid_value",
                    "expected either `channel` or `channels`",
                );
                return Vec::new();
            }
            (Some(names), None) => names,
            (None, Some(name)) => std::slice::from_ref(name),
            (None, None) => &[],
        };
        if named.is_empty() {
            fields.wrong("/channels", "required", "at least one channel is required");
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
                    fields.wrong(
                        &pointer(),
                        "duplicate_value",
                        format!("channel `{}` is named twice", shown(name)),
                    );
                }
                Ok(target) => {
                    if let (Some(object_type), Some(action)) = (object_type, action) {
                        target.supports(name, object_type, action, fields);
                        let belt = belt_of(&target.channel.document.belts, object_type);
                        targets.push((target, belt));
                    }
                }
                Err((code, detail)) => fields.wrong(&pointer(), code, detail),
            }
        }
        targets
    }

    fn target(&mut self, channel: &str) -> Result<Arc<Target>, (&'static str, String)> {
        // Only existing channels are cached, so that a body full of wrong names fills no memory.
        let Some(entry) = self.catalogue.channel_for(&self.subscription, channel) else {
            return Err((
                "unknown_channel",
                format!("unknown channel `{}`", shown(channel)),
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
        let description = (self.describe)(&entry.connector, entry.document.version.as_deref())
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
    fn supports(&self, channel: &str, object_type: &str, action: Action, fields: &mut FieldChecks) {
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
                    "channel `{channel}` (connector `{connector}`) does not support the object \
                     type \
                     `{}`, expected one of {}",
                    shown(object_type),
                    known.join(", ")
                );
                fields.wrong("/object_type", "unknown_object_type", detail);
            }
            Some(support) if action.fallback(&support.actions).is_none() => {
                let known: Vec<_> = support.actions.iter().map(|a| a.as_str()).collect();
                let detail = format!(
                    "channel `{channel}` (connector `{connector}`) does not support the action \
                     `{}` for \
                     `{object_type}`, expected one of {}",
                    action.as_str(),
                    known.join(", ")
                );
                fields.wrong("/action", "unsupported_action", detail);
            }
            Some(_) => {}
        }
    }
}

impl Accepted {
    pub fn jobs(&self) -> u64 {
        self.object_ids.len() as u64 * self.targets.len() as u64
    }

    pub const fn scheduled_at(&self) -> Option<Wall> {
        self.model.scheduled_at
    }

    /// The jobs with indexes from `first`: object by object, and for each object the channels as
    /// named.
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

/// The belt of an object type, from 1: the one that names it, otherwise the last.
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
            format!("the chain of objects that {child} depends on is too long"),
        ),
        DependencyError::TooMany => {
            let detail = format!(
                "the request has more than {max} dependencies (bound \
                 `api.max_dependencies_per_request`)"
            );
            FieldError::new("/depends_on", "too_many_dependencies", detail)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests;
