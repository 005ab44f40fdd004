//! Columns read back as the types that they were written from.

use egression_core::domain::action::Action;
use egression_core::domain::ids::ExecutionId;
use egression_core::domain::object::ObjectKey;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::store::engine::sqlite::Row;
use crate::store::error::StoreError;

pub(in crate::store) fn state(row: &Row, column: &str) -> Result<JobState, StoreError> {
    let code = row.try_get(column)?;
    JobState::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("job state {code}")))
}

pub(in crate::store) fn waiting(
    row: &Row,
    column: &str,
) -> Result<Option<WaitingKind>, StoreError> {
    let known = |code| {
        WaitingKind::from_code(code)
            .ok_or_else(|| StoreError::Corrupt(format!("waiting kind {code}")))
    };
    let code: Option<i64> = row.try_get(column)?;
    code.map(known).transpose()
}

pub(in crate::store) fn action(row: &Row, column: &str) -> Result<Action, StoreError> {
    let code = row.try_get(column)?;
    Action::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("action {code}")))
}

pub(in crate::store) fn execution_id(row: &Row, column: &str) -> Result<ExecutionId, StoreError> {
    Uuid::from_slice(row.try_get(column)?)
        .map(ExecutionId)
        .map_err(|error| StoreError::Corrupt(format!("public id: {error}")))
}

/// A SHA-256.
pub(in crate::store) fn hash(row: &Row, column: &str) -> Result<[u8; 32], StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt(format!("a hash of {} bytes", bytes.len())))
}

/// The object in the columns `object_type` and `object_id`.
pub(in crate::store) fn object(row: &Row) -> Result<ObjectKey, StoreError> {
    Ok(ObjectKey {
        object_type: row.try_get("object_type")?,
        id: row.try_get("object_id")?,
    })
}

pub(in crate::store) fn time(row: &Row, column: &str) -> Result<Option<Wall>, StoreError> {
    Ok(row.try_get::<Option<i64>>(column)?.map(Wall))
}

/// A number that is never negative.
pub(in crate::store) fn count(row: &Row, column: &str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.try_get::<i64>(column)?).unwrap_or(0))
}

/// The column `place`: an index in the list that the statement was given.
pub(in crate::store) fn place(row: &Row) -> Result<usize, StoreError> {
    Ok(usize::try_from(row.try_get::<i64>("place")?).unwrap_or(usize::MAX))
}

/// A number that uses all 64 bits.
pub(in crate::store) fn bits(row: &Row, column: &str) -> Result<Option<u64>, StoreError> {
    let stored: Option<i64> = row.try_get(column)?;
    Ok(stored.map(i64::cast_unsigned))
}

/// A value that is stored as JSON text.
pub(in crate::store) fn json<T: DeserializeOwned>(
    row: &Row,
    column: &str,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(serde_json::from_str)
        .transpose()
        .map_err(|error| StoreError::Corrupt(format!("{column}: {error}")))
}
