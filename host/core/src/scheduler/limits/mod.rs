//! The limits of a destination as pure state machines.
