//! What the broker remembers: service instances and service bindings, as they are kept in its store.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{ApplicationId, BundleId, InstanceAuthId, RuntimeId, ServiceBindingId, ServiceInstanceId};
use crate::snapshot::{BindingContext, Sha256};

/// A binding, by its own id and that of its instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BindingKey {
    /// The instance that is bound.
    pub instance: ServiceInstanceId,
    /// The binding.
    pub binding: ServiceBindingId,
}

impl BindingKey {
    /// Whether an instance auth was asked for this binding.
    pub fn is_meant_by(&self, context: &BindingContext) -> bool {
        *context.instance_id == *self.instance.as_str() && *context.binding_id == *self.binding.as_str()
    }
}

impl fmt::Display for BindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of instance {}", self.binding, self.instance)
    }
}

/// A service and a plan of it: an application and a bundle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// The service: an application.
    pub service: ApplicationId,
    /// The plan: a bundle of it.
    pub plan: BundleId,
}

/// A service instance: somebody means to use a bundle. The plane is not told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// What it is an instance of.
    #[serde(flatten)]
    pub offer: Offer,
    /// Everything else that it was made with, by its digest: whether a second request is the same is all that matters.
    pub attributes: Sha256,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A service binding, and where it is in its life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Binding {
    /// What is bound.
    #[serde(flatten)]
    pub offer: Offer,
    /// The runtime that the credentials are for. After a host was paired as another one, nothing more can be asked for
    /// those of the first.
    pub runtime: RuntimeId,
    /// Everything else that it was made with, by its digest.
    pub attributes: Sha256,
    /// The parameters for the application, a JSON object, where the client gave some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SecretText>,
    /// The binding that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<ServiceBindingId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The operation that is under way, or was the last.
    pub operation: Operation,
    /// Where it is in its life.
    pub phase: Phase,
}

impl Binding {
    /// The same in another phase. Parameters stay only as long as something can come of them: until credentials are there,
    /// and for those that can be rotated.
    #[must_use]
    pub fn into_phase(self, phase: Phase, rotation: Rotation) -> Self {
        let kept = match (&phase, rotation) {
            (Phase::Asking { .. } | Phase::Waiting { .. }, _) | (Phase::Ready { .. }, Rotation::Possible) => true,
            (Phase::Ready { .. }, Rotation::None)
            | (Phase::Failed { .. } | Phase::Returning { .. } | Phase::Kept { .. } | Phase::Gone { .. }, _) => false,
        };
        Self { parameters: self.parameters.filter(|_| kept), phase, ..self }
    }

    /// How many bytes clients and applications have put into it.
    pub fn weight(&self) -> usize {
        let given = match &self.phase {
            Phase::Ready { credentials, .. } => credentials.expose().len(),
            Phase::Asking { .. }
            | Phase::Waiting { .. }
            | Phase::Failed { .. }
            | Phase::Returning { .. }
            | Phase::Kept { .. }
            | Phase::Gone { .. } => 0,
        };
        given + self.parameters.as_ref().map_or(0, |parameters| parameters.expose().len())
    }
}

/// Whether other credentials can follow those of a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Those of a bundle that has none of its own.
    Possible,
    /// Those that serve every runtime.
    None,
}

/// How a client knows an operation: by a word that changes with each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operation(pub Box<str>);

/// Whether somebody was promised that an operation goes on without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// The client looks again for what came of it.
    Made,
    /// The client waits for the answer, or asks again.
    NotMade,
}

/// Where a binding is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// The credentials are to be asked for; they may have been already, by a request whose answer nobody heard.
    Asking {
        /// Whether a client counts on it.
        promise: Promise,
    },
    /// The plane has asked the application, which has not answered.
    Waiting {
        /// The request, at the plane.
        auth: InstanceAuthId,
    },
    /// The credentials are here.
    Ready {
        /// Where they come from.
        auth: InstanceAuthId,
        /// The answer to the client, a JSON object.
        credentials: SecretText,
    },
    /// There are no credentials, and there will be none.
    Failed {
        /// What is left of the request at the plane.
        auth: Option<InstanceAuthId>,
        /// Why, a sentence without its full stop.
        why: Box<str>,
    },
    /// The credentials are given back.
    Returning {
        /// What is given back; where it is not known, it is looked for.
        auth: Option<InstanceAuthId>,
        /// Whether the plane has heard of it.
        told: Told,
    },
    /// The plane does not take the credentials back.
    Kept {
        /// What is to be given back.
        auth: InstanceAuthId,
        /// Why, in the plane's words.
        why: Box<str>,
    },
    /// They are gone; this is kept for a while, for whoever asks what came of it.
    Gone {
        /// Since when.
        at: Timestamp,
    },
}

/// Whether the plane has heard that credentials are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It has said so.
    Yes,
    /// It has not, or nobody heard it.
    No,
}

impl Phase {
    /// The instance auth at the plane that this binding stands for, where one is known.
    pub fn auth(&self) -> Option<&InstanceAuthId> {
        match self {
            Self::Waiting { auth } | Self::Ready { auth, .. } | Self::Kept { auth, .. } => Some(auth),
            Self::Failed { auth, .. } | Self::Returning { auth, .. } => auth.as_ref(),
            Self::Asking { .. } | Self::Gone { .. } => None,
        }
    }

    /// A bounded word for people and programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Asking { .. } => "asking",
            Self::Waiting { .. } => "waiting",
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
            Self::Returning { .. } => "returning",
            Self::Kept { .. } => "kept",
            Self::Gone { .. } => "gone",
        }
    }
}

/// A text that only the store and the one who asked for it see.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text, to be written and not to be kept.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretText {}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretString::deserialize(deserializer).map(Self)
    }
}
