//! The one way to the plane: GraphQL over HTTPS, bounded in size and time, with every failure classified once.

mod call;
mod client;
mod excerpt;
mod fault;
mod proxy;
mod spool;

pub use call::{Graphql, Limits, Operation};
pub use client::{ClientOptions, ClientPem, Protocol, Trust, TrustError, client};
pub use excerpt::{excerpt, fit};
pub use fault::{CallError, Fault, GraphqlError, Retry, Source};
pub use proxy::{InvalidProxy, Proxy, ProxyUrl};
pub use spool::Spooled;
