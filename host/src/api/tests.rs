//! The router end to end.
