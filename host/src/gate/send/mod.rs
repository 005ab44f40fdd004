//! One request from the caller to the wire and back.

mod authorization;
pub(super) mod call;
pub(super) mod client_pool;
pub(super) mod context;
mod dial;
mod dns;
mod exchange_record;
mod oauth_token;
mod prepare;
mod response;
mod send;
pub(super) mod token_cache;
