//! Acts on work, documents and limits: `POST …:cancel`, `:pause`, `:resume`, `:reopen`.

pub mod act_request;
pub mod cancel;
pub mod pause;
pub mod pause_document;
pub mod reopen_limit;
pub mod verbs;
