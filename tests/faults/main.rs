//! The fault campaign: the real program against everything that can go wrong around it, held to one oracle.
//!
//! A case brings a host to where something is about to happen, lets something go wrong, ends the trouble, and then asks
//! two things: does the host come back by itself, and was any promise broken on the way? `cargo test --test faults` runs a
//! fixed part of the cases; `make faults SECONDS=600` goes on as long as it is given.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used)]

mod calls;
mod campaign;
mod compiled;
mod effects;
#[allow(dead_code, reason = "the tests of the agent use all of it")]
#[path = "../agent/host.rs"]
mod host;
mod host_faults;
mod liveness;
mod moments;
mod network;
mod oracle;
mod phases;
mod plane_faults;
#[allow(dead_code, reason = "the tests of the broker use all of it")]
#[path = "../agent/broker/platform.rs"]
mod platform;
mod reader;
mod resources;
mod room;
#[allow(dead_code, reason = "the tests of the agent use all of it")]
#[path = "../agent/scene.rs"]
mod scene;
mod schedules;
mod time;
#[allow(dead_code, reason = "the tests of the agent use all of it")]
#[path = "../agent/tree.rs"]
mod tree;
