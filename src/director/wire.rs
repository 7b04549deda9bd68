//! The Director's answers as they come: what is null although a complete answer has it does not deserialise.
//!
//! Which nulls are legal: a list without pages (`instanceAuths`), an object of any keys (`labels`) and every text that
//! the schema does not promise may be null where there is nothing. A page is an object that a resolver makes even for
//! an empty list, so a null one is a resolver that failed, with or without an entry in `errors`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credential::Auth;
use super::paging::Place;
use crate::ids::{ApplicationId, BundleId, DefinitionId, InstanceAuthId, RuntimeId};
use crate::snapshot::{Condition, Specification, Version};
use crate::transport::ByName;

/// A page of any list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a page, which every complete answer has here")]
pub(super) struct Page<T> {
    pub data: Vec<T>,
    page_info: PageInfo,
    pub total_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a pageInfo, which every page has")]
struct PageInfo {
    end_cursor: Box<str>,
    has_next_page: bool,
}

impl<T> Page<T> {
    /// Takes the page out of its owner, and leaves nothing of it behind.
    pub(super) fn take(&mut self) -> Self {
        let nothing = Self {
            data: Vec::new(),
            page_info: PageInfo { end_cursor: "".into(), has_next_page: false },
            total_count: 0,
        };
        std::mem::replace(self, nothing)
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            end_cursor: &self.page_info.end_cursor,
            has_next: self.page_info.has_next_page,
            total: self.total_count,
        }
    }
}

/// What has a stable identity.
pub(super) trait Identified {
    fn id(&self) -> &str;
}

