//! Reads bodies at send time through a source's Metadata API, in batches shared by all channels.
//!
//! A body that came with the request never passes here. If a source does not answer, or not as a
//! source does, its jobs wait. If an object is missing, too large or of another shape, its job is
//! `rejected`. Nothing ever becomes an empty body.

mod collector;
mod http_source;
mod object_url;
mod read;
mod resolve;
mod resolver_settings;
mod source_answer;
mod source_client;

pub use read::{Read, ResolveError, Resolved, shared_trace};
pub use resolve::Resolver;
pub use resolver_settings::ResolverSettings;
pub use source_client::MAX_RETRY_AFTER_MS;
