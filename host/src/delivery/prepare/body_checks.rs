//! Checks a body before it is sent: revision, schema and size.

use egression_core::domain::problem::Problem;
use egression_core::domain::state::State;
use egression_core::time::Wall;
use serde_json::Value;

use super::body_schema::BodySchemas;
use super::references;
use crate::delivery::route::Route;
use crate::delivery::settle::settlement_builder::{ends, rejects};
use crate::runtime::ResolvedReference;
use crate::store::rows::{ClaimRow, Pinned, Settlement};

/// The references of a body that passes, or how the job ends. Bytes that an earlier attempt pinned
/// passed before.
pub fn check(
    schemas: &BodySchemas,
    route: &Route,
    row: &ClaimRow,
    pinned: &Pinned,
    now: Wall,
) -> Result<Vec<ResolvedReference>, Box<Settlement>> {
    let object_type = &row.object.object_type;
    let (Some(text), Some(support)) = (&pinned.body, route.description().object_type(object_type))
    else {
        return Ok(Vec::new());
    };
    let rejected = |problem| Box::new(rejects(row, problem, now));
    let first = row.pinned.is_none();
    if first
        && let (Some(ours), Some(theirs)) = (pinned.revision, row.delivered_revision)
        && ours < theirs
    {
        let message = format!("revision {theirs} was delivered already; this is {ours}");
        let problem = Some(Problem::new("revision.older", message));
        return Err(Box::new(ends(row, State::Superseded { problem }, now)));
    }
    let body: Value = serde_json::from_str(text).map_err(|error| {
        rejected(Problem::new(
            "body.invalid",
            format!("the body is not JSON: {error}"),
        ))
    })?;
    if first {
        let digest = route.connector.digest();
        if let Some(problem) = schemas.refusal(digest, object_type, &support.body, &body) {
            return Err(rejected(problem));
        }
        let (bytes, most) = (text.len() as u64, support.max_bytes);
        if most > 0 && bytes > most {
            let message =
                format!("the body has {bytes} bytes; the connector takes at most {most} in a call");
            return Err(rejected(Problem::new("body.too_large", message)));
        }
    }
    Ok(references::find(&body, &support.references))
}
