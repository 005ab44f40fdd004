//! Acts on work and on documents: `POST …:cancel`, `:pause`, `:resume`.

pub mod cancel;
pub mod pause;
pub mod pause_document;
pub mod verbs;
