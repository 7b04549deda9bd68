//! What the Director knows: runtimes, applications and all that hangs below them, as plain data that can be read from a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Header or query parameters: a name and its values.
pub type Parameters = BTreeMap<String, Vec<String>>;

/// An application: a system whose interfaces a runtime may use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Application {
    pub id: String,
    pub name: String,
    pub provider_name: Option<String>,
    pub description: Option<String>,
    pub base_url: Option<String>,
    pub system_number: Option<String>,
    #[serde(rename = "localTenantID")]
    pub local_tenant_id: Option<String>,
    pub labels: Option<Map<String, Value>>,
    pub status: Status,
    #[serde(rename = "healthCheckURL")]
    pub health_check_url: Option<String>,
    pub bundles: Vec<Bundle>,
    /// The ids of the application's own credentials at the plane.
    pub auths: Option<Vec<String>>,
    /// `eventingConfiguration.defaultURL`.
    #[serde(rename = "eventURL")]
    pub event_url: Option<String>,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
    pub deleted_at: Option<String>,
    pub system_status: Option<String>,
    pub error: Option<String>,
}

/// A condition and the time since when it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Status {
    pub condition: String,
    pub timestamp: String,
}

impl Default for Status {
    fn default() -> Self {
        Self { condition: "INITIAL".to_owned(), timestamp: "2024-01-01T00:00:00Z".to_owned() }
    }
}

/// What is used together and with the same credentials; a *package* in the older dialect.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Bundle {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    /// A JSON schema, as text.
    pub instance_auth_request_input_schema: Option<String>,
    pub instance_auths: Vec<InstanceAuth>,
    pub default_instance_auth: Option<Auth>,
    pub api_definitions: Vec<ApiDefinition>,
    pub event_definitions: Vec<EventDefinition>,
    pub documents: Vec<Document>,
    #[serde(rename = "correlationIDs")]
    pub correlation_ids: Option<Vec<String>>,
}

/// An API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ApiDefinition {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    #[serde(rename = "targetURL")]
    pub target_url: Option<String>,
    pub group: Option<String>,
    pub version: Option<Version>,
    pub spec: Option<Spec>,
}

/// An event that an application sends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct EventDefinition {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub group: Option<String>,
    pub version: Option<Version>,
    pub spec: Option<Spec>,
}

/// The version of an API or event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Version {
    pub value: String,
    pub deprecated: Option<bool>,
    pub deprecated_since: Option<String>,
    pub for_removal: Option<bool>,
}

/// The specification of an API or event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Spec {
    pub id: String,
    pub data: Option<String>,
    /// `YAML`, `JSON` or `XML`.
    pub format: String,
    /// `ODATA` or `OPEN_API` for an API, `ASYNC_API` for an event.
    pub r#type: String,
}

/// A document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Document {
    pub id: String,
    pub title: String,
    pub display_name: String,
    pub description: String,
    /// `MARKDOWN`.
    pub format: String,
    pub kind: Option<String>,
    pub data: Option<String>,
}

/// The condition of an instance auth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Condition {
    #[default]
    Pending,
    Succeeded,
    Failed,
    Unused,
}

impl Condition {
    /// The word in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Unused => "UNUSED",
        }
    }
}

/// The credentials that were asked for one use of a bundle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct InstanceAuth {
    pub id: String,
    /// JSON, as text.
    pub context: Option<String>,
    /// JSON, as text.
    pub input_params: Option<String>,
    pub auth: Option<Auth>,
    pub condition: Condition,
    pub timestamp: String,
    pub message: String,
    pub reason: String,
    #[serde(rename = "runtimeID")]
    pub runtime_id: Option<String>,
    #[serde(rename = "runtimeContextID")]
    pub runtime_context_id: Option<String>,
}

/// How a call to an API is authenticated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Auth {
    pub credential: Option<Credential>,
    pub additional_headers: Option<Parameters>,
    pub additional_query_params: Option<Parameters>,
    pub request_auth: Option<RequestAuth>,
    pub cert_common_name: Option<String>,
    pub access_strategy: Option<String>,
}

/// What protects the requests themselves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RequestAuth {
    pub csrf: Option<Csrf>,
}

