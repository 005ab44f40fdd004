//! The door: whether a submission can be done, and everything that is fixed when it is taken — connection, belt, key, time.
//!
//! One [`Acceptance`] serves one request against one view of the configuration, so that all its jobs see the same.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, SourceId};
use egression_core::domain::object::{ObjectHash, ObjectKey};
use egression_core::time::Wall;

use super::dependencies::{Dependencies, DependencyError};
use super::item::Submission;
use super::problem::FieldError;
use super::settings::ApiSettings;
use super::state::Connectors;
use super::trace;
use crate::config::catalogue::{Catalogue, Channel};
use crate::config::documents::SourceKind;
use crate::runtime::description::Description;
use crate::store::rows::{Context, StagedJob};

/// The longest object id and object type in bytes.
pub const MAX_OBJECT_ID_BYTES: usize = 512;
/// The longest partition key and `client_ref` in bytes.
pub const MAX_WORD_BYTES: usize = 200;
/// Pairs of a context, those of the execution included.
pub const MAX_CONTEXT_PAIRS: usize = 10;
/// The longest name or value in a context, in bytes.
pub const MAX_CONTEXT_BYTES: usize = 256;

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
    /// For one request of a subscription. `shared_context`: the pairs that the execution itself has.
    pub fn new(
        catalogue: Arc<Catalogue>,
        connectors: Arc<dyn Connectors>,
        subscription: String,
        settings: Arc<ApiSettings>,
        shared_context: usize,
    ) -> Self {
        let (targets, dependencies) = (HashMap::new(), Dependencies::default());
        Self { catalogue, connectors, subscription, settings, shared_context, targets, dependencies }
    }

    /// Takes a submission, or says everything that is wrong with it (pointers are relative to it).
    ///
    /// # Errors
    /// The places, at least one.
    pub fn accept(&mut self, item: Submission) -> Result<Accepted, Vec<FieldError>> {
        let mut check = Check::default();
        if item.subscription.as_deref().is_some_and(|name| name != self.subscription) {
            check.wrong(
                "/subscription",
                "foreign_subscription",
                format!("the request is for subscription `{}`: it is given once", self.subscription),
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
        let (Some(action), Some(object_type), true) = (action, object_type, check.errors.is_empty()) else { return Err(check.errors) };
        self.depend(&targets, &object_type, &object_ids, &depends_on)?;
        let traceparent = item.context.as_ref().and_then(|c| c.get("traceparent")).filter(|t| trace::is_traceparent(t)).cloned();
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
        Ok(Accepted { targets, object_ids, object_type, model, fixed_key: item.partition_key })
    }

    /// Where the body is read. With a payload, and for a delete, nothing is read, and it is kept to be shown.
    fn source(&self, item: &Submission, check: &mut Check) -> Option<SourceId> {
        let found = item.source.as_deref().map(|name| (name, self.catalogue.source(name).map(|source| (source.id, source.kind))));
        if let Some((name, None)) = found {
            check.wrong("/source", "unknown_source", format!("there is no source `{name}`"));
            return None;
        }
        let reads = item.payload.is_none() && item.action != Some(Action::Delete);
        match found {
            _ if !reads => found.and_then(|(_, found)| found.map(|(id, _)| id)),
            None => {
                check.wrong("/source", "required", "a source is needed, or `payload`".to_owned());
                None
            }
            Some((name, Some((_, SourceKind::Inline)))) => {
                check.wrong("/payload", "required", format!("source `{name}` is inline: the body comes with the job"));
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
        let named: Vec<(String, String)> = match (&item.channels, &item.channel) {
            (Some(_), Some(_)) => {
                check.wrong("/channel", "invalid_value", "expected either `channel` or `channels`".to_owned());
                return Vec::new();
            }
            (Some(names), None) => names.iter().enumerate().map(|(i, name)| (format!("/channels/{i}"), name.clone())).collect(),
            (None, Some(name)) => vec![("/channel".to_owned(), name.clone())],
            (None, None) => Vec::new(),
        };
        if named.is_empty() {
            check.wrong("/channels", "required", "at least one channel is needed".to_owned());
        }
        let mut targets: Vec<(Arc<Target>, u32)> = Vec::with_capacity(named.len());
        for (pointer, name) in named {
            match self.target(&name) {
                Ok(target) if targets.iter().any(|(t, _)| t.connection == target.connection) => {
                    check.wrong(&pointer, "duplicate_value", format!("channel `{name}` is named twice"));
                }
                Ok(target) => {
                    if let (Some(object_type), Some(action)) = (object_type, action) {
                        target.supports(&name, object_type, action, check);
                        let belt = belt_of(&target.channel.document.belts, object_type);
                        targets.push((target, belt));
                    }
                }
                Err((code, detail)) => check.wrong(&pointer, code, detail),
            }
        }
        targets
    }

    fn target(&mut self, channel: &str) -> Result<Arc<Target>, (&'static str, String)> {
        if let Some(known) = self.targets.get(channel) {
            return known.clone();
        }
        let found = self.find(channel);
        // The bound keeps a body full of wrong names from filling memory.
        if self.targets.len() < 10_000 {
            self.targets.insert(channel.to_owned(), found.clone());
        }
        found
    }

    fn find(&self, channel: &str) -> Result<Arc<Target>, (&'static str, String)> {
        let entry = self.catalogue.channel(channel).ok_or_else(|| ("unknown_channel", format!("there is no channel `{channel}`")))?;
        let connection = self
            .catalogue
            .connection(&self.subscription, channel)
            .ok_or_else(|| ("no_connection", format!("subscription `{}` has no connection into channel `{channel}`", self.subscription)))?;
        let description = self.connectors.description(&entry.connector, entry.document.version.as_deref()).ok_or_else(|| {
            ("connector_not_installed", format!("the connector `{}` of channel `{channel}` is not installed", entry.connector))
        })?;
        Ok(Arc::new(Target { connection: connection.id, channel: Arc::clone(entry), description }))
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
                let known: Vec<_> = self.description.object_types.iter().map(|t| t.object_type.as_str()).collect();
                let detail = format!(
                    "channel `{channel}` (connector `{connector}`) does not deliver `{object_type}`, expected one of {}",
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

    /// Not before this instant.
    #[must_use]
    pub const fn scheduled_at(&self) -> Option<Wall> {
        self.model.scheduled_at
    }

    /// The jobs in order — object by object, and for each the channels as named — with indexes from `first`.
    pub fn expand(self, first: u32) -> impl Iterator<Item = StagedJob> {
        let Self { targets, object_ids, object_type, model, fixed_key } = self;
        let pairs = object_ids.into_iter().flat_map(move |id| {
            let object = ObjectKey::new(object_type.as_str(), id);
            targets.clone().into_iter().map(move |(target, belt)| (object.clone(), target, belt))
        });
        pairs.zip(first..).map(move |((object, target, belt), index)| {
            let own_key = object.to_string();
            let key = fixed_key.clone().unwrap_or_else(|| target.channel.document.partition.key(&object));
            let partition_key = Some(key).filter(|k| *k != own_key);
            StagedJob { index, connection: target.connection, belt, object, partition_key, ..model.clone() }
        })
    }
}

/// The belt of an object type: the place of the belt that names it, the last one if none does; from 1.
#[must_use]
pub fn belt_of(belts: &[Vec<String>], object_type: &str) -> u32 {
    let place = belts.iter().position(|belt| belt.iter().any(|t| t == object_type)).map_or(belts.len().max(1), |i| i + 1);
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn dependency_error(child: &ObjectKey, error: DependencyError, max: u32) -> FieldError {
    match error {
        DependencyError::Cycle => FieldError::new("/depends_on", "dependency_cycle", format!("{child} would wait for itself")),
        DependencyError::TooDeep => {
            FieldError::new("/depends_on", "dependency_too_deep", format!("the objects that {child} depends on form too long a chain"))
        }
        DependencyError::TooMany => {
            let detail = format!("the request has more than {max} dependencies (bound `api.max_dependencies_per_request`)");
            FieldError::new("/depends_on", "too_many_dependencies", detail)
        }
    }
}

/// Collects what is wrong with one submission.
#[derive(Default)]
struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    fn wrong(&mut self, pointer: &str, code: &str, detail: String) {
        self.errors.push(FieldError::new(pointer, code, detail));
    }

    fn need<T>(&mut self, pointer: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.wrong(pointer, "required", format!("`{}` is required", &pointer[1..]));
        }
        value
    }

    fn object_ids(&mut self, ids: Option<Vec<String>>) -> Vec<String> {
        let ids = self.need("/object_ids", ids).unwrap_or_default();
        if ids.is_empty() && self.errors.last().is_none_or(|e| e.pointer != "/object_ids") {
            self.wrong("/object_ids", "required", "at least one object id is needed".to_owned());
        }
        if let Some(at) = ids.iter().position(|id| id.is_empty() || id.len() > MAX_OBJECT_ID_BYTES || id.chars().any(char::is_control)) {
            let detail = format!("expected 1 to {MAX_OBJECT_ID_BYTES} bytes without control characters");
            self.wrong(&format!("/object_ids/{at}"), "invalid_value", detail);
        }
        ids
    }

    fn instant(&mut self, pointer: &str, text: Option<&str>) -> Option<Wall> {
        let text = text?;
        let instant = Wall::parse_rfc3339(text).ok();
        if instant.is_none() {
            self.wrong(
                pointer,
                "invalid_value",
                format!("`{}` is no instant, expected RFC 3339 like 2026-11-21T08:00:00Z", super::item::excerpt(text.as_bytes(), 60)),
            );
        }
        instant
    }

    fn times(&mut self, item: &Submission) -> (Option<Wall>, Option<Wall>) {
        let scheduled = self.instant("/scheduled_at", item.scheduled_at.as_deref());
        let expires = self.instant("/expires_at", item.expires_at.as_deref());
        if let (Some(scheduled), Some(expires)) = (scheduled, expires)
            && expires <= scheduled
        {
            self.wrong("/expires_at", "invalid_value", "expected an instant after `scheduled_at`".to_owned());
        }
        (scheduled, expires)
    }

    fn priority(&mut self, priority: Option<i64>) -> i8 {
        let priority = priority.unwrap_or(0);
        if !(-10..=10).contains(&priority) {
            self.wrong("/priority", "invalid_value", format!("{priority} is out of range, expected -10 to 10"));
        }
        i8::try_from(priority).unwrap_or(0)
    }

    fn words(&mut self, item: &Submission) {
        for (pointer, word) in [("/partition_key", &item.partition_key), ("/client_ref", &item.client_ref)] {
            if word.as_ref().is_some_and(|w| w.is_empty() || w.len() > MAX_WORD_BYTES) {
                self.wrong(pointer, "invalid_value", format!("expected 1 to {MAX_WORD_BYTES} bytes"));
            }
        }
    }

    fn context(&mut self, context: Option<&Context>, shared: usize) {
        let Some(context) = context else { return };
        if context.len() + shared > MAX_CONTEXT_PAIRS {
            self.wrong("/context", "too_many", format!("expected at most {MAX_CONTEXT_PAIRS} pairs, those of `defaults` included"));
        }
        if context.iter().any(|(name, value)| name.is_empty() || name.len() > MAX_CONTEXT_BYTES || value.len() > MAX_CONTEXT_BYTES) {
            self.wrong(
                "/context",
                "invalid_value",
                format!("expected names of 1 to {MAX_CONTEXT_BYTES} bytes and values of at most {MAX_CONTEXT_BYTES}"),
            );
        }
    }

    fn payload(&mut self, item: &Submission, max_bytes: u64) {
        let Some(payload) = &item.payload else { return };
        if !payload.get().starts_with('{') {
            self.wrong("/payload", "wrong_type", "expected an object".to_owned());
        }
        if payload.get().len() as u64 > max_bytes {
            self.wrong("/payload", "too_large", format!("the body is larger than {max_bytes} bytes (bound `api.max_payload_bytes`)"));
        }
        if item.object_ids.as_ref().is_some_and(|ids| ids.len() > 1) {
            self.wrong("/payload", "invalid_value", "an inline body goes with exactly one object id".to_owned());
        }
        if item.action == Some(Action::Delete) {
            self.wrong("/payload", "invalid_value", "a delete has no body".to_owned());
        }
    }

    fn depends_on(&mut self, item: &Submission, max: u32) -> Vec<ObjectKey> {
        let objects = item.depends_on.clone().unwrap_or_default();
        if objects.len() > max as usize {
            self.wrong("/depends_on", "too_many", format!("expected at most {max} objects (bound `api.max_depends_on`)"));
        }
        if let Some(at) = objects.iter().position(|o| o.id.is_empty() || o.object_type.is_empty() || o.id.len() > MAX_OBJECT_ID_BYTES) {
            self.wrong(
                &format!("/depends_on/{at}"),
                "invalid_value",
                format!("expected a type and an id of 1 to {MAX_OBJECT_ID_BYTES} bytes"),
            );
        }
        objects.into_iter().map(ObjectKey::from).collect()
    }
}

#[cfg(test)]
#[path = "acceptance_tests.rs"]
#[allow(clippy::unwrap_used)]
pub(super) mod tests;
