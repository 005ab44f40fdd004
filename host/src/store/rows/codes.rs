//! Stored numbers and bytes read back: states, waiting reasons, actions, public ids, hashes.

use egression_core::domain::action::Action;
use egression_core::domain::ids::ExecutionId;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;

use uuid::Uuid;

use crate::store::error::StoreError;

pub(in crate::store) fn state(code: i64) -> Result<JobState, StoreError> {
    JobState::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("job state {code}")))
}

pub(in crate::store) fn waiting(code: Option<i64>) -> Result<Option<WaitingKind>, StoreError> {
    code.map(|code| {
        WaitingKind::from_code(code)
            .ok_or_else(|| StoreError::Corrupt(format!("waiting kind {code}")))
    })
    .transpose()
}

pub(in crate::store) fn action(code: i64) -> Result<Action, StoreError> {
    Action::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("action {code}")))
}

pub(in crate::store) fn execution_id(bytes: &[u8]) -> Result<ExecutionId, StoreError> {
    Uuid::from_slice(bytes)
        .map(ExecutionId)
        .map_err(|error| StoreError::Corrupt(format!("public id: {error}")))
}

/// A stored SHA-256.
pub(in crate::store) fn hash(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt(format!("a hash of {} bytes", bytes.len())))
}
