//! How many connections may be open, and how long one may do nothing.

use crate::api::settings::ApiSettings;

/// The largest default of `api.max_connections`, whatever the limit on open files.
const MOST_BY_DEFAULT: u32 = 16_384;
/// Connections to the separate address for health and metrics.
const OPERATIONS_CONNECTIONS: u32 = 64;

/// The bounds of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionBounds {
    pub max: u32,
    pub max_per_address: u32,
    /// From the opening of a connection to the end of its first request's head.
    pub head_timeout_ms: u64,
    /// Without a request in progress and without a byte written.
    pub idle_timeout_ms: u64,
}

impl ConnectionBounds {
    /// The bounds of the API. By default, connections take half of the process's `open_files`: the
    /// store and the gate need the rest. One address gets three quarters of them.
    pub fn of_api(settings: &ApiSettings, open_files: u64) -> Self {
        let half = u32::try_from(open_files / 2).unwrap_or(u32::MAX);
        let max = settings
            .max_connections
            .unwrap_or(half.clamp(1, MOST_BY_DEFAULT));
        let share = max - max / 4;
        Self {
            max,
            max_per_address: settings.max_connections_per_address.unwrap_or(share),
            head_timeout_ms: settings.head_timeout_ms,
            idle_timeout_ms: settings.idle_timeout_ms,
        }
    }

    /// The bounds of the separate address for health and metrics.
    pub const fn of_operations(settings: &ApiSettings) -> Self {
        Self {
            max: OPERATIONS_CONNECTIONS,
            max_per_address: OPERATIONS_CONNECTIONS,
            head_timeout_ms: settings.head_timeout_ms,
            idle_timeout_ms: settings.idle_timeout_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_bounds_follow_the_open_files_unless_they_are_set() {
        let bounds = |settings: &ApiSettings, open_files| {
            let bounds = ConnectionBounds::of_api(settings, open_files);
            (bounds.max, bounds.max_per_address)
        };
        let mut settings = ApiSettings::default();
        assert_eq!(bounds(&settings, 1024), (512, 384));
        assert_eq!(bounds(&settings, u64::MAX), (16_384, 12_288));
        assert_eq!(bounds(&settings, 1), (1, 1));
        settings.max_connections = Some(100);
        assert_eq!(bounds(&settings, 1024), (100, 75));
        settings.max_connections_per_address = Some(10);
        assert_eq!(bounds(&settings, 1024), (100, 10));
    }
}
