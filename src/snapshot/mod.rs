//! What the plane said, whole: the applications of this runtime, as typed values.
//!
//! A [`Snapshot`] is made only from the result of one complete read without errors; whoever holds one may act on it,
//! removals included. It is a list of places, not of values: see [`pack`].

pub mod brake;

mod binding;
#[cfg(test)]
pub(crate) mod example;
pub(crate) mod line;
mod naming;
pub(crate) mod pack;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde_json::Value;

use crate::disk::DiskError;
use crate::ids::{ApplicationId, BundleId, DefinitionId, InstanceAuthId, RuntimeId};

pub use binding::{Binding, BindingContext};
use pack::Packer;

pub use naming::{NAMING_LABEL, Naming};
pub use pack::Place;
pub use text::{InvalidSha256, Reading, Sha256, TextKind, TextPlace, TextSlot};

/// Everything that this runtime may use, at one instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    runtime: RuntimeId,
    naming: Naming,
    /// In the order of their ids.
    places: Vec<Place>,
}

/// Two applications in one read had the same id: the list shifted under the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the application {0} was listed twice in one read")]
pub struct RepeatedApplication(pub ApplicationId);

impl Snapshot {
    /// Takes the applications of one complete read, all of them in memory.
    ///
    /// # Errors
    /// When an id occurs twice, for then the read was not of one state.
    pub fn new(runtime: RuntimeId, applications: Vec<Application>) -> Result<Self, RepeatedApplication> {
        Self::of(runtime, Naming::default(), in_memory(applications))
    }

    /// Takes the applications of one complete read, and puts them in the order of their ids.
    ///
    /// # Errors
    /// When an id occurs twice, for then the read was not of one state.
    pub(crate) fn of(runtime: RuntimeId, naming: Naming, mut places: Vec<Place>) -> Result<Self, RepeatedApplication> {
        places.sort_by(|a, b| a.id().cmp(b.id()));
        if let Some(pair) = places.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
            return Err(RepeatedApplication(pair[0].id().clone()));
        }
        Ok(Self { runtime, naming, places })
    }

    /// No applications at all.
    pub fn empty(runtime: RuntimeId) -> Self {
        Self { runtime, naming: Naming::default(), places: Vec::new() }
    }

    /// The same, where the runtime's labels say how its applications are named.
    #[must_use]
    pub fn with_naming(self, naming: Naming) -> Self {
        Self { naming, ..self }
    }

    /// How the plane names the applications to this runtime.
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// The runtime that the applications were listed for.
    pub fn runtime(&self) -> &RuntimeId {
        &self.runtime
    }

    /// The same, and besides it `others`, which are not among it.
    #[must_use]
    pub fn with(mut self, others: Vec<Place>) -> Self {
        self.places.extend(others);
        self.places.sort_by(|a, b| a.id().cmp(b.id()));
        self.places.dedup_by(|a, b| a.id() == b.id());
        self
    }

    /// The applications with these ids, as far as they are among it.
    pub fn select(&self, ids: &BTreeSet<ApplicationId>) -> Vec<Place> {
        self.places.iter().filter(|place| ids.contains(place.id())).cloned().collect()
    }

    /// The application with this id.
    pub fn place_of(&self, id: &ApplicationId) -> Option<&Place> {
        self.places.binary_search_by(|place| place.id().cmp(id)).ok().map(|at| &self.places[at])
    }

    /// The applications at rest, in the order of their ids.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// How many applications there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The applications, in the order of their ids, one after another. Blocks.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn applications(&self) -> impl Iterator<Item = Result<Application, DiskError>> {
        self.places.iter().map(Place::application)
    }

    /// The applications, in the order of their ids, all at once: some 7 KB each. Blocks.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn all(&self) -> Result<Vec<Application>, DiskError> {
        self.applications().collect()
    }

    /// The sum of everything in it: two snapshots of which it is the same are the same.
    pub fn sum(&self) -> Sha256 {
        let naming = match self.naming {
            Naming::Normalise => "normalise",
            Naming::AsGiven => "as given",
        };
        pack::sum_of(&[self.runtime.as_str(), naming], &self.places)
    }
}

fn in_memory(applications: Vec<Application>) -> Vec<Place> {
    let mut packer = Packer::in_memory();
    for application in applications {
        // An application has nothing that JSON cannot hold.
        packer.take(application, None).expect("memory takes everything");
    }
    packer.finish().expect("memory takes everything")
}

