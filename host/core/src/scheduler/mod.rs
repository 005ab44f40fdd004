//! Who runs next.

pub mod limits;
