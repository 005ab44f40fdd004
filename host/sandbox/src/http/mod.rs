//! The shop over HTTP: the server, the layers around every call, and one file for each kind of
//! call.

mod arrival_layer;
mod auth;
mod batch;
mod control;
mod listener;
mod perform;
mod server;
mod single;

pub use server::{RunningShop, Shop, StartError};
