//! What everybody may read: `application.json`, `bundle.json` and `applications.json`. No secret is ever in them.
//!
//! Each has a `version`. Every key is always there, `null` where the plane says nothing; keys can be added within a
//! version. URLs are without userinfo.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::address::without_userinfo;
use super::manifest::Slug;
use super::render::{ApplicationNames, place};
use crate::ids::{ApplicationId, BundleId, DefinitionId, InstanceAuthId};
use crate::snapshot::{
    ApiDefinition, Application, Bundle, Credential, Document, EventDefinition, Naming, Reading, Sha256, Specification,
    Version,
};

/// The version of the shapes of the output files.
pub(super) const VERSION: u32 = 1;

/// `application.json`: the application, and which bundles it has where.
#[derive(Serialize)]
pub(super) struct ApplicationFile<'a> {
    version: u32,
    #[serde(flatten)]
    application: ApplicationFields<'a>,
    bundles: Vec<BundlePlace<'a>>,
}

/// `bundle.json`: the bundle, what it defines, and what there is to call it with.
#[derive(Serialize)]
pub(super) struct BundleFile<'a> {
    version: u32,
    #[serde(flatten)]
    bundle: BundleFields<'a>,
}

/// An application in `applications.json`, which has everything at once, for those who want one file.
#[derive(Serialize)]
pub(super) struct CatalogueApplication<'a> {
    folder: &'a Slug,
    #[serde(flatten)]
    application: ApplicationFields<'a>,
    bundles: Vec<CatalogueBundle<'a>>,
}

#[derive(Serialize)]
struct CatalogueBundle<'a> {
    folder: &'a Slug,
    #[serde(flatten)]
    bundle: BundleFields<'a>,
}

#[derive(Serialize)]
struct BundlePlace<'a> {
    id: &'a BundleId,
    name: &'a str,
    folder: &'a Slug,
}

#[derive(Serialize)]
struct ApplicationFields<'a> {
    id: &'a ApplicationId,
    name: &'a str,
    normalized_name: Cow<'a, str>,
    provider: Option<&'a str>,
    description: Option<&'a str>,
    base_url: Option<String>,
    system_number: Option<&'a str>,
    local_tenant_id: Option<&'a str>,
    health_check_url: Option<String>,
    events_url: Option<String>,
    condition: Option<&'a str>,
    system_status: Option<&'a str>,
    error: Option<&'a str>,
    deleted_at: Option<&'a str>,
    labels: BTreeMap<&'a str, Sorted<'a>>,
}

#[derive(Serialize)]
struct BundleFields<'a> {
    id: &'a BundleId,
    name: &'a str,
    description: Option<&'a str>,
    request_schema: Option<&'a str>,
    apis: Vec<ApiFields<'a>>,
    events: Vec<EventFields<'a>>,
    documents: Vec<DocumentFields<'a>>,
    credentials: CredentialsFields<'a>,
}

#[derive(Serialize)]
struct ApiFields<'a> {
    id: &'a DefinitionId,
    name: &'a str,
    key: &'a Slug,
    description: Option<&'a str>,
    target_url: String,
    group: Option<&'a str>,
    version: Option<VersionFields<'a>>,
    specification: Option<SpecificationFields<'a>>,
}

#[derive(Serialize)]
struct EventFields<'a> {
    id: &'a DefinitionId,
    name: &'a str,
    key: &'a Slug,
    description: Option<&'a str>,
    group: Option<&'a str>,
    version: Option<VersionFields<'a>>,
    specification: Option<SpecificationFields<'a>>,
}

#[derive(Serialize)]
struct VersionFields<'a> {
    value: &'a str,
    deprecated: Option<bool>,
    deprecated_since: Option<&'a str>,
    for_removal: Option<bool>,
}

#[derive(Serialize)]
struct SpecificationFields<'a> {
    kind: &'a str,
    format: &'a str,
    #[serde(flatten)]
    text: TextFields,
}

