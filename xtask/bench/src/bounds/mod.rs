//! Raw bounds, measured in the same run: what the disk, the schema and an HTTP client allow without
//! the product.

pub(crate) mod bare_http;
pub(crate) mod bare_store;
pub(crate) mod fdatasync;
