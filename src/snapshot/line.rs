//! One application as a line of JSON: the form in which applications are on disk. Its types do not follow the plane's
//! words or the program's, so that what an older version wrote can be read for ever.
//!
//! The types own what they hold, and are made one application at a time, so that no more than one is in memory twice.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{ApplicationId, BundleId, DefinitionId, InstanceAuthId};
use crate::snapshot::{self, Sha256};

type Text = Option<Box<str>>;
type Parameters = BTreeMap<Box<str>, Vec<Secret>>;

impl Application {
    fn of(application: &snapshot::Application) -> Self {
        Form::of(application)
    }

    /// As the program works with it.
    pub(crate) fn into_application(self) -> snapshot::Application {
        self.value()
    }
}

/// Writes an application, in one line without its end.
pub(crate) fn write(application: &snapshot::Application, out: impl io::Write) -> io::Result<()> {
    Ok(serde_json::to_writer(out, &Application::of(application))?)
}

/// Reads what [`write`] wrote.
pub(crate) fn read(line: &[u8]) -> serde_json::Result<snapshot::Application> {
    serde_json::from_slice::<Application>(line).map(Application::into_application)
}

/// A text that is shown to nobody but the file.
struct Secret(SecretString);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretString::deserialize(deserializer).map(Self)
    }
}

/// An application, as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Application {
    id: ApplicationId,
    name: Box<str>,
    provider: Text,
    description: Text,
    base_url: Text,
    system_number: Text,
    local_tenant_id: Text,
    health_check_url: Text,
    labels: BTreeMap<Box<str>, Value>,
    condition: Text,
    events_url: Text,
    system_status: Text,
    error: Text,
    deleted_at: Text,
    bundles: Vec<Bundle>,
}

#[derive(Serialize, Deserialize)]
struct Bundle {
    id: BundleId,
    name: Box<str>,
    description: Text,
    request_schema: Text,
    apis: Vec<ApiDefinition>,
    events: Vec<EventDefinition>,
    /// Came later within the version: what was written before has none, and where there are none, nothing is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    documents: Vec<Document>,
    default_auth: Option<Auth>,
    instance_auths: Vec<InstanceAuth>,
}

#[derive(Serialize, Deserialize)]
struct ApiDefinition {
    id: DefinitionId,
    name: Box<str>,
    description: Text,
    target_url: Box<str>,
    group: Text,
    version: Option<Version>,
    specification: Option<Specification>,
}

#[derive(Serialize, Deserialize)]
struct EventDefinition {
    id: DefinitionId,
    name: Box<str>,
    description: Text,
    group: Text,
    version: Option<Version>,
    specification: Option<Specification>,
}

