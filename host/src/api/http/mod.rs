//! The parts of HTTP that the handlers share: problems, queries, pages, preconditions.

pub mod cursor;
pub mod custom_verb;
pub mod detached;
pub mod etag;
pub mod health;
pub mod json_pointer;
pub mod no_query;
pub mod page;
pub mod prefer;
pub mod problem;
pub mod query;
