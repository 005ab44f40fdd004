//! Operating a host: credentials, settings, restarts, storage failures, metrics and the tour.

mod connector_settings;
mod credentials;
mod metrics;
mod restart;
mod sessions;
mod storage_failures;
mod tour;
