//! What may leave the host: where to, to which addresses, and at what cost.

pub(super) mod address;
pub(super) mod cost;
pub(super) mod destination;
pub(super) mod grants;
