//! What may leave the host: the grants, the allowed addresses, the shape of a request and its cost.

pub(super) mod address;
pub(super) mod cost;
pub(super) mod destination;
pub(super) mod grants;
pub(super) mod request_shape;
