//! What a binding hands out: where a plan's APIs are called, and what with. All of it is a secret.
//!
//! ```text
//! {"id": …, "credentials_type": "no_auth" | "basic_auth" | "oauth" | "certificate_oauth",
//!  "target_urls": {API's name: URL},
//!  "auth_details": {"auth": {…},
//!                   "request_parameters": {"headers": {name: [value]}, "query_parameters": {name: [value]}},
//!                   "csrf_config": {"token_url": …, "credentials_type": …, "auth": {…}, "request_parameters": {…}},
//!                   "certificate_common_name": …, "access_strategy": …}}
//! ```
//!
//! The keys in `auth` are those of the published `credentials.json`, see [`crate::output`]. The last three of
//! `auth_details` are there only where the plane says something.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::endpoints::Endpoint;
use super::targets::{Api, target_urls};
use crate::ids::InstanceAuthId;
use crate::output::{Content, Lists, Value, lists, measured, values};
use crate::snapshot::{Auth, Credential, Csrf};

/// The credentials of a binding, a JSON object. It is wiped from memory when dropped.
#[derive(Clone)]
pub struct Credentials(Content);

/// The plane gave credentials of a kind that came after this program was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the management plane gave credentials of the type {0:?}, which this version of the agent does not understand, so none \
     are handed out; a newer version may"
)]
pub struct NotUnderstood(pub Box<str>);

#[derive(Serialize)]
struct Fields<'a> {
    id: &'a InstanceAuthId,
    credentials_type: &'static str,
    target_urls: BTreeMap<String, Exposed<'a>>,
    auth_details: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    auth: BTreeMap<&'static str, Value<'a>>,
    request_parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_config: Option<CsrfConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_common_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_strategy: Option<&'a str>,
}

#[derive(Serialize, Default)]
struct Parameters<'a> {
    headers: Lists<'a>,
    query_parameters: Lists<'a>,
}

#[derive(Serialize)]
struct CsrfConfig<'a> {
    token_url: &'a str,
    credentials_type: &'static str,
    auth: BTreeMap<&'static str, Value<'a>>,
    request_parameters: Parameters<'a>,
}

/// A URL that is read only while it is being written.
struct Exposed<'a>(&'a SecretString);

impl Serialize for Exposed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl Credentials {
    /// What the plane gave under this id for these APIs. No `auth` means that the APIs ask for none; whether the request
    /// for it has succeeded is for the caller to know.
    ///
    /// # Errors
    /// When any part of it is not understood. Half of what a caller needs is nothing to hand out.
    pub fn new(id: &InstanceAuthId, auth: Option<&Auth>, apis: &[Api]) -> Result<Self, NotUnderstood> {
        let (credentials_type, auth_details) = match auth {
            Some(auth) => (credentials_type(&auth.credential)?, Details::new(auth)?),
            None => (credentials_type(&Credential::None)?, Details::none()),
        };
        let target_urls = target_urls(apis).into_iter().map(|(key, url)| (key, Exposed(url))).collect();
        let fields = Fields { id, credentials_type, target_urls, auth_details };
        Ok(Self(measured(|out| Ok(serde_json::to_writer(out, &fields)?))))
    }