#[derive(Serialize)]
struct DocumentFields<'a> {
    id: &'a DefinitionId,
    title: &'a str,
    key: &'a Slug,
    display_name: &'a str,
    description: &'a str,
    format: &'a str,
    kind: Option<&'a str>,
    #[serde(flatten)]
    text: TextFields,
}

/// Where a text is, if it is there: below the folder of its bundle.
#[derive(Serialize)]
struct TextFields {
    file: Option<String>,
    sha256: Option<Sha256>,
}

impl TextFields {
    fn new(folder: &str, key: &Slug, format: &str, reading: Option<Reading>) -> Self {
        let sha256 = reading.and_then(|reading| reading.text);
        Self { file: sha256.map(|_| place(folder, key, format)), sha256 }
    }
}

#[derive(Serialize)]
struct CredentialsFields<'a> {
    usable: bool,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    not_understood: Option<&'a str>,
    instances: Vec<InstanceFields<'a>>,
}

#[derive(Serialize)]
struct InstanceFields<'a> {
    id: &'a InstanceAuthId,
    condition: &'a str,
}

/// The word for a kind of credential.
pub(crate) fn kind(credential: &Credential) -> &'static str {
    match credential {
        Credential::None => "none",
        Credential::Basic { .. } => "basic",
        Credential::OAuth { .. } => "oauth",
        Credential::CertificateOAuth { .. } => "certificate_oauth",
        Credential::Unknown(_) => "unknown",
    }
}

/// The type of credentials that are there and that this program does not understand, where there are no others.
pub(crate) fn not_understood(bundle: &Bundle) -> Option<&str> {
    if bundle.usable_auth().is_some() {
        return None;
    }
    let own = bundle.own_auths().filter_map(|instance| instance.auth.as_ref());
    own.chain(&bundle.default_auth).find_map(|auth| match &auth.credential {
        Credential::Unknown(name) => Some(&**name),
        Credential::None
        | Credential::Basic { .. }
        | Credential::OAuth { .. }
        | Credential::CertificateOAuth { .. } => None,
    })
}

impl<'a> ApplicationFile<'a> {
    pub(super) fn new(application: &'a Application, naming: Naming, names: &'a ApplicationNames) -> Self {
        let place =
            |(bundle, folder): (&'a Bundle, &'a Slug)| BundlePlace { id: &bundle.id, name: &bundle.name, folder };
        let bundles = names.bundles_of(application).map(place).collect();
        Self { version: VERSION, application: ApplicationFields::new(application, naming), bundles }
    }
}

impl<'a> BundleFile<'a> {
    pub(super) fn new(bundle: &'a Bundle, names: &'a ApplicationNames) -> Self {
        Self { version: VERSION, bundle: BundleFields::new(bundle, names) }
    }
}

impl<'a> CatalogueApplication<'a> {
    /// The application, with its folder and the names inside.
    pub(super) fn new(
        application: &'a Application,
        naming: Naming,
        folder: &'a Slug,
        names: &'a ApplicationNames,
    ) -> Self {
        Self {
            folder,
            application: ApplicationFields::new(application, naming),
            bundles: names
                .bundles_of(application)
                .map(|(bundle, folder)| CatalogueBundle { folder, bundle: BundleFields::new(bundle, names) })
                .collect(),
        }
    }
}

impl<'a> ApplicationFields<'a> {
    fn new(application: &'a Application, naming: Naming) -> Self {
        // Without `..`: whoever adds a field decides here whether everybody may read it.
        let Application {
            id,
            name,
            provider,
            description,
            base_url,
            system_number,
            local_tenant_id,
            health_check_url,
            labels,
            condition,
            events_url,
            system_status,
            error,
            deleted_at,
            bundles: _,
        } = application;
        Self {
            id,
            name,
            normalized_name: naming.apply(name),
            provider: provider.as_deref(),
            description: description.as_deref(),
            base_url: base_url.as_deref().map(without_userinfo),
            system_number: system_number.as_deref(),
            local_tenant_id: local_tenant_id.as_deref(),
            health_check_url: health_check_url.as_deref().map(without_userinfo),
            events_url: events_url.as_deref().map(without_userinfo),
            condition: condition.as_deref(),
            system_status: system_status.as_deref(),
            error: error.as_deref(),
            deleted_at: deleted_at.as_deref(),
            labels: labels.iter().map(|(key, value)| (&**key, Sorted(value))).collect(),
        }
    }
}

