//! Nothing of one tenant reaches another: names, ids, bodies, and the fact that they exist.

mod delivery;
mod operations;
mod walk;
mod world;
