//! The local service broker: what the host's platforms see through the Open Service Broker API, version 2.17.

pub mod catalog;
pub mod credentials;
pub mod endpoints;
mod entry;
pub mod etag;
pub mod names;
pub mod schema;
pub mod targets;
