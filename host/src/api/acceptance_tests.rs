//! The door with a small configuration.
