//! What a call says about its connection as a whole.

use egression_core::domain::judge::{CallVerdict, ConnectionEffect};
use egression_core::domain::problem::Problem;

use crate::delivery::finished::Effect;
use crate::delivery::invoke::invocation::Invocation;

pub fn effect_of(verdict: Option<&CallVerdict>, invocation: &Invocation) -> Effect {
    match verdict {
        Some(CallVerdict {
            guest_failed: true,
            problem: Some(problem),
            ..
        }) => Effect::Trapped(problem.clone()),
        Some(CallVerdict {
            connection: ConnectionEffect::Park(problem),
            ..
        }) => Effect::Refused(problem.clone()),
        Some(CallVerdict {
            connection: ConnectionEffect::Unavailable { .. },
            problem,
            ..
        }) => Effect::Unavailable(problem.clone().unwrap_or_else(|| {
            Problem::new("destination.unavailable", "the destination does not answer")
        })),
        _ if invocation.is_answered() => Effect::Healthy,
        // Our own limit had no room, or a credential is renewed: that says nothing about the
        // destination.
        Some(CallVerdict {
            connection: ConnectionEffect::CloseLimit { .. } | ConnectionEffect::Renew,
            ..
        }) => Effect::None,
        _ => {
            let exchanges = invocation.log.exchanges.iter().rev();
            exchanges
                .filter(|exchange| exchange.end.blames_destination())
                .find_map(|exchange| exchange.error.clone())
                .map_or(Effect::None, |error| {
                    Effect::Unavailable(Problem::new("destination.unreachable", error))
                })
        }
    }
}