/// An Application: a business system whose APIs and events this runtime may use.
#[derive(Debug, Clone)]
pub struct Application {
    /// Stable identity; names are not unique and change.
    pub id: ApplicationId,
    /// The name for people.
    pub name: Box<str>,
    /// Who makes the application.
    pub provider: Option<Box<str>>,
    /// Free text.
    pub description: Option<Box<str>>,
    /// Where the application lives; absent in the older dialect.
    pub base_url: Option<Box<str>>,
    /// The vendor's number for the system; absent in the older dialect.
    pub system_number: Option<Box<str>>,
    /// The application's own tenant id; absent in the older dialect.
    pub local_tenant_id: Option<Box<str>>,
    /// A URL that tells whether the application is healthy.
    pub health_check_url: Option<Box<str>>,
    /// Labels, any JSON.
    pub labels: BTreeMap<Box<str>, Value>,
    /// The plane's condition word (`CONNECTED`, `INITIAL`, …), as it came.
    pub condition: Option<Box<str>>,
    /// Where events of this application are taken in (`eventingConfiguration.defaultURL`).
    pub events_url: Option<Box<str>>,
    /// The plane's word for the state of the system behind the application; can be set on listed ones.
    pub system_status: Option<Box<str>>,
    /// The plane's error text for the application; can be set on listed ones.
    pub error: Option<Box<str>>,
    /// When the plane marked it deleted (RFC 3339); can be set on listed ones.
    pub deleted_at: Option<Box<str>>,
    /// Groups of definitions, in the order of their ids.
    pub bundles: Vec<Bundle>,
}

/// A Bundle (older word: Package): API and Event Definitions with common credentials.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Stable identity.
    pub id: BundleId,
    /// The name for people.
    pub name: Box<str>,
    /// Free text.
    pub description: Option<Box<str>>,
    /// JSON Schema (a text) for the parameters of a credential request.
    pub request_schema: Option<Box<str>>,
    /// API Definitions, in the order of their ids.
    pub apis: Vec<ApiDefinition>,
    /// Event Definitions, in the order of their ids.
    pub events: Vec<EventDefinition>,
    /// Documents, in the order of their ids; none where they are not asked for.
    pub documents: Vec<Document>,
    /// Credentials that serve every runtime.
    pub default_auth: Option<Auth>,
    /// Credentials that belong to this runtime, in the order of their ids.
    pub instance_auths: Vec<InstanceAuth>,
}

/// A version of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// For example `v1`.
    pub value: Box<str>,
    /// Whether it is deprecated, where the plane says so.
    pub deprecated: Option<bool>,
    /// Since when, as the plane words it.
    pub deprecated_since: Option<Box<str>>,
    /// Whether it is going to be removed, where the plane says so.
    pub for_removal: Option<bool>,
}

/// The kind and format of a definition's specification; the text itself lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specification {
    /// The specification's own identity; absent in the older dialect.
    pub id: Option<Box<str>>,
    /// `ODATA`, `OPEN_API`, `ASYNC_API`, or a word that came later.
    pub kind: Box<str>,
    /// `YAML`, `JSON`, `XML`, or a word that came later.
    pub format: Box<str>,
    /// What was read of its text.
    pub reading: Option<Reading>,
}

/// A document: what a bundle's makers wrote for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Stable identity.
    pub id: DefinitionId,
    /// Its title.
    pub title: Box<str>,
    /// The name to show.
    pub display_name: Box<str>,
    /// What it is about.
    pub description: Box<str>,
    /// `MARKDOWN`, or a word that came later.
    pub format: Box<str>,
    /// What kind of document it is, a word of the application's own.
    pub kind: Option<Box<str>>,
    /// What was read of its text.
    pub reading: Option<Reading>,
}

/// An API Definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiDefinition {
    /// Stable identity.
    pub id: DefinitionId,
    /// The name for people.
    pub name: Box<str>,
    /// Free text.
    pub description: Option<Box<str>>,
    /// Where the API is called.
    pub target_url: Box<str>,
    /// A grouping word of the application's own.
    pub group: Option<Box<str>>,
    /// The API's version.
    pub version: Option<Version>,
    /// Kind and format of its specification.
    pub specification: Option<Specification>,
}

