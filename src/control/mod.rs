//! The control socket: HTTP over a Unix socket, for `runtime-agent status` and its siblings.
//!
//! Everybody can connect; who may do what is decided by the user at the other end: see the module `access`.

mod access;
mod client;
mod gate;
mod observe;
mod server;

use crate::agent::{Files, Version};
use crate::snapshot::brake::Consent;

pub use client::{Client, ControlError};
pub use observe::{Observed, router as observing};
pub use server::{Handles, router, serve};

/// The order to ask the plane now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sync {
    /// What is said about removals.
    pub consent: Consent,
}

/// The order to give the identity up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unpair {
    /// What becomes of the published files.
    pub files: Files,
}

/// The order to make another generation current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SetVersion {
    /// Which.
    pub version: Version,
}

/// The answer to an order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub done: bool,
    /// A sentence.
    pub message: String,
}
