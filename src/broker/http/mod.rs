//! The broker's HTTP: what clients say becomes orders, and what they are answered becomes status codes, headers and JSON, as
//! the Open Service Broker API 2.17 has them. What is decided, the loop behind the orders decides.

mod answer;
mod attributes;
mod bindings;
mod body;
mod catalog;
mod door;
mod instances;
mod judge;
mod listening;
mod originating;
mod passed;
mod path;
mod query;
mod rate;
mod record;
mod routes;
mod version;

#[cfg(test)]
mod tests;

pub use door::{Door, Logins};
pub use judge::Judge;
pub use listening::{Surroundings, serve, socket_before_all};
pub use passed::Passed;
pub use routes::{Desk, Endpoint, ROUTES, Route, Verb, router};