#[derive(Serialize, Deserialize)]
struct Version {
    value: Box<str>,
    deprecated: Option<bool>,
    deprecated_since: Text,
    for_removal: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct Specification {
    /// Came later within the version, as did `reading`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Text,
    kind: Box<str>,
    format: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    id: DefinitionId,
    title: Box<str>,
    display_name: Box<str>,
    description: Box<str>,
    format: Box<str>,
    kind: Text,
    reading: Option<Reading>,
}

#[derive(Serialize, Deserialize)]
struct Reading {
    of: Sha256,
    text: Option<Sha256>,
    read_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct InstanceAuth {
    id: InstanceAuthId,
    condition: Condition,
    message: Text,
    context: Text,
    auth: Option<Auth>,
}

/// The plane's word.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Condition(Box<str>);

#[derive(Serialize, Deserialize)]
struct Auth {
    credential: Credential,
    headers: Parameters,
    query_parameters: Parameters,
    csrf: Option<Csrf>,
    certificate_common_name: Text,
    access_strategy: Text,
}

#[derive(Serialize, Deserialize)]
struct Csrf {
    token_url: Box<str>,
    credential: Credential,
    headers: Parameters,
    query_parameters: Parameters,
}

/// Tagged from outside: other tags would make serde buffer the values, and the buffer is not wiped.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Credential {
    None,
    Basic { username: Box<str>, password: Secret },
    Oauth { client_id: Box<str>, client_secret: Secret, url: Box<str> },
    CertificateOauth { client_id: Box<str>, certificate: Secret, url: Box<str> },
    Unknown(Box<str>),
}

/// A type of this form, and that of the program for the same.
trait Form: Sized {
    /// The program's type.
    type Value;
    /// As it is written.
    fn of(value: &Self::Value) -> Self;
    /// As the program works with it.
    fn value(self) -> Self::Value;
}

/// What is written as it is.
macro_rules! plain {
    ($($kind:ty),+) => {$(
        impl Form for $kind {
            type Value = Self;
            fn of(value: &Self) -> Self {
                value.clone()
            }
            fn value(self) -> Self {
                self
            }
        }
    )+};
}

plain!(Box<str>, bool, Value, Sha256, Timestamp, ApplicationId, BundleId, DefinitionId, InstanceAuthId);

/// What has the same fields in the program. Whoever adds a field there is told by the compiler that it is lost here.
macro_rules! alike {
    ($($kind:ident { $($field:ident),+ })+) => {$(
        impl Form for $kind {
            type Value = snapshot::$kind;
            fn of(value: &snapshot::$kind) -> Self {
                let snapshot::$kind { $($field),+ } = value;
                Self { $($field: Form::of($field)),+ }
            }
            fn value(self) -> snapshot::$kind {
                let Self { $($field),+ } = self;
                snapshot::$kind { $($field: $field.value()),+ }
            }
        }
    )+};
}

alike! {
    Application {
        id, name, provider, description, base_url, system_number, local_tenant_id, health_check_url, labels, condition,
        events_url, system_status, error, deleted_at, bundles
    }
    Bundle { id, name, description, request_schema, apis, events, documents, default_auth, instance_auths }
    ApiDefinition { id, name, description, target_url, group, version, specification }
    EventDefinition { id, name, description, group, version, specification }
    Version { value, deprecated, deprecated_since, for_removal }
    Specification { id, kind, format, reading }
    Document { id, title, display_name, description, format, kind, reading }
    Reading { of, text, read_at }
    InstanceAuth { id, condition, message, context, auth }
    Auth { credential, headers, query_parameters, csrf, certificate_common_name, access_strategy }
    Csrf { token_url, credential, headers, query_parameters }
}

impl<F: Form> Form for Option<F> {
    type Value = Option<F::Value>;
    fn of(value: &Option<F::Value>) -> Self {
        value.as_ref().map(F::of)
    }
    fn value(self) -> Option<F::Value> {
        self.map(F::value)
    }
}

impl<F: Form> Form for Vec<F> {
    type Value = Vec<F::Value>;
    fn of(value: &Vec<F::Value>) -> Self {
        value.iter().map(F::of).collect()
    }
    fn value(self) -> Vec<F::Value> {
        self.into_iter().map(F::value).collect()
    }
}

impl<F: Form> Form for BTreeMap<Box<str>, F> {
    type Value = BTreeMap<Box<str>, F::Value>;
    fn of(value: &BTreeMap<Box<str>, F::Value>) -> Self {
        value.iter().map(|(name, value)| (name.clone(), F::of(value))).collect()
    }
    fn value(self) -> BTreeMap<Box<str>, F::Value> {
        self.into_iter().map(|(name, value)| (name, value.value())).collect()
    }
}

impl Form for Secret {
    type Value = SecretString;
    fn of(value: &SecretString) -> Self {
        Self(value.clone())
    }
    fn value(self) -> SecretString {
        self.0
    }
}

impl Form for Condition {
    type Value = snapshot::Condition;
    fn of(value: &snapshot::Condition) -> Self {
        Self(value.as_str().into())
    }
    fn value(self) -> snapshot::Condition {
        self.0.into()
    }
}

impl Form for Credential {
    type Value = snapshot::Credential;
    fn of(value: &snapshot::Credential) -> Self {
        match value {
            snapshot::Credential::None => Self::None,
            snapshot::Credential::Basic { username, password } => {
                Self::Basic { username: username.clone(), password: Secret::of(password) }
            }
            snapshot::Credential::OAuth { client_id, client_secret, url } => {
                Self::Oauth { client_id: client_id.clone(), client_secret: Secret::of(client_secret), url: url.clone() }
            }
            snapshot::Credential::CertificateOAuth { client_id, certificate, url } => Self::CertificateOauth {
                client_id: client_id.clone(),
                certificate: Secret::of(certificate),
                url: url.clone(),
            },
            snapshot::Credential::Unknown(name) => Self::Unknown(name.clone()),
        }
    }
    fn value(self) -> snapshot::Credential {
        match self {
            Self::None => snapshot::Credential::None,
            Self::Basic { username, password } => snapshot::Credential::Basic { username, password: password.value() },
            Self::Oauth { client_id, client_secret, url } => {
                snapshot::Credential::OAuth { client_id, client_secret: client_secret.value(), url }
            }
            Self::CertificateOauth { client_id, certificate, url } => {
                snapshot::Credential::CertificateOAuth { client_id, certificate: certificate.value(), url }
            }
            Self::Unknown(name) => snapshot::Credential::Unknown(name),
        }
    }
}