/// Any item, when only its id was asked for.
#[derive(Deserialize)]
pub(super) struct Item {
    id: DefinitionId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an Application")]
pub(super) struct Application {
    pub id: ApplicationId,
    pub name: Box<str>,
    pub provider_name: Option<Box<str>>,
    pub description: Option<Box<str>>,
    pub base_url: Option<Box<str>>,
    pub system_number: Option<Box<str>>,
    #[serde(rename = "localTenantID")]
    pub local_tenant_id: Option<Box<str>>,
    pub labels: Option<BTreeMap<Box<str>, Value>>,
    pub status: ApplicationStatus,
    #[serde(rename = "healthCheckURL")]
    pub health_check_url: Option<Box<str>>,
    pub eventing_configuration: Option<EventingConfiguration>,
    pub system_status: Option<Box<str>>,
    pub error: Option<Box<str>>,
    pub deleted_at: Option<Box<str>>,
    #[serde(alias = "packages")]
    pub bundles: Page<Bundle>,
}

#[derive(Deserialize)]
#[serde(expecting = "an application's status")]
pub(super) struct ApplicationStatus {
    pub condition: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an eventing configuration")]
pub(super) struct EventingConfiguration {
    #[serde(rename = "defaultURL")]
    pub default_url: Box<str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a Bundle")]
pub(super) struct Bundle {
    pub id: BundleId,
    pub name: Box<str>,
    pub description: Option<Box<str>>,
    pub instance_auth_request_input_schema: Option<Box<str>>,
    pub instance_auths: Option<Vec<InstanceAuth>>,
    pub default_instance_auth: Option<Auth>,
    pub api_definitions: Page<ApiDefinition>,
    pub event_definitions: Page<EventDefinition>,
    /// Only where they are asked for.
    #[serde(default, deserialize_with = "present")]
    pub documents: Option<Page<Document>>,
}

/// What is not there at all was not asked for; what is there is not null.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an instance auth")]
pub(super) struct InstanceAuth {
    pub id: InstanceAuthId,
    pub context: Option<Box<str>>,
    #[serde(rename = "runtimeID")]
    pub runtime_id: Option<Box<str>>,
    pub status: InstanceAuthStatus,
    pub auth: Option<Auth>,
}

#[derive(Deserialize)]
#[serde(expecting = "an instance auth's status")]
pub(super) struct InstanceAuthStatus {
    #[serde(deserialize_with = "condition")]
    pub condition: Condition,
    pub message: Option<Box<str>>,
}

fn condition<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
    Ok(Box::<str>::deserialize(deserializer)?.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an API Definition")]
pub(super) struct ApiDefinition {
    pub id: DefinitionId,
    pub name: Box<str>,
    pub description: Option<Box<str>>,
    #[serde(rename = "targetURL")]
    pub target_url: Box<str>,
    pub group: Option<Box<str>>,
    pub version: Option<WireVersion>,
    pub spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(expecting = "an Event Definition")]
pub(super) struct EventDefinition {
    pub id: DefinitionId,
    pub name: Box<str>,
    pub description: Option<Box<str>>,
    pub group: Option<Box<str>>,
    pub version: Option<WireVersion>,
    pub spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a document")]
pub(super) struct Document {
    pub id: DefinitionId,
    pub title: Box<str>,
    pub display_name: Box<str>,
    pub description: Box<str>,
    pub format: Box<str>,
    pub kind: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a version")]
pub(super) struct WireVersion {
    value: Box<str>,
    deprecated: Option<bool>,
    deprecated_since: Option<Box<str>>,
    for_removal: Option<bool>,
}

impl From<WireVersion> for Version {
    fn from(wire: WireVersion) -> Self {
        Self {
            value: wire.value,
            deprecated: wire.deprecated,
            deprecated_since: wire.deprecated_since,
            for_removal: wire.for_removal,
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a specification")]
pub(super) struct Spec {
    id: Option<Box<str>>,
    #[serde(rename = "type")]
    kind: Box<str>,
    format: Box<str>,
}

impl From<Spec> for Specification {
    fn from(wire: Spec) -> Self {
        Self { id: wire.id, kind: wire.kind, format: wire.format, reading: None }
    }
}

macro_rules! identified {
    ($($kind:ty),+) => {$(
        impl Identified for $kind {
            fn id(&self) -> &str {
                self.id.as_str()
            }
        }
    )+};
}

identified!(Item, Application, Bundle, ApiDefinition, EventDefinition, Document);

/// The answer that holds a page of applications, and the runtime's labels where they were asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfRuntime<T> {
    pub applications_for_runtime: Page<T>,
    pub runtime: Option<Labels>,
}

#[derive(Deserialize)]
#[serde(expecting = "a Runtime")]
pub(super) struct Labels {
    pub labels: Option<BTreeMap<String, Value>>,
}

/// The answer that holds a page of one application's bundles; no application if it is gone.
#[derive(Deserialize)]
pub(super) struct OfApplication<T> {
    pub application: Option<Bundles<T>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an Application")]
pub(super) struct Bundles<T> {
    #[serde(alias = "packages")]
    pub bundles: Page<T>,
}

/// The answer that holds a page of one bundle's definitions; no application or no bundle if it is gone.
#[derive(Deserialize)]
pub(super) struct OfBundle<T> {
    pub application: Option<OneBundle<T>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an Application", bound = "T: Deserialize<'de>")]
pub(super) struct OneBundle<T> {
    #[serde(alias = "package")]
    pub bundle: Option<Definitions<T>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a Bundle")]
pub(super) struct Definitions<T> {
    #[serde(alias = "apiDefinitions", alias = "eventDefinitions", alias = "documents")]
    pub definitions: Page<T>,
}

/// The answer to a request for an instance auth, or for the end of one.
#[derive(Deserialize)]
pub(super) struct Requested {
    pub requested: InstanceAuth,
}

/// The answer that holds one instance auth; null if there is none.
#[derive(Deserialize)]
pub(super) struct FoundAuth {
    #[serde(deserialize_with = "nullable")]
    pub found: Option<InstanceAuth>,
}

/// The answer that holds the instance auths of one bundle; no application or no bundle if it is gone.
#[derive(Deserialize)]
pub(super) struct AuthsOfApplication {
    #[serde(deserialize_with = "nullable")]
    pub application: Option<AuthsOfBundle>,
}

#[derive(Deserialize)]
#[serde(expecting = "an Application")]
pub(super) struct AuthsOfBundle {
    #[serde(deserialize_with = "nullable")]
    pub bundle: Option<Auths>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a Bundle")]
pub(super) struct Auths {
    #[serde(deserialize_with = "nullable")]
    pub instance_auths: Option<Vec<InstanceAuth>>,
}

/// What is null is gone, or empty; what is not there at all is an answer to something else.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[derive(Serialize)]
pub(super) struct CreationVariables<'a> {
    pub bundle: &'a BundleId,
    pub context: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct AuthVariables<'a> {
    pub auth: &'a InstanceAuthId,
}

#[derive(Serialize)]
pub(super) struct AuthsVariables<'a> {
    pub application: &'a ApplicationId,
    pub bundle: &'a BundleId,
}

/// What a query for one page is filled with; only what the query declares is sent.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageVariables<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<&'a RuntimeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<&'a ApplicationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<&'a BundleId>,
    pub first: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundles: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definitions: Option<u16>,
    pub ids_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct ViewerAnswer {
    pub viewer: Viewer,
}

#[derive(Deserialize)]
pub(super) struct Viewer {
    /// Of whatever kind; checked as every id is.
    pub id: RuntimeId,
    #[serde(rename = "type")]
    pub kind: Box<str>,
}

#[derive(Deserialize)]
pub(super) struct RuntimeAnswer {
    pub runtime: Option<Runtime>,
}

#[derive(Deserialize)]
#[serde(expecting = "a Runtime")]
pub(super) struct Runtime {
    pub id: RuntimeId,
    pub name: Box<str>,
    pub description: Option<Box<str>>,
    pub labels: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize)]
pub(super) struct RuntimeVariables<'a> {
    pub runtime: &'a RuntimeId,
}

#[derive(Serialize)]
pub(super) struct LabelVariables<'a> {
    pub runtime: &'a RuntimeId,
    pub key: &'a str,
    pub value: &'a Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelAnswer {
    #[serde(rename = "setRuntimeLabel")]
    pub _label: ByName<Label>,
}

#[derive(Deserialize)]
#[serde(expecting = "a Label")]
pub(super) struct Label {
    #[serde(rename = "key")]
    _key: Box<str>,
}