/// Where a CSRF token is fetched, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct Csrf {
    #[serde(rename = "tokenEndpointURL")]
    pub token_endpoint_url: String,
    pub credential: Option<Credential>,
    pub additional_headers: Option<Parameters>,
    pub additional_query_params: Option<Parameters>,
}

/// A credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[allow(missing_docs)]
pub enum Credential {
    Basic { username: String, password: String },
    Oauth { client_id: String, client_secret: String, url: String },
    CertificateOauth { client_id: String, certificate: String, url: String },
}

/// What a runtime may do, unless it is said otherwise.
pub const RUNTIME_SCOPES: [&str; 4] = ["runtime:read", "runtime:write", "application:read", "event_definition:read"];

/// A registered runtime.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Runtime {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub tenant: String,
    pub labels: Map<String, Value>,
    pub status: Status,
    pub scopes: BTreeSet<String>,
    /// The ids of the applications it may see; `None` means all.
    pub formation: Option<BTreeSet<String>>,
}

impl Runtime {
    /// Whether this runtime may see the application with that id.
    pub fn sees(&self, application: &str) -> bool {
        self.formation.as_ref().is_none_or(|formation| formation.contains(application))
    }
}

/// Everything the Director knows.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Applications by id; pages are in this order.
    pub applications: BTreeMap<String, Arc<Application>>,
    /// Runtimes by id.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The tenants that exist.
    pub tenants: BTreeSet<String>,
}

impl Model {
    /// Adds or replaces an application; what has no id is given one, and lists are put in order of id.
    pub fn put(&mut self, mut application: Application) -> String {
        complete(&mut application);
        let id = application.id.clone();
        self.applications.insert(id.clone(), Arc::new(application));
        id
    }

    /// The application with that id, to be changed.
    pub fn application_mut(&mut self, id: &str) -> Option<&mut Application> {
        self.applications.get_mut(id).map(Arc::make_mut)
    }

    /// The application that holds the bundle with that id, and the bundle.
    pub fn bundle(&self, id: &str) -> Option<(&Arc<Application>, &Bundle)> {
        self.applications
            .values()
            .find_map(|application| Some((application, application.bundles.iter().find(|bundle| bundle.id == id)?)))
    }

    /// The application and the bundle that hold the instance auth with that id, and the instance auth.
    pub fn instance_auth(&self, id: &str) -> Option<(&Arc<Application>, &Bundle, &InstanceAuth)> {
        self.applications.values().find_map(|application| {
            application.bundles.iter().find_map(|bundle| {
                let auth = bundle.instance_auths.iter().find(|auth| auth.id == id)?;
                Some((application, bundle, auth))
            })
        })
    }

    /// The bundle that holds the instance auth with that id, to be changed.
    pub fn bundle_of_auth_mut(&mut self, id: &str) -> Option<&mut Bundle> {
        let (application, bundle, _) = self.instance_auth(id)?;
        let (application, bundle) = (application.id.clone(), bundle.id.clone());
        self.application_mut(&application)?.bundles.iter_mut().find(|candidate| candidate.id == bundle)
    }
}

fn complete(application: &mut Application) {
    name(&mut application.id);
    for bundle in &mut application.bundles {
        name(&mut bundle.id);
        bundle.instance_auths.iter_mut().for_each(|auth| name(&mut auth.id));
        for api in &mut bundle.api_definitions {
            name(&mut api.id);
            api.spec.iter_mut().for_each(|spec| name(&mut spec.id));
        }
        for event in &mut bundle.event_definitions {
            name(&mut event.id);
            event.spec.iter_mut().for_each(|spec| name(&mut spec.id));
        }
        bundle.documents.iter_mut().for_each(|document| name(&mut document.id));
        bundle.instance_auths.sort_by(|a, b| a.id.cmp(&b.id));
        bundle.api_definitions.sort_by(|a, b| a.id.cmp(&b.id));
        bundle.event_definitions.sort_by(|a, b| a.id.cmp(&b.id));
        bundle.documents.sort_by(|a, b| a.id.cmp(&b.id));
    }
    application.bundles.sort_by(|a, b| a.id.cmp(&b.id));
}

fn name(id: &mut String) {
    if id.is_empty() {
        *id = uuid::Uuid::new_v4().to_string();
    }
}
