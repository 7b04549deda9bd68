//! The fields of credentials, and of the bindings that have some of their own. Secrets are there only for who names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::Value;
use secrecy::{ExposeSecret as _, SecretString};

use super::optional;
use crate::output::{kind, not_understood};
use crate::snapshot::{Auth, Credential, Csrf, InstanceAuth};
use crate::template::landscape::Land;
use crate::template::view::{Fields, Table, View};

/// A binding.
pub(in crate::template) struct BindingView {
    pub(in crate::template) land: Arc<Land>,
    pub(in crate::template) application: usize,
    pub(in crate::template) bundle: usize,
    pub(in crate::template) binding: usize,
}

impl Fields for BindingView {
    const KIND: &'static str = "a binding";
    const SHOWN: &'static [&'static str] = &["id", "instance_id", "auth_id", "slug"];

    fn field(&self, name: &str) -> Option<Value> {
        let (binding, auth) = self.land.binding(self.application, self.bundle, self.binding);
        Some(match name {
            "id" => Value::from(binding.id.as_str()),
            "instance_id" => Value::from(binding.instance.as_str()),
            "auth_id" => Value::from(auth.id.as_str()),
            "slug" => Value::from(binding.slug.as_str()),
            _ => return None,
        })
    }
}

/// Whose credentials they are.
#[derive(Clone, Copy)]
pub(in crate::template) enum Holder {
    /// Everybody's on this host who uses the bundle.
    Bundle,
    /// Those of one of its bindings.
    Binding(usize),
}

/// The credentials of a bundle, or of one binding. Those that cannot be used hold nothing.
pub(in crate::template) struct CredentialsView {
    pub(in crate::template) land: Arc<Land>,
    pub(in crate::template) application: usize,
    pub(in crate::template) bundle: usize,
    pub(in crate::template) holder: Holder,
}

impl CredentialsView {
    fn auth(&self) -> Option<&Auth> {
        match self.holder {
            Holder::Bundle => self.land.bundle(self.application, self.bundle).usable_auth(),
            Holder::Binding(binding) => self.land.binding(self.application, self.bundle, binding).1.usable_auth(),
        }
    }

    /// The type of those that are there and not understood; a binding whose are not is none that templates see.
    fn not_understood(&self) -> Option<&str> {
        match self.holder {
            Holder::Bundle => not_understood(self.land.bundle(self.application, self.bundle)),
            Holder::Binding(_) => None,
        }
    }

    fn instances(&self) -> Vec<&InstanceAuth> {
        match self.holder {
            Holder::Bundle => {
                let mut instances: Vec<_> = self.land.bundle(self.application, self.bundle).own_auths().collect();
                instances.sort_by_key(|instance| &instance.id);
                instances
            }
            Holder::Binding(binding) => vec![self.land.binding(self.application, self.bundle, binding).1],
        }
    }
}

impl Fields for CredentialsView {
    const KIND: &'static str = "credentials";
    const SHOWN: &'static [&'static str] = &["usable", "type", "not_understood", "instances"];
    const BY_NAME: &'static [&'static str] = &[
        "username",
        "password",
        "client_id",
        "client_secret",
        "token_url",
        "certificate",
        "headers",
        "query_parameters",
        "csrf",
        "certificate_common_name",
        "access_strategy",
    ];

    fn field(&self, name: &str) -> Option<Value> {
        let auth = self.auth();
        Some(match name {
            "usable" => Value::from(auth.is_some()),
            "type" => optional(auth.map(|auth| kind(&auth.credential))),
            "not_understood" => optional(self.not_understood()),
            "instances" => Value::from(self.instances().into_iter().map(InstanceView::value).collect::<Vec<_>>()),
            "headers" => lists("the headers", auth.map(|auth| &auth.headers)),
            "query_parameters" => lists("the query parameters", auth.map(|auth| &auth.query_parameters)),
            "csrf" => auth
                .and_then(|auth| auth.csrf.as_ref())
                .map_or_else(|| Value::from(()), |csrf| View::value(CsrfView(csrf.clone()))),
            "certificate_common_name" => optional(auth.and_then(|auth| auth.certificate_common_name.as_deref())),
            "access_strategy" => optional(auth.and_then(|auth| auth.access_strategy.as_deref())),
            _ => credential(auth.map(|auth| &auth.credential), name)?,
        })
    }
}

/// What a credential holds under a name: nothing, where it is of a type without that.
fn credential(credential: Option<&Credential>, name: &str) -> Option<Value> {
    let text = match (credential, name) {
        (Some(Credential::Basic { username, .. }), "username") => Some(&**username),
        (Some(Credential::Basic { password, .. }), "password") => Some(password.expose_secret()),
        (Some(Credential::OAuth { client_id, .. } | Credential::CertificateOAuth { client_id, .. }), "client_id") => {
            Some(&**client_id)
        }
        (Some(Credential::OAuth { client_secret, .. }), "client_secret") => Some(client_secret.expose_secret()),
        (Some(Credential::OAuth { url, .. } | Credential::CertificateOAuth { url, .. }), "token_url") => Some(&**url),
        (Some(Credential::CertificateOAuth { certificate, .. }), "certificate") => Some(certificate.expose_secret()),
        (_, "username" | "password" | "client_id" | "client_secret" | "token_url" | "certificate") => None,
        _ => return None,
    };
    Some(optional(text))
}

fn lists(kind: &'static str, lists: Option<&BTreeMap<Box<str>, Vec<SecretString>>>) -> Value {
    let entries = lists.into_iter().flatten().map(|(name, values)| {
        let values: Vec<Value> = values.iter().map(|value| Value::from(value.expose_secret())).collect();
        ((**name).into(), Value::from(values))
    });
    Value::from_object(Table { kind, entries: entries.collect() })
}

/// Where a CSRF token is fetched, and with what.
struct CsrfView(Csrf);

impl Fields for CsrfView {
    const KIND: &'static str = "the CSRF endpoint";
    const SHOWN: &'static [&'static str] = &["type"];
    const BY_NAME: &'static [&'static str] = &[
        "url",
        "username",
        "password",
        "client_id",
        "client_secret",
        "token_url",
        "certificate",
        "headers",
        "query_parameters",
    ];

    fn field(&self, name: &str) -> Option<Value> {
        let Csrf { token_url, credential: held, headers, query_parameters } = &self.0;
        Some(match name {
            "url" => Value::from(&**token_url),
            "type" => Value::from(kind(held)),
            "headers" => lists("the headers", Some(headers)),
            "query_parameters" => lists("the query parameters", Some(query_parameters)),
            _ => credential(Some(held), name)?,
        })
    }
}

/// A request for credentials, and where it stands.
struct InstanceView {
    id: Box<str>,
    condition: Box<str>,
    message: Option<Box<str>>,
}

impl InstanceView {
    fn value(instance: &InstanceAuth) -> Value {
        View::value(Self {
            id: instance.id.as_str().into(),
            condition: instance.condition.as_str().into(),
            message: instance.message.clone(),
        })
    }
}

impl Fields for InstanceView {
    const KIND: &'static str = "an instance";
    const SHOWN: &'static [&'static str] = &["id", "condition"];
    const BY_NAME: &'static [&'static str] = &["message"];

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "id" => Value::from(&*self.id),
            "condition" => Value::from(&*self.condition),
            "message" => optional(self.message.as_deref()),
            _ => return None,
        })
    }
}
