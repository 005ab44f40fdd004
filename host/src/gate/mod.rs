//! The only way out of the host, for connectors, the resolver and the host itself.
//!
//! A request passes these steps ([`CallGate::send`]): deadline → grants and shape → literal address
//! → secrets → limits → dial.
//!
//! Promises: nothing leaves without a grant. A secret goes only to hosts it was entered for, and
//! responses come back redacted. Limits hold at the moment of sending. The gate dials exactly the
//! address that it checked. Every error states whether anything was sent. The gate never repeats a
//! request, never follows a redirect and never uses a proxy.
//!
//! Other modules judge the meaning of a response for a job.

mod credentials;
mod error;
pub mod exchange;
mod gate;
mod limiter;
mod policy;
mod send;
mod settings;
#[cfg(test)]
mod tests;

pub use credentials::placeholders::CredentialError;
pub use credentials::sign::{Algorithm, Encoding, SignRequest};
pub use gate::Gate;
pub use limiter::limit_report::LimitReport;
pub use limiter::usage::Usage;
pub use policy::cost::Cost;
pub use policy::destination::{BoundLimit, Destination};
pub use policy::grants::Grant;
pub use send::call::CallGate;
pub use settings::GateSettings;
