//! What is said of the service broker: instances, bindings and what becomes of them. Never what is in them.

use crate::broker::BindingKey;
use crate::ids::{InstanceAuthId, ServiceInstanceId};
use crate::metrics::metrics;

/// Something about the service broker.
pub enum Broker<'a> {
    /// There is a new instance.
    Provisioned(&'a ServiceInstanceId),
    /// An instance is gone.
    Deprovisioned(&'a ServiceInstanceId),
    /// The plane has asked an application for credentials.
    Waits {
        /// The binding.
        key: &'a BindingKey,
        /// The request at the plane.
        auth: &'a InstanceAuthId,
    },
    /// There are credentials.
    Ready {
        /// The binding.
        key: &'a BindingKey,
        /// What they are called at the plane.
        auth: &'a InstanceAuthId,
    },
    /// The plane gives other credentials for the same.
    OtherCredentials(&'a BindingKey),
    /// There are no credentials.
    Failed {
        /// The binding.
        key: &'a BindingKey,
        /// Why.
        why: &'a str,
    },
    /// The plane does not take credentials back.
    Kept {
        /// The binding.
        key: &'a BindingKey,
        /// Why.
        why: &'a str,
    },
    /// A request for credentials came to nothing, and whoever made it was told so.
    CameToNothing(&'a BindingKey),
    /// Credentials are given back, and no longer there.
    Gone(&'a BindingKey),
    /// A binding is of a runtime that this host no longer is, and ends here.
    LeftBehind(&'a BindingKey),
    /// The host was unpaired, and so many bindings are good for nothing any more.
    GivenUp(usize),
    /// Credentials that no binding stood for were given back.
    OrphanRemoved(&'a InstanceAuthId),
}

impl Broker<'_> {
    /// Says it.
    pub fn emit(self) {
        match self {
            Self::Provisioned(id) => tracing::info!(instance_id = %id, "the service instance {id} is made"),
            Self::Deprovisioned(id) => tracing::info!(instance_id = %id, "the service instance {id} is removed"),
            Self::Waits { key, auth } => tracing::info!(
                binding_id = %key.binding, instance_id = %key.instance, auth_id = %auth,
                "the binding {key} waits for its application to give credentials"
            ),
            Self::Ready { key, auth } => tracing::info!(
                binding_id = %key.binding, instance_id = %key.instance, auth_id = %auth,
                "the binding {key} has its credentials"
            ),
            Self::OtherCredentials(key) => tracing::info!(
                binding_id = %key.binding, instance_id = %key.instance,
                "the plane gives other credentials for the binding {key}; they are handed out from now on"
            ),
            Self::Failed { key, why } => tracing::warn!(
                binding_id = %key.binding, instance_id = %key.instance,
                "the binding {key} has no credentials: {why}"
            ),
            Self::Kept { key, why } => tracing::warn!(
                binding_id = %key.binding, instance_id = %key.instance,
                "the credentials of the binding {key} are not taken back by the plane: {why}; deleting the binding again \
                 tries again"
            ),
            Self::CameToNothing(key) => tracing::info!(
                binding_id = %key.binding, instance_id = %key.instance,
                "the binding {key} did not come about; nothing is left of it"
            ),
            Self::Gone(key) => tracing::info!(
                binding_id = %key.binding, instance_id = %key.instance,
                "the binding {key} is deleted, and its credentials are given back"
            ),
            Self::LeftBehind(key) => tracing::warn!(
                binding_id = %key.binding, instance_id = %key.instance,
                "the binding {key} is of a runtime that this host no longer is, and ends here; what the plane has of it \
                 stays valid until it is revoked there"
            ),
            Self::GivenUp(count) => tracing::warn!(
                count,
                "this host was unpaired, and {count} service bindings are good for nothing any more; what the plane has of \
                 them stays valid until it is revoked there"
            ),
            Self::OrphanRemoved(auth) => tracing::info!(
                auth_id = %auth,
                "the credentials {auth} at the plane, which no binding stood for, are given back"
            ),
        }
    }
}

/// How a request to the broker was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was granted (2xx), or nothing has changed since it was asked last (304).
    Success,
    /// It was refused (4xx).
    Refused,
    /// It could not be answered as it should (5xx).
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Success, Self::Refused, Self::Failed];

    /// A bounded word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Counts it.
    pub fn emit(self) {
        metrics().broker_request(self);
    }
}
