//! `runtime-agent`: pairs a host with a management plane, keeps the trust alive, and turns what the plane says into
//! local files and hooks.

// Tests say what they expect by panicking.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod apply;
pub mod config;
pub mod director;
pub mod disk;
pub mod identity;
pub mod ids;
pub mod output;
pub mod snapshot;
pub mod token;
pub mod transport;
