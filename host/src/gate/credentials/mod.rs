//! Secrets on their way: placeholders, substitution, signatures, and redaction of what comes back.

pub(super) mod encoding;
pub(super) mod placeholders;
mod reading;
pub(super) mod redact;
pub(super) mod sign;
pub(super) mod substitute;
