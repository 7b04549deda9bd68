//! `credentials.json` and `credentials.env`: what a bundle is called with, for those who may know.

use std::borrow::Cow;
use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};

use super::address::without_userinfo;
use super::environment::{Environment, key};
use super::folder::{Content, json};
use super::manifest::Slug;
use super::names;
use super::public::{VERSION, kind, not_understood};
use super::render::ApplicationNames;
use crate::ids::{BundleId, InstanceAuthId};
use crate::snapshot::{Auth, Bundle, Credential};

/// A value of the credentials files; it is read only while it is being written.
#[derive(Clone)]
pub(crate) enum Value<'a> {
    /// One that is no secret by itself.
    Plain(Cow<'a, str>),
    /// One that is.
    Secret(&'a SecretString),
}

impl<'a> Value<'a> {
    fn plain(text: &'a str) -> Self {
        Self::Plain(Cow::Borrowed(text))
    }

    /// The value, to be written and not to be kept.
    pub(crate) fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose_secret(),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

/// Values by the names of headers or query parameters.
pub(crate) type Lists<'a> = BTreeMap<&'a str, Vec<Value<'a>>>;

#[derive(Serialize)]
struct CredentialsFile<'a> {
    version: u32,
    bundle: Named<'a>,
    usable: bool,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    not_understood: Option<&'a str>,
    #[serde(flatten)]
    held: Held<'a>,
    target_urls: BTreeMap<&'a str, Value<'a>>,
    instances: Vec<InstanceFields<'a>>,
}

/// What credentials hold; nothing, where there are none that can be used.
#[derive(Serialize)]
pub(super) struct Held<'a> {
    credentials: BTreeMap<&'static str, Value<'a>>,
    headers: Lists<'a>,
    query_parameters: Lists<'a>,
    csrf: Option<CsrfFields<'a>>,
    certificate_common_name: Option<&'a str>,
    access_strategy: Option<&'a str>,
}

#[derive(Serialize)]
struct Named<'a> {
    id: &'a BundleId,
    name: &'a str,
}

#[derive(Serialize)]
struct CsrfFields<'a> {
    url: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    credentials: BTreeMap<&'static str, Value<'a>>,
    headers: Lists<'a>,
    query_parameters: Lists<'a>,
}

#[derive(Serialize)]
struct InstanceFields<'a> {
    id: &'a InstanceAuthId,
    condition: &'a str,
    message: Option<&'a str>,
}

/// Both files of a bundle: `credentials.json` and `credentials.env`.
pub(super) fn files(bundle: &Bundle, names: &ApplicationNames) -> (Content, Content) {
    let file = CredentialsFile::new(bundle, names);
    (json(&file), environment(&file))
}

impl<'a> CredentialsFile<'a> {
    fn new(bundle: &'a Bundle, names: &'a ApplicationNames) -> Self {
        let auth = bundle.usable_auth();
        let mut instances: Vec<_> = bundle
            .own_auths()
            .map(|instance| InstanceFields {
                id: &instance.id,
                condition: instance.condition.as_str(),
                message: instance.message.as_deref(),
            })
            .collect();
        instances.sort_by_key(|instance| instance.id);
        Self {
            version: VERSION,
            bundle: Named { id: &bundle.id, name: &bundle.name },
            usable: auth.is_some(),
            kind: auth.map(|auth| kind(&auth.credential)),
            not_understood: not_understood(bundle),
            held: Held::of(auth),
            target_urls: target_urls(bundle, names, auth),
            instances,
        }
    }
}

impl<'a> Held<'a> {
    pub(super) fn of(auth: Option<&'a Auth>) -> Self {
        Self {
            credentials: auth.map(|auth| values(&auth.credential)).unwrap_or_default(),
            headers: auth.map(|auth| lists(&auth.headers)).unwrap_or_default(),
            query_parameters: auth.map(|auth| lists(&auth.query_parameters)).unwrap_or_default(),
            csrf: auth.and_then(|auth| auth.csrf.as_ref()).map(|csrf| CsrfFields {
                url: &csrf.token_url,
                kind: kind(&csrf.credential),
                credentials: values(&csrf.credential),
                headers: lists(&csrf.headers),
                query_parameters: lists(&csrf.query_parameters),
            }),
            certificate_common_name: auth.and_then(|auth| auth.certificate_common_name.as_deref()),
            access_strategy: auth.and_then(|auth| auth.access_strategy.as_deref()),
        }
    }
}

