//! Receives the submissions of one request: stages the pieces of the body and seals them at the
//! end.
//!
//! Nothing is visible before the seal, and an incomplete body stores nothing. Memory holds at most
//! one chunk (`chunk.rs`) and the current item. `rest.rs` counts the rest of a large request before
//! it is staged.

use std::path::Path;
use std::sync::Arc;

use egression_core::domain::ids::{
    ExecutionId, ExecutionSeq, MAX_JOBS_PER_EXECUTION, SubscriptionId,
};
use egression_core::domain::problem::Problem;
use uuid::{NoContext, Timestamp, Uuid};

use super::fields;
use super::idempotency::{self, Held};
use super::splitter::Piece;
use super::stage_size::Chunk;
use super::submission::{self, Submission};
use super::validate::{Accepted, Validator};
use crate::api::http::problem::{ApiError, FieldError, MAX_LISTED_ERRORS};
use crate::api::middleware::auth::Caller;
use crate::api::middleware::trace;
use crate::api::state::ApiState;
use crate::documents::catalogue::Catalogue;
use crate::store::StoreError;
use crate::store::rows::{
    IdempotencyMark, IdempotencyRecord, NewExecution, ProgressRow, Sealed, StagedItem,
};

/// Bytes of a refused item that are stored.
const EXCERPT_BYTES: usize = 200;

/// From the request's headers.
#[derive(Clone, Debug)]
pub struct Head {
    pub operation: &'static str,
    /// One invalid item fails the whole request.
    pub strict: bool,
    pub key: Option<String>,
    pub traceparent: Option<String>,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The new execution, or that of the first request with the same key.
    pub execution: ExecutionSeq,
    pub id: ExecutionId,
    /// One object on one channel, due now: the response waits for it by default.
    pub single: bool,
    /// The execution is that of an earlier request.
    pub replayed: bool,
}

pub struct Intake {
    state: ApiState,
    caller: Caller,
    head: Head,
    defaults: Submission,
    open: Option<Open>,
    execution: Option<ExecutionSeq>,
    chunk: Chunk,
    items: u64,
    jobs: u32,
    refused: u64,
    refusals: Vec<FieldError>,
    /// The errors of the first item, until an item names a known subscription.
    unowned: Vec<FieldError>,
    scheduled_later: bool,
    /// No item goes to more channels than the host has connections. At least 1.
    channels: u64,
    /// False: items are counted and not staged.
    stages: bool,
}

/// Known once the subscription is.
struct Open {
    subscription: SubscriptionId,
    new: NewExecution,
    validator: Validator,
    replay: Option<IdempotencyRecord>,
    _held: Option<Held>,
}

impl Intake {
    /// Errors: 503 if the backlog is full.
    pub fn new(state: ApiState, caller: Caller, head: Head) -> Result<Self, ApiError> {
        let (backlog, max) = (state.store.backlog(), state.settings.backlog_max);
        if backlog >= max {
            // The number of all tenants' jobs is none of a tenant's business.
            let detail = format!("{max} or more jobs are unfinished (bound `api.backlog_max`)");
            return Err(ApiError::busy("backlog_full", detail, 10));
        }
        let catalogue = state.configuration.catalogue();
        let channels = catalogue.connections().count().max(1) as u64;
        Ok(Self {
            state,
            caller,
            head,
            defaults: Submission::default(),
            open: None,
            execution: None,
            chunk: Chunk::default(),
            items: 0,
            jobs: 0,
            refused: 0,
            refusals: Vec::new(),
            unowned: Vec::new(),
            scheduled_later: false,
            channels,
            stages: true,
        })
    }

    /// Whether the piece might stage more than may be staged before the whole body has arrived.
    pub fn would_be_ahead(&self, next: &Piece) -> bool {
        let Piece::Item(text) = next else {
            return false;
        };
        // Each object and each channel of an item needs a comma, except for the first.
        let names = text.iter().filter(|byte| **byte == b',').count() as u64 + 1;
        let inherited = self.defaults.channels.as_ref().map_or(0, Vec::len) as u64;
        let channels = names.max(inherited).min(self.channels);
        let most_jobs = names.saturating_mul(channels);
        let settings = &self.state.settings;
        u64::from(self.jobs).saturating_add(most_jobs) > u64::from(settings.stage_ahead_jobs)
            || self.chunk.expanded_bytes() >= settings.stage_ahead_bytes
    }

