//! The bytes of a first attempt, with the idempotency key of every repeat.

use aws_lc_rs::digest::{SHA256, digest};
use egression_core::domain::action::Action;
use egression_core::domain::ids::JobId;

use crate::store::rows::{ClaimRow, Pinned};

/// Pins the bytes of a first attempt. Their idempotency key is the same for every repeat of the
/// same bytes of the same job. If neither job nor source names a revision, nor named one of the
/// object before, the delivery is counted.
pub fn pin(
    job: JobId,
    row: &ClaimRow,
    action: Action,
    body: Option<String>,
    revision: Option<u64>,
) -> Pinned {
    let hash = digest(&SHA256, body.as_deref().unwrap_or_default().as_bytes());
    let mut body_hash = [0; 32];
    body_hash.copy_from_slice(hash.as_ref());
    let key = digest(
        &SHA256,
        format!("{job}\n{}\n{}", action.as_str(), hex::encode(body_hash)).as_bytes(),
    );
    let idempotency_key = hex::encode(&key.as_ref()[..16]);
    let counted = revision
        .or(row.delivered_revision)
        .is_none()
        .then(|| row.deliveries.saturating_add(1));
    Pinned {
        action,
        body,
        body_hash,
        revision,
        counted,
        idempotency_key,
        answer_lost: false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use egression_core::domain::ids::{ExecutionId, JobSeq};
    use egression_core::domain::object::ObjectKey;
    use egression_core::domain::state::JobState;

    use super::*;

    fn row(deliveries: u64, delivered_revision: Option<u64>) -> ClaimRow {
        ClaimRow {
            job: JobSeq(1),
            state: JobState::Waiting,
            object: ObjectKey::new("product", "a"),
            action: Action::Upsert,
            attempts: 0,
            conflicts: 0,
            source: None,
            expires_at: None,
            problem_code: None,
            waits_since: None,
            payload: None,
            revision: None,
            depends_on: Vec::new(),
            traceparent: None,
            pinned: None,
            remotes: Vec::new(),
            delivered_revision,
            deliveries,
        }
    }

    #[test]
    fn deliveries_are_counted_if_nobody_names_a_revision() {
        let job = JobId {
            execution: ExecutionId(uuid::Uuid::nil()),
            index: 0,
        };
        let told = |row: ClaimRow, revision| {
            let pinned = pin(job, &row, Action::Upsert, Some("{}".to_owned()), revision);
            (pinned.revision, pinned.counted)
        };
        assert_eq!(told(row(0, None), None), (None, Some(1)));
        assert_eq!(told(row(7, None), None), (None, Some(8)));
        assert_eq!(
            told(row(7, None), Some(3)),
            (Some(3), None),
            "the source's own number, whatever was counted"
        );
        assert_eq!(
            told(row(7, Some(1_700_000_000)), None),
            (None, None),
            "a count would look older than what the source named before"
        );
    }
}
