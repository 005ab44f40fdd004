//! Operating a host: credentials, settings, the data directory, restarts, storage failures, metrics
//! and the tour.

mod connector_settings;
mod credentials;
mod data_directory;
mod metrics;
mod restart;
mod sessions;
mod storage_failures;
mod tour;