/// Where the bundle's APIs are called with these credentials, by their keys. A password in a URL is a credential too:
/// without usable ones, no file holds any.
pub(super) fn target_urls<'a>(
    bundle: &'a Bundle,
    names: &'a ApplicationNames,
    auth: Option<&Auth>,
) -> BTreeMap<&'a str, Value<'a>> {
    let url = |url: &'a str| match auth {
        Some(_) => Value::plain(url),
        None => Value::Plain(Cow::Owned(without_userinfo(url))),
    };
    names.apis_of(bundle).map(|(api, key)| (key.as_str(), url(&api.target_url))).collect()
}

/// The parts of a credential by their keys; none for one that this program does not know.
pub(crate) fn values(credential: &Credential) -> BTreeMap<&'static str, Value<'_>> {
    match credential {
        Credential::None | Credential::Unknown(_) => BTreeMap::new(),
        Credential::Basic { username, password } => {
            [("username", Value::plain(username)), ("password", Value::Secret(password))].into()
        }
        Credential::OAuth { client_id, client_secret, url } => [
            ("client_id", Value::plain(client_id)),
            ("client_secret", Value::Secret(client_secret)),
            ("token_url", Value::plain(url)),
        ]
        .into(),
        Credential::CertificateOAuth { client_id, certificate, url } => [
            ("client_id", Value::plain(client_id)),
            ("certificate", Value::Secret(certificate)),
            ("token_url", Value::plain(url)),
        ]
        .into(),
    }
}

/// The values of headers or query parameters, to be written.
pub(crate) fn lists(lists: &BTreeMap<Box<str>, Vec<SecretString>>) -> Lists<'_> {
    lists.iter().map(|(name, values)| (&**name, values.iter().map(Value::Secret).collect())).collect()
}

/// The same as variables. Of credentials that cannot be used, nothing but that.
fn environment(file: &CredentialsFile<'_>) -> Content {
    let mut environment = Environment::default();
    environment.set("BUNDLE_ID", Value::plain(file.bundle.id.as_str()));
    environment.set("CREDENTIALS_USABLE", Value::plain(if file.usable { "true" } else { "false" }));
    if !file.usable {
        return environment.render();
    }
    if let Some(kind) = file.kind {
        environment.set("CREDENTIALS_TYPE", Value::plain(kind));
    }
    let Held { credentials, headers, query_parameters, csrf, certificate_common_name, access_strategy } = &file.held;
    set_all(&mut environment, "", credentials, headers, query_parameters);
    if let Some(csrf) = csrf {
        environment.set("CSRF_URL", Value::plain(csrf.url));
        environment.set("CSRF_TYPE", Value::plain(csrf.kind));
        set_all(&mut environment, "CSRF_", &csrf.credentials, &csrf.headers, &csrf.query_parameters);
    }
    for (name, text) in [("CERTIFICATE_COMMON_NAME", certificate_common_name), ("ACCESS_STRATEGY", access_strategy)] {
        if let Some(text) = text {
            environment.set(name, Value::plain(text));
        }
    }
    if file.target_urls.len() == 1 {
        for url in file.target_urls.values() {
            environment.set("TARGET_URL", url.clone());
        }
    }
    for (slug, url) in &file.target_urls {
        environment.set(&format!("TARGET_URL_{}", key(slug)), url.clone());
    }
    environment.render()
}

fn set_all<'a>(
    environment: &mut Environment<'a>,
    prefix: &str,
    credentials: &BTreeMap<&'static str, Value<'a>>,
    headers: &Lists<'a>,
    query_parameters: &Lists<'a>,
) {
    for (name, value) in credentials {
        environment.set(&format!("{prefix}{}", key(name)), value.clone());
    }
    for (word, lists) in [("HEADER", headers), ("QUERY", query_parameters)] {
        // Their names are their identity, so there is nothing to remember.
        let wanted = lists.keys().map(|name| ((*name).to_owned(), (*name).to_owned()));
        let slugs: BTreeMap<String, Slug> = names::assign("name", &BTreeMap::new(), wanted);
        for (name, values) in lists {
            let variable = format!("{prefix}{word}_{}", key(slugs[*name].as_str()));
            for (number, value) in values.iter().enumerate() {
                // No slug holds two hyphens in a row, so no other name ends like this.
                let variable = if number == 0 { variable.clone() } else { format!("{variable}__{}", number + 1) };
                environment.set(&variable, value.clone());
            }
        }
    }
}
