//! The one way to the plane: GraphQL over HTTPS, bounded in size and time, with every failure classified once.

mod answer;
mod call;
mod client;
mod denial;
mod excerpt;
mod fault;
mod graphql_error;
mod inflate;
mod proxy;
mod spool;

pub(crate) use answer::{AnswerSum, ByName, decode};
pub(crate) use call::Again;
pub use call::{Graphql, Knock, Limits, Operation};
pub use client::{ClientOptions, ClientPem, Protocol, Trust, TrustError, client};
pub use denial::Denial;
pub(crate) use excerpt::is_unfit;
pub use excerpt::{excerpt, fit};
pub use fault::{CallError, Fault, Reach, Retry, Source};
pub use graphql_error::{Beside, GraphqlError};
pub use inflate::{Caps, InflateError, Inflater};
pub use proxy::{InvalidProxy, Proxy, ProxyUrl};
pub use spool::Spooled;