    /// The JSON object, to be written and not to be kept.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The body of an answer that hands them out, besides where they are used.
    pub fn body(&self, endpoints: &[Endpoint]) -> Content {
        measured(|out| {
            out.write_all(b"{\"credentials\":")?;
            out.write_all(&self.0)?;
            if !endpoints.is_empty() {
                out.write_all(b",\"endpoints\":")?;
                serde_json::to_writer(&mut *out, endpoints)?;
            }
            out.write_all(b"}")
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
    }
}

impl<'a> Details<'a> {
    fn new(auth: &'a Auth) -> Result<Self, NotUnderstood> {
        // Without `..`: a field that comes later is not forgotten here.
        let Auth { credential, headers, query_parameters, csrf, certificate_common_name, access_strategy } = auth;
        Ok(Self {
            auth: values(credential),
            request_parameters: Parameters { headers: lists(headers), query_parameters: lists(query_parameters) },
            csrf_config: csrf.as_ref().map(CsrfConfig::new).transpose()?,
            certificate_common_name: certificate_common_name.as_deref(),
            access_strategy: access_strategy.as_deref(),
        })
    }

    fn none() -> Self {
        Self {
            auth: BTreeMap::new(),
            request_parameters: Parameters::default(),
            csrf_config: None,
            certificate_common_name: None,
            access_strategy: None,
        }
    }
}

impl<'a> CsrfConfig<'a> {
    fn new(csrf: &'a Csrf) -> Result<Self, NotUnderstood> {
        let Csrf { token_url, credential, headers, query_parameters } = csrf;
        Ok(Self {
            token_url,
            credentials_type: credentials_type(credential)?,
            auth: values(credential),
            request_parameters: Parameters { headers: lists(headers), query_parameters: lists(query_parameters) },
        })
    }
}

fn credentials_type(credential: &Credential) -> Result<&'static str, NotUnderstood> {
    match credential {
        Credential::None => Ok("no_auth"),
        Credential::Basic { .. } => Ok("basic_auth"),
        Credential::OAuth { .. } => Ok("oauth"),
        Credential::CertificateOAuth { .. } => Ok("certificate_oauth"),
        Credential::Unknown(name) => Err(NotUnderstood(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::endpoints::endpoints;
    use super::*;
    use crate::snapshot::example::{api, auth};

    fn apis() -> Vec<Api> {
        vec![Api::from(&api("1", "Orders", "https://user:pass@example.com/orders"))]
    }

    fn made(auth: Option<&Auth>) -> Result<Json, NotUnderstood> {
        let credentials = Credentials::new(&"auth-1".parse().unwrap(), auth, &apis())?;
        Ok(serde_json::from_slice(credentials.expose()).unwrap())
    }

    fn basic() -> Credential {
        Credential::Basic { username: "u".into(), password: "p\"\n".into() }
    }

    #[test]
    fn credentials_have_the_words_of_the_contract() {
        let nothing = json!({ "headers": {}, "query_parameters": {} });
        let expected = |kind: &str, auth: Json| {
            json!({
                "id": "auth-1",
                "credentials_type": kind,
                "target_urls": { "Orders": "https://user:pass@example.com/orders" },
                "auth_details": { "auth": auth, "request_parameters": nothing },
            })
        };
        assert_eq!(made(None), Ok(expected("no_auth", json!({}))));
        assert_eq!(made(Some(&auth(Credential::None))), Ok(expected("no_auth", json!({}))));
        let values = json!({ "username": "u", "password": "p\"\n" });
        assert_eq!(made(Some(&auth(basic()))), Ok(expected("basic_auth", values)));
        let oauth = Credential::OAuth { client_id: "c".into(), client_secret: "s".into(), url: "https://t".into() };
        let values = json!({ "client_id": "c", "client_secret": "s", "token_url": "https://t" });
        assert_eq!(made(Some(&auth(oauth))), Ok(expected("oauth", values)));
        let certificate =
            Credential::CertificateOAuth { client_id: "c".into(), certificate: "x".into(), url: "https://t".into() };
        let values = json!({ "client_id": "c", "certificate": "x", "token_url": "https://t" });
        assert_eq!(made(Some(&auth(certificate))), Ok(expected("certificate_oauth", values)));
    }

    #[test]
    fn everything_that_a_caller_needs_besides_is_there() {
        let list = |name: &str| BTreeMap::from([(name.into(), vec!["1".into(), "2".into()])]);
        let auth = Auth {
            headers: list("h"),
            query_parameters: list("q"),
            csrf: Some(Csrf {
                token_url: "https://csrf".into(),
                credential: basic(),
                headers: list("ch"),
                query_parameters: list("cq"),
            }),
            certificate_common_name: Some("cn".into()),
            access_strategy: Some("open".into()),
            ..auth(Credential::None)
        };
        let expected = json!({
            "auth": {},
            "request_parameters": { "headers": { "h": ["1", "2"] }, "query_parameters": { "q": ["1", "2"] } },
            "csrf_config": {
                "token_url": "https://csrf",
                "credentials_type": "basic_auth",
                "auth": { "username": "u", "password": "p\"\n" },
                "request_parameters": { "headers": { "ch": ["1", "2"] }, "query_parameters": { "cq": ["1", "2"] } },
            },
            "certificate_common_name": "cn",
            "access_strategy": "open",
        });
        assert_eq!(made(Some(&auth)).unwrap()["auth_details"], expected);
    }

    #[test]
    fn of_what_is_not_understood_nothing_is_handed_out() {
        let unknown = || Credential::Unknown("PasskeyCredentialData".into());
        let error = made(Some(&auth(unknown()))).unwrap_err();
        assert_eq!(error, NotUnderstood("PasskeyCredentialData".into()));
        assert!(error.to_string().contains("PasskeyCredentialData"));
        let csrf = Csrf {
            token_url: "https://csrf".into(),
            credential: unknown(),
            headers: BTreeMap::new(),
            query_parameters: BTreeMap::new(),
        };
        let half = Auth { csrf: Some(csrf), ..auth(basic()) };
        assert_eq!(made(Some(&half)), Err(error));
    }

    #[test]
    fn credentials_are_not_printed() {
        let auth = auth(Credential::Basic { username: "canary-1".into(), password: "canary-2".into() });
        let credentials = Credentials::new(&"auth-1".parse().unwrap(), Some(&auth), &apis()).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials([redacted])");
    }

    #[test]
    fn a_binding_says_where_its_credentials_are_used() {
        let credentials = Credentials::new(&"auth-1".parse().unwrap(), None, &apis()).unwrap();
        let body: Json = serde_json::from_slice(&credentials.body(&endpoints(&apis()))).unwrap();
        assert_eq!(body["credentials"]["id"], "auth-1");
        assert_eq!(body["endpoints"], json!([{ "host": "example.com", "ports": ["443"], "protocol": "tcp" }]));
        let body: Json = serde_json::from_slice(&credentials.body(&[])).unwrap();
        assert!(body.get("endpoints").is_none(), "no endpoint known is not the same as none needed");
    }
}
