//! Applies the items of one call under the faults drawn for it.

use crate::{
    catalogue::{Answer, Attempt},
    refusal::Refusal,
    state::ShopState,
};

use super::arrival_layer::Admitted;

#[derive(Debug)]
pub(crate) struct Performed {
    /// One answer per item, in order.
    pub(crate) answers: Vec<Answer>,
    /// The client must not receive the answers.
    pub(crate) dropped: bool,
}

/// Applies the items one after the other. Errors: the call was drawn to fail. Its items are logged,
/// and nothing is applied.
pub(crate) async fn perform(
    state: &ShopState,
    call: &Admitted,
    attempts: &[Attempt],
) -> Result<Performed, Refusal> {
    if call.faults.error_5xx {
        state.store().fail(attempts, call.seq, &state.clock);
        return Err(Refusal::Unavailable);
    }
    call.faults.wait().await;
    let taken = state.store().take(attempts, call.seq, &state.clock);
    if taken.revokes_tokens {
        state.tokens().revoke_all();
    }
    Ok(Performed {
        answers: taken.answers,
        dropped: call.faults.drop_after_write && taken.applied,
    })
}
