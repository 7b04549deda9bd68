//! A simulated management plane: Connector and Director over HTTPS on the loopback interface, for the demo, the tests and the benchmarks.
//!
//! [`Plane::start`] runs one in this process; the program `plane` runs one by itself and drives it.

mod admin;
mod authority;
mod clock;
mod control;
mod csr;
mod error;
mod fault;
mod generate;
mod identity;
pub mod model;
mod options;
mod plane;
mod record;
mod schema;
mod serve;
mod state;
mod subject;

pub use clock::Clock;
pub use control::{Control, HeldAuth, Verdict};
pub use error::Error;
pub use fault::{Effect, Fault, ListChange, RetryAfter};
pub use generate::{CredentialKind, Generate};
pub use options::{
    Answering, Dialect, Endpoint, KeyAlgorithm, Options, Refusal, ServerCertificate, SubjectOrder, TokenForm,
};
pub use plane::Plane;
pub use record::{Counters, Request};
pub use state::State;
