//! What the daemon says: each thing that is told at INFO or above is one value, whose `emit` writes its line with its
//! fields and counts it.
//!
//! Levels mean who has to act: ERROR that a person is needed, WARN that something is wrong and the agent goes on by
//! itself, INFO what happened. What a person must do something about, or would look for later, has a number
//! ([`Message`]), by which `journalctl -x` explains it.

mod applying;
mod broker;
mod identity;
mod kept;
mod message;
mod output;
mod pairing;
mod problem;
mod service;
mod synchronisation;

pub use applying::{Answered, Applying, Said};
pub use broker::{Broker, Outcome};
pub use identity::Identity;
pub use kept::Kept;
pub use message::Message;
pub use output::Output;
pub use pairing::Pairing;
pub use problem::{Problem, Times};
pub use service::Service;
pub use synchronisation::{Poll, PollResult, Retry, Synchronisation};
