//! Why a connection starts no call.

use crate::domain::waiting::WaitingKind;
use crate::time::Mono;

/// Whether a connection may be used at all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Availability {
    #[default]
    Open,
    /// A person paused the connection or its channel.
    Paused,
    /// The destination refuses the credential or the settings, with the reason.
    Parked(String),
    /// The destination does not answer. The host probes it again at this instant.
    CircuitOpen(Mono),
}

/// Why a connection starts no further call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The reason: limit, turn, paused, parked or circuit.
    pub kind: WaitingKind,
    /// The limit's key, the reason of a parked connection, or the bound that a turn waits for.
    pub key: Option<String>,
    pub until: Option<Mono>,
}

impl Blocked {
    /// A reason without a key or an end.
    pub(super) const fn plain(kind: WaitingKind) -> Self {
        Self {
            kind,
            key: None,
            until: None,
        }
    }

    /// The reason that an availability gives; `None`: it is open.
    pub(super) fn by(availability: &Availability) -> Option<Self> {
        match availability {
            Availability::Open => None,
            Availability::Paused => Some(Self::plain(WaitingKind::Paused)),
            Availability::Parked(reason) => Some(Self {
                key: Some(reason.clone()),
                ..Self::plain(WaitingKind::Parked)
            }),
            Availability::CircuitOpen(until) => Some(Self {
                until: Some(*until),
                ..Self::plain(WaitingKind::Circuit)
            }),
        }
    }
}
