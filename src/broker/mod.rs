//! The service broker of this host: applications as services, bundles as plans, credentials as bindings, in the words of
//! the Open Service Broker API 2.17.

mod etag;
pub mod http;
pub(crate) mod login;
mod order;
mod record;

pub use etag::ETag;
pub use order::{
    Bind, BindingRow, Bound, Broker, InstanceRow, LastOperation, Made, OperationState, Order, OrphanRow, Overview,
    Patience, PlanRow, Provision, Refusal, Reply, ServiceRow, Unbound, Wanted,
};
pub use record::{Binding, BindingKey, Instance, Offer, Operation, Phase, Promise, SecretText, Told};