/// An Event Definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDefinition {
    /// Stable identity.
    pub id: DefinitionId,
    /// The name for people.
    pub name: Box<str>,
    /// Free text.
    pub description: Option<Box<str>>,
    /// A grouping word of the application's own.
    pub group: Option<Box<str>>,
    /// The version of the events.
    pub version: Option<Version>,
    /// Kind and format of its specification.
    pub specification: Option<Specification>,
}

/// Credentials that were asked for by, or for, this runtime, and what became of the request.
#[derive(Debug, Clone)]
pub struct InstanceAuth {
    /// Stable identity.
    pub id: InstanceAuthId,
    /// Where the request stands.
    pub condition: Condition,
    /// The plane's explanation of the condition.
    pub message: Option<Box<str>>,
    /// The context that the request was made with (a text that contains JSON).
    pub context: Option<Box<str>>,
    /// The credentials, once there are any.
    pub auth: Option<Auth>,
}

/// Where a request for credentials stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The application has not answered yet.
    Pending,
    /// The credentials can be used.
    Succeeded,
    /// The application refused.
    Failed,
    /// The credentials are given back and not yet revoked.
    Unused,
    /// A word that came after this program was written.
    Other(Box<str>),
}

impl From<Box<str>> for Condition {
    fn from(word: Box<str>) -> Self {
        match &*word {
            "PENDING" => Self::Pending,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "UNUSED" => Self::Unused,
            _ => Self::Other(word),
        }
    }
}

impl Condition {
    /// The plane's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Unused => "UNUSED",
            Self::Other(word) => word,
        }
    }
}

/// How a caller of an API shows who it is. Everything that could be a secret is one.
#[derive(Debug, Clone)]
pub struct Auth {
    /// The credential itself.
    pub credential: Credential,
    /// Headers that every request carries besides.
    pub headers: BTreeMap<Box<str>, Vec<SecretString>>,
    /// Query parameters that every request carries besides.
    pub query_parameters: BTreeMap<Box<str>, Vec<SecretString>>,
    /// How to get a CSRF token, where the API wants one.
    pub csrf: Option<Csrf>,
    /// The common name of the client certificate that the API expects.
    pub certificate_common_name: Option<Box<str>>,
    /// How the API's metadata is reached, a word of the plane's.
    pub access_strategy: Option<Box<str>>,
}

/// A CSRF token endpoint, with the credentials it wants.
#[derive(Debug, Clone)]
pub struct Csrf {
    /// Where the token is fetched.
    pub token_url: Box<str>,
    /// The credential for that request.
    pub credential: Credential,
    /// Headers of that request.
    pub headers: BTreeMap<Box<str>, Vec<SecretString>>,
    /// Query parameters of that request.
    pub query_parameters: BTreeMap<Box<str>, Vec<SecretString>>,
}

/// A credential of one of the kinds that the plane knows.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The API needs none.
    None,
    /// HTTP Basic.
    Basic {
        /// The user's name.
        username: Box<str>,
        /// The password.
        password: SecretString,
    },
    /// OAuth 2.0 client credentials.
    OAuth {
        /// The client's id.
        client_id: Box<str>,
        /// The client's secret.
        client_secret: SecretString,
        /// The token endpoint.
        url: Box<str>,
    },
    /// OAuth 2.0 with a client certificate.
    CertificateOAuth {
        /// The client's id.
        client_id: Box<str>,
        /// The certificate, with whatever the plane put beside it.
        certificate: SecretString,
        /// The token endpoint.
        url: Box<str>,
    },
    /// A kind that came after this program was written; its type's name. It is shown, never rendered as usable.
    Unknown(Box<str>),
}

impl Bundle {
    /// This runtime's own credentials for the bundle as a whole, those with the last id first: what was asked for one
    /// binding is for the holder of the binding, and nobody else.
    pub fn own_auths(&self) -> impl Iterator<Item = &InstanceAuth> {
        self.instance_auths.iter().rev().filter(|instance| instance.binding().is_none())
    }

    /// The credentials that this runtime uses for the bundle: its own that succeeded, the last of them by id,
    /// before those that serve every runtime. None where there are none that this program understands.
    pub fn usable_auth(&self) -> Option<&Auth> {
        let own = self
            .own_auths()
            .filter(|instance| instance.condition == Condition::Succeeded)
            .find_map(|instance| instance.auth.as_ref());
        own.or(self.default_auth.as_ref()).filter(|auth| !matches!(auth.credential, Credential::Unknown(_)))
    }
}