impl<'a> BundleFields<'a> {
    fn new(bundle: &'a Bundle, names: &'a ApplicationNames) -> Self {
        let Bundle {
            id,
            name,
            description,
            request_schema,
            apis: _,
            events: _,
            documents: _,
            default_auth: _,
            instance_auths: _,
        } = bundle;
        // Not those of bindings: they are their holders' affair, and nobody else's files change with them.
        let mut instances: Vec<_> = bundle
            .own_auths()
            .map(|instance| InstanceFields { id: &instance.id, condition: instance.condition.as_str() })
            .collect();
        instances.sort_by_key(|instance| instance.id);
        let usable = bundle.usable_auth();
        Self {
            id,
            name,
            description: description.as_deref(),
            request_schema: request_schema.as_deref(),
            apis: names.apis_of(bundle).map(ApiFields::from).collect(),
            events: names.events_of(bundle).map(EventFields::from).collect(),
            documents: names.documents_of(bundle).map(DocumentFields::from).collect(),
            credentials: CredentialsFields {
                usable: usable.is_some(),
                kind: usable.map(|auth| kind(&auth.credential)),
                not_understood: not_understood(bundle),
                instances,
            },
        }
    }
}

impl<'a> From<(&'a ApiDefinition, &'a Slug)> for ApiFields<'a> {
    fn from((api, key): (&'a ApiDefinition, &'a Slug)) -> Self {
        let ApiDefinition { id, name, description, target_url, group, version, specification } = api;
        Self {
            id,
            name,
            key,
            description: description.as_deref(),
            target_url: without_userinfo(target_url),
            group: group.as_deref(),
            version: version.as_ref().map(VersionFields::from),
            specification: specification.as_ref().map(|of| SpecificationFields::new("apis", key, of)),
        }
    }
}

impl<'a> From<(&'a EventDefinition, &'a Slug)> for EventFields<'a> {
    fn from((event, key): (&'a EventDefinition, &'a Slug)) -> Self {
        let EventDefinition { id, name, description, group, version, specification } = event;
        Self {
            id,
            name,
            key,
            description: description.as_deref(),
            group: group.as_deref(),
            version: version.as_ref().map(VersionFields::from),
            specification: specification.as_ref().map(|of| SpecificationFields::new("events", key, of)),
        }
    }
}

impl<'a> From<&'a Version> for VersionFields<'a> {
    fn from(version: &'a Version) -> Self {
        let Version { value, deprecated, deprecated_since, for_removal } = version;
        let deprecated_since = deprecated_since.as_deref();
        Self { value, deprecated: *deprecated, deprecated_since, for_removal: *for_removal }
    }
}

impl<'a> SpecificationFields<'a> {
    fn new(folder: &str, key: &Slug, specification: &'a Specification) -> Self {
        let Specification { id: _, kind, format, reading } = specification;
        Self { kind, format, text: TextFields::new(folder, key, format, *reading) }
    }
}

impl<'a> From<(&'a Document, &'a Slug)> for DocumentFields<'a> {
    fn from((document, key): (&'a Document, &'a Slug)) -> Self {
        let Document { id, title, display_name, description, format, kind, reading } = document;
        Self {
            id,
            title,
            key,
            display_name,
            description,
            format,
            kind: kind.as_deref(),
            text: TextFields::new("documents", key, format, *reading),
        }
    }
}

/// Any JSON, with the keys of its objects in order: the bytes must not depend on the order in which the plane wrote
/// them, whatever map `serde_json` was built with.
pub(crate) struct Sorted<'a>(pub(crate) &'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                let sorted: BTreeMap<_, _> = object.iter().collect();
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (key, value) in sorted {
                    map.serialize_entry(key, &Sorted(value))?;
                }
                map.end()
            }
            Value::Array(list) => serializer.collect_seq(list.iter().map(Sorted)),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain.serialize(serializer),
        }
    }
}