    /// A copy that counts the following items against the bounds and stages nothing.
    pub fn counting(&self) -> Self {
        let open = self.open.as_ref().map(|open| Open {
            subscription: open.subscription,
            new: open.new.clone(),
            validator: open.validator.clone(),
            replay: None,
            _held: None,
        });
        Self {
            state: self.state.clone(),
            caller: self.caller.clone(),
            head: self.head.clone(),
            defaults: self.defaults.clone(),
            open,
            execution: None,
            chunk: self.chunk.counting(),
            items: self.items,
            jobs: self.jobs,
            refused: self.refused,
            refusals: self.refusals.clone(),
            unowned: self.unowned.clone(),
            scheduled_later: self.scheduled_later,
            channels: self.channels,
            stages: false,
        }
    }

    /// Errors: with strict handling, the refusals so far.
    pub fn check_strict(&mut self) -> Result<(), ApiError> {
        if self.head.strict && self.refused > 0 {
            return Err(self.all_refusals());
        }
        Ok(())
    }

    /// The directory for temporary files.
    pub fn directory(&self) -> &Path {
        &self.state.data_dir
    }

    /// Takes a piece of a bulk body. An error fails the whole request.
    pub async fn piece(&mut self, piece: &Piece) -> Result<(), ApiError> {
        match piece {
            Piece::Defaults(text) => {
                self.defaults = Submission::read(text)
                    .map_err(|error| ApiError::malformed(error.under("/defaults")))?;
                Ok(())
            }
            Piece::Item(text) => {
                let pointer = format!("/jobs/{}", self.items);
                let submission = Submission::read(text)
                    .map_err(|error| ApiError::malformed(error.under(&pointer)))?;
                self.submission(submission, &pointer, text).await
            }
        }
    }

    /// Takes the whole body of `POST /v1/jobs`. Its context is that of the execution. Errors: the
    /// body is malformed or invalid.
    pub async fn only(&mut self, text: &[u8]) -> Result<(), ApiError> {
        let mut submission = Submission::read(text).map_err(ApiError::malformed)?;
        self.defaults.context = submission.context.take();
        self.submission(submission, "", text).await
    }

    async fn submission(
        &mut self,
        submission: Submission,
        pointer: &str,
        text: &[u8],
    ) -> Result<(), ApiError> {
        self.items += 1;
        let submission = submission.over(&self.defaults);
        let object = submission.object().filter(fields::is_nameable);
        if self.open.is_none() {
            match self.owner(submission.subscription.as_deref(), pointer) {
                Ok((subscription, name)) => self.open = Some(self.begin(subscription, name).await?),
                // The first item with a known subscription decides whose request it is.
                Err(errors)
                    if self.head.operation == "bulk" && self.defaults.subscription.is_none() =>
                {
                    if self.unowned.is_empty() {
                        self.unowned.clone_from(&errors);
                    }
                    return self.refuse(errors, object, text).await;
                }
                Err(errors) => return Err(ApiError::invalid(errors)),
            }
        }
        let Some(open) = self.open.as_mut() else {
            return Ok(());
        };
        if open.replay.is_some() {
            return Ok(());
        }
        match open.validator.validate(submission) {
            Ok(accepted) => self.take(accepted, pointer).await,
            Err(errors) => {
                let errors: Vec<FieldError> = errors
                    .into_iter()
                    .map(|error| error.under(pointer))
                    .collect();
                self.refuse(errors, object, text).await
            }
        }
    }

    /// The subscription of the request, named by the defaults, an item or the key.
    fn owner(
        &self,
        named: Option<&str>,
        pointer: &str,
    ) -> Result<(SubscriptionId, String), Vec<FieldError>> {
        let catalogue = self.state.configuration.catalogue();
        let named = self.defaults.subscription.as_deref().or(named);
        let place = if self.defaults.subscription.is_some() {
            "/defaults/subscription".to_owned()
        } else {
            format!("{pointer}/subscription")
        };
        subscription(&catalogue, &self.caller, named)
            .map_err(|(code, detail)| vec![FieldError::new(place, code, detail)])
    }

