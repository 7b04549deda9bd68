//! The three HTTPS endpoints: sockets, TLS, HTTP, and the exchange of one request for one answer.

mod body;
mod exchange;
pub(crate) mod kept;
mod listener;
pub(crate) mod verifier;
mod wire;

pub(crate) use listener::{Listeners, serve};

/// The addresses that the plane hands out.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    pub(crate) connector: String,
    pub(crate) secured_connector: String,
    pub(crate) director: String,
}
