//! Checks bodies before they are sent: size, schema and references.
//!
//! Bodies are a tenant's and schemas a connector's, so the checks run on the threads for schemas,
//! each within a deadline. A body that was not checked in time is rejected like one that does not
//! fit: it would block its key, and the next attempt would meet the same bound.

use std::sync::Arc;

use egression_core::domain::problem::Problem;
use egression_core::time::Wall;
use serde_json::Value;

use super::body_schema::BodySchemas;
use super::references;
use crate::delivery::finished::Disposed;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::delivery::settle::settlement_builder::rejects;
use crate::runtime::{Description, Registry, ResolvedReference};
use crate::schemas::Workers;

#[derive(Debug)]
pub struct BodyChecks {
    schemas: Arc<BodySchemas>,
    workers: Arc<Workers>,
}

/// What a check needs on another thread.
struct Body {
    text: Option<String>,
    object_type: String,
    /// Bytes that an earlier attempt pinned fitted the schema before.
    first: bool,
}

impl BodyChecks {
    pub fn new(registry: &Registry) -> Self {
        Self {
            schemas: Arc::new(BodySchemas::new(registry.schema_bounds().clone())),
            workers: registry.schema_workers(),
        }
    }

    /// The jobs whose bodies pass, with their references. The others are rejected.
    pub async fn check(
        &self,
        route: &Route,
        work: Vec<Work>,
        now: Wall,
        disposed: &mut Disposed,
    ) -> Vec<Work> {
        let bodies = work
            .iter()
            .map(|item| Body {
                text: item.pinned.body.clone(),
                object_type: item.row.object.object_type.clone(),
                first: item.row.pinned.is_none(),
            })
            .collect();
        let schemas = Arc::clone(&self.schemas);
        let description = Arc::clone(route.connector.description());
        let digest = route.connector.digest().to_owned();
        let checks = self.workers.each(bodies, move |body| {
            references_of(&schemas, &description, &digest, body)
        });
        let mut passed = Vec::with_capacity(work.len());
        for (mut item, check) in work.into_iter().zip(checks.await) {
            let check = check.unwrap_or_else(|error| {
                let message = format!("the body was {error}");
                Err(Box::new(Problem::new("body.not_judged", message)))
            });
            match check {
                Ok(references) => {
                    item.references = references;
                    passed.push(item);
                }
                Err(problem) => disposed.aside(item.head, rejects(&item.row, *problem, now)),
            }
        }
        passed
    }
}

/// The references of a body that passes.
fn references_of(
    schemas: &BodySchemas,
    description: &Description,
    digest: &str,
    body: &Body,
) -> Result<Vec<ResolvedReference>, Box<Problem>> {
    let support = description.object_type(&body.object_type);
    let (Some(text), Some(support)) = (&body.text, support) else {
        return Ok(Vec::new());
    };
    let (bytes, most) = (text.len() as u64, support.max_bytes);
    if body.first && most > 0 && bytes > most {
        let message =
            format!("the body has {bytes} bytes; the connector takes at most {most} in a call");
        return Err(Box::new(Problem::new("body.too_large", message)));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let message = format!("the body is not JSON: {error}");
        Box::new(Problem::new("body.invalid", message))
    })?;
    if body.first
        && let Some(problem) = schemas.refusal(digest, &body.object_type, &support.body, &value)
    {
        return Err(Box::new(problem));
    }
    Ok(references::find(&value, &support.references))
}