    /// The subscription is known now: finds out whether the request is a repeated one.
    async fn begin(&self, subscription: SubscriptionId, name: String) -> Result<Open, ApiError> {
        let catalogue = self.state.configuration.catalogue();
        fields::check_context(self.defaults.context.as_ref(), self.head.operation)?;
        let (held, replay) = match &self.head.key {
            None => (None, None),
            Some(key) => {
                let held = self
                    .state
                    .receiving
                    .hold(subscription, self.head.operation, key)?;
                (
                    Some(held),
                    self.state
                        .store
                        .idempotency(subscription, self.head.operation, key)
                        .await?,
                )
            }
        };
        let context = self.defaults.context.clone().filter(|c| !c.is_empty());
        let shared = context.as_ref().map_or(0, std::collections::BTreeMap::len);
        let inherited = context
            .as_ref()
            .and_then(|c| c.get("traceparent"))
            .filter(|t| trace::is_traceparent(t))
            .cloned();
        let now = self.state.clock.wall();
        let new = NewExecution {
            id: execution_id(now.0),
            subscription,
            operation: self.head.operation,
            context,
            traceparent: inherited.or_else(|| self.head.traceparent.clone()),
            created_at: now,
        };
        let (registry, settings) = (
            Arc::clone(&self.state.registry),
            Arc::clone(&self.state.settings),
        );
        let describe = move |name: &str, pin: Option<&str>| registry.description(name, pin);
        let validator = Validator::new(catalogue, Arc::new(describe), name, settings, shared);
        Ok(Open {
            subscription,
            new,
            validator,
            replay,
            _held: held,
        })
    }

    async fn take(&mut self, accepted: Accepted, pointer: &str) -> Result<(), ApiError> {
        let max = self
            .state
            .settings
            .max_jobs_per_request
            .min(MAX_JOBS_PER_EXECUTION);
        let total = u64::from(self.jobs) + accepted.jobs();
        if total > u64::from(max) {
            return Err(ApiError::TooLarge(format!(
                "{pointer}: the request expands to more than {max} jobs (bound \
                 `api.max_jobs_per_request`)"
            )));
        }
        self.scheduled_later |= accepted
            .scheduled_at()
            .is_some_and(|at| at > self.state.clock.wall());
        // With strict handling, nothing more needs to be staged after one invalid item.
        if self.head.strict && self.refused > 0 {
            return Ok(());
        }
        let first = self.jobs;
        self.jobs = u32::try_from(total).unwrap_or(max);
        for job in accepted.expand(first) {
            self.push(StagedItem::Job(job)).await?;
        }
        Ok(())
    }

    async fn refuse(
        &mut self,
        errors: Vec<FieldError>,
        object: Option<egression_core::domain::object::ObjectKey>,
        text: &[u8],
    ) -> Result<(), ApiError> {
        self.refused += 1;
        if self.head.strict {
            let room = MAX_LISTED_ERRORS.saturating_sub(self.refusals.len());
            self.refusals.extend(errors.into_iter().take(room));
            return Ok(());
        }
        let problem = refusal(&errors);
        let index = self.jobs;
        if index
            >= self
                .state
                .settings
                .max_jobs_per_request
                .min(MAX_JOBS_PER_EXECUTION)
        {
            return Err(ApiError::TooLarge(
                "the request has too many items (bound `api.max_jobs_per_request`)".to_owned(),
            ));
        }
        self.jobs += 1;
        self.push(StagedItem::Refused {
            index,
            excerpt: submission::excerpt(text, EXCERPT_BYTES),
            object,
            problem,
        })
        .await
    }

    async fn push(&mut self, item: StagedItem) -> Result<(), ApiError> {
        let expanded_max_bytes = self.state.settings.expanded_max_bytes;
        if !self.stages {
            return self.chunk.count(&item, expanded_max_bytes).map(drop);
        }
        self.chunk.push(item, expanded_max_bytes)?;
        if !self.chunk.is_full(self.state.settings.stage_max_bytes) {
            return Ok(());
        }
        if self.open.is_none() {
            // Without a subscription nothing can be staged, and memory must not grow with the body.
            return Err(ApiError::invalid(self.unowned.clone()));
        }
        self.stage().await
    }

