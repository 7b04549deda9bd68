//! The daemon: two loops that do not stop each other, a queue of applies, and a board that tells how things are.

mod applying;
mod board;
mod brokering;
mod configuration;
mod labels;
pub(crate) mod link;
mod newest;
mod observing;
#[cfg(test)]
mod paired;
pub mod pulse;
mod run;
pub mod standing;
pub mod status;
mod trust;
#[cfg(test)]
mod world;

pub use applying::PersonAsked;
pub use board::Board;
pub use configuration::{Shelf, SyncOrder, Version, VersionOrder};
pub use run::{RunError, harden, run};
pub use trust::{Files, Order as TrustOrder, give_up};
