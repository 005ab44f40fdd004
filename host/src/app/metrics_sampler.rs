//! Reads the values of the gauges from the parts.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::scheduler::Availability;

use crate::dispatch::View;
use crate::documents::configuration::Configuration;
use crate::runtime::Registry;
use crate::store::Store;
use crate::telemetry::exposition::{Connections, Sample};

pub(super) fn sampler(
    store: Store,
    configuration: Arc<Configuration>,
    registry: Arc<Registry>,
    view: View,
) -> impl Fn() -> Sample {
    move || {
        let availabilities: HashMap<ConnectionId, Availability> =
            view.availabilities().into_iter().collect();
        let mut connections = Connections::new();
        for connection in configuration.catalogue().connections() {
            let channel = Arc::from(connection.channel.document.name.as_str());
            *connections
                .entry((channel, state(availabilities.get(&connection.id))))
                .or_default() += 1;
        }
        let (instances_busy, instances_idle) = registry.instances();
        Sample {
            jobs_unfinished: store.backlog(),
            connections,
            instances_busy,
            instances_idle,
        }
    }
}

const fn state(availability: Option<&Availability>) -> &'static str {
    match availability {
        Some(Availability::Open) => "active",
        Some(Availability::Paused) => "paused",
        Some(Availability::Parked(_)) => "parked",
        Some(Availability::CircuitOpen(_)) => "circuit",
        // The scheduler does not know a connection whose connector is not installed.
        None => "no_connector",
    }
}
