//! The service broker of this host: applications as services, bundles as plans, credentials as bindings, in the words of
//! the Open Service Broker API 2.17.
//!
//! Here is what decides; the loop that acts on it is `agent::brokering`.

mod catalog;
mod credentials;
mod endpoints;
mod entry;
mod etag;
#[cfg(test)]
pub(crate) mod fixture;
pub mod http;
mod life;
pub(crate) mod login;
mod names;
mod order;
mod overview;
mod record;
mod schema;
mod store;
mod targets;

pub use catalog::{Catalog, Issue, Plan, Service, SpecificationFiles};
pub use credentials::Credentials;
pub use endpoints::{Endpoint, endpoints};
pub use etag::ETag;
pub use life::{Audience, Circumstances, Fate, Heard, Pace, Seen, SeenState, Sight, Step, Turn, give_back, hear, step};
pub use login::{Login, LoginError};
pub use names::GivenNames;
pub use order::{
    Bind, Bound, Broker, LastOperation, Made, OperationState, Order, Patience, Provision, Refusal, Reply, Unbound,
    Wanted,
};
pub use overview::{Availability, BindingRow, InstanceRow, OfferNames, OrphanRow, Overview, PlanRow, ServiceRow};
pub use record::{Binding, BindingKey, Instance, Offer, Operation, Phase, Promise, Rotation, SecretText, Told};
pub use store::{Change, Records, Store, StoreError};
pub use targets::Api;
