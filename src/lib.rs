//! `runtime-agent`: pairs a host with a management plane, keeps the trust alive, and turns what the plane says into
//! local files and hooks.

// Tests say what they expect by panicking.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod apply;
pub mod backoff;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod command;
pub mod comparison;
pub mod config;
pub mod connector;
pub mod control;
pub mod director;
pub mod disk;
pub mod doctor;
pub mod event;
pub mod identity;
pub mod ids;
pub mod journal;
pub mod kept;
pub mod metrics;
pub mod output;
mod ownership;
pub mod pairing;
pub mod peers;
pub mod renewal;
pub mod seclusion;
pub mod serving;
pub mod snapshot;
pub mod template;
pub mod token;
pub mod transport;