    async fn stage(&mut self) -> Result<(), ApiError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let execution = match self.execution {
            Some(execution) => execution,
            None => self.state.store.begin_execution(open.new.clone()).await?,
        };
        self.execution = Some(execution);
        let chunk = self.chunk.take();
        self.state.store.stage(execution, chunk).await?;
        Ok(())
    }

    /// Seals the execution at the end of the body, and wakes the scheduler after the commit.
    /// After an error, call [`Self::abandon`].
    pub async fn finish(&mut self, body_hash: [u8; 32]) -> Result<Received, ApiError> {
        let Some(open) = &self.open else {
            return Err(match (self.items, self.head.strict) {
                (0, _) => ApiError::at("/jobs", "required", "at least one job is required"),
                (_, true) => self.all_refusals(),
                (_, false) => ApiError::invalid(self.unowned.clone()),
            });
        };
        if let Some(first) = &open.replay {
            return self.replay(first, body_hash).await;
        }
        let (subscription, new, id) = (open.subscription, open.new.clone(), open.new.id);
        self.check_strict()?;
        let sealed = match self.seal(new, body_hash).await {
            Ok(sealed) => sealed,
            // Another request with the key was sealed after this one looked it up.
            Err(StoreError::KeyUsed) => {
                self.abandon().await;
                let key = self.head.key.clone().unwrap_or_default();
                let first = self
                    .state
                    .store
                    .idempotency(subscription, self.head.operation, &key)
                    .await?;
                return self
                    .replay(&first.ok_or(StoreError::KeyUsed)?, body_hash)
                    .await;
            }
            Err(error) => return Err(error.into()),
        };
        self.execution = None;
        self.state.dispatcher.sealed(sealed.execution).await;
        let catalogue = self.state.configuration.catalogue();
        let subscription = catalogue
            .subscription_by_id(subscription)
            .map(|subscription| subscription.name.clone());
        tracing::info!(
            execution.id = %id,
            subscription,
            jobs = self.jobs,
            refused = self.refused,
            "execution accepted"
        );
        let single = self.jobs == 1 && !self.scheduled_later;
        Ok(Received {
            execution: sealed.execution,
            id,
            single,
            replayed: false,
        })
    }

    async fn seal(&mut self, new: NewExecution, body_hash: [u8; 32]) -> Result<Sealed, StoreError> {
        let operation = self.head.operation;
        let mark = self.head.key.clone().map(|key| IdempotencyMark {
            operation,
            key,
            body_hash,
        });
        let items = self.chunk.take();
        let Some(execution) = self.execution else {
            return self.state.store.submit(new, items, mark).await;
        };
        if !items.is_empty() {
            self.state.store.stage(execution, items).await?;
        }
        self.state.store.seal(execution, mark).await
    }

    /// The execution of the first request with the key, if this one repeats it.
    async fn replay(
        &self,
        first: &IdempotencyRecord,
        body_hash: [u8; 32],
    ) -> Result<Received, ApiError> {
        idempotency::require_same_body(first, body_hash)?;
        let gone =
            || ApiError::Gone("the execution of this Idempotency-Key has expired".to_owned());
        let status = self
            .state
            .store
            .execution(first.execution)
            .await?
            .ok_or_else(gone)?;
        let sum = |count: fn(&ProgressRow) -> u64| status.progress.iter().map(count).sum::<u64>();
        let items = sum(|row| row.belt.total) + status.row.refused;
        let single = items == 1 && sum(|row| row.scheduled) == 0;
        Ok(Received {
            execution: first.execution,
            id: status.row.id,
            single,
            replayed: true,
        })
    }

    fn all_refusals(&mut self) -> ApiError {
        let errors = std::mem::take(&mut self.refusals);
        if self.head.operation == "jobs" {
            return ApiError::invalid(errors);
        }
        ApiError::ItemsRefused {
            refused: self.refused,
            errors,
        }
    }

    pub async fn abandon(&mut self) {
        let Some(execution) = self.execution.take() else {
            return;
        };
        if let Err(error) = self.state.store.abandon(execution).await {
            // The store removes the rest every `store.removal_interval_ms`.
            tracing::warn!(
                execution.seq = execution.0,
                %error,
                "incomplete submission was not removed"
            );
        }
    }
}

/// The subscription of the request. One that the key does not see is unknown.
fn subscription(
    catalogue: &Catalogue,
    caller: &Caller,
    named: Option<&str>,
) -> Result<(SubscriptionId, String), (&'static str, String)> {
    let bound = caller
        .subscription
        .and_then(|id| Some((id, catalogue.subscription_by_id(id)?.name.clone())));
    match (named, bound) {
        (None, Some(own)) => Ok(own),
        (None, None) => Err((
            "required",
            "`subscription` is required with a key that is not bound to a subscription".to_owned(),
        )),
        (Some(name), _) => match catalogue.subscription(name).map(|found| found.id) {
            Some(id) if caller.sees(id) => Ok((id, name.to_owned())),
            _ => Err((
                "unknown_subscription",
                format!("unknown subscription `{}`", fields::shown(name)),
            )),
        },
    }
}

/// The problem of a refused item: the first place and all details.
fn refusal(errors: &[FieldError]) -> Problem {
    let sentences: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
    let (code, pointer) = errors.first().map_or(("invalid_request", ""), |e| {
        (e.code.as_str(), e.pointer.as_str())
    });
    Problem::new(code, sentences.join("; ")).at(pointer)
}

/// A new id that sorts by time of creation.
fn execution_id(now_ms: i64) -> ExecutionId {
    let ms = u64::try_from(now_ms).unwrap_or(0);
    let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    ExecutionId(Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        ms / 1000,
        nanos,
    )))
}
