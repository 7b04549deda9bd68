//! `Auth` and the credentials below it.

use async_graphql::{
    Value,
    dynamic::{Field, FieldValue, Object, SchemaBuilder, TypeRef, Union},
};
use serde_json::json;

use super::field::{inner, maybe, nn, of, text};
use crate::{
    Dialect,
    model::{Auth, Credential, Csrf, Parameters, RequestAuth},
};

fn json<T: serde::Serialize>(value: &T) -> Option<Value> {
    Value::from_json(json!(value)).ok()
}

fn credential<T: std::any::Any>(get: for<'a> fn(&'a T) -> Option<&'a Credential>) -> Field {
    of::<T>("credential", maybe("CredentialData"), move |parent, _| {
        Ok(get(parent).map(|credential| {
            let kind = match credential {
                Credential::Basic { .. } => "BasicCredentialData",
                Credential::Oauth { .. } => "OAuthCredentialData",
                Credential::CertificateOauth { .. } => "CertificateOAuthCredentialData",
            };
            FieldValue::borrowed_any(credential).with_type(kind)
        }))
    })
}

fn parameters<T: std::any::Any>(name: &str, kind: &str, get: for<'a> fn(&'a T) -> Option<&'a Parameters>) -> Field {
    of::<T>(name, maybe(kind), move |parent, _| Ok(get(parent).and_then(json).map(FieldValue::value)))
}

/// The older dialect has no certificate credentials; there such an API appears to need none.
fn speakable(credential: Option<&Credential>) -> Option<&Credential> {
    credential.filter(|credential| !matches!(credential, Credential::CertificateOauth { .. }))
}

pub(crate) fn register(builder: SchemaBuilder, dialect: Dialect) -> SchemaBuilder {
    let mut auth = Object::new("Auth");
    let mut csrf = Object::new("CSRFTokenCredentialRequestAuth");
    let mut data =
        Union::new("CredentialData").possible_type("BasicCredentialData").possible_type("OAuthCredentialData");
    let mut builder = builder;
    match dialect {
        Dialect::Bundle => {
            auth = auth
                .field(credential::<Auth>(|auth| auth.credential.as_ref()))
                .field(text::<Auth>("certCommonName", maybe(TypeRef::STRING), |auth| auth.cert_common_name.as_deref()))
                .field(text::<Auth>("accessStrategy", maybe(TypeRef::STRING), |auth| auth.access_strategy.as_deref()));
            csrf = csrf.field(credential::<Csrf>(|csrf| csrf.credential.as_ref()));
            data = data.possible_type("CertificateOAuthCredentialData");
            builder = builder.register(certificate_oauth());
        }
        Dialect::Package => {
            auth = auth.field(credential::<Auth>(|auth| speakable(auth.credential.as_ref())));
            csrf = csrf.field(credential::<Csrf>(|csrf| speakable(csrf.credential.as_ref())));
        }
    }
    let auth = auth
        .field(parameters::<Auth>("additionalHeaders", "HttpHeaders", |auth| auth.additional_headers.as_ref()))
        .field(parameters::<Auth>("additionalQueryParams", "QueryParams", |auth| auth.additional_query_params.as_ref()))
        .field(inner::<Auth, RequestAuth>("requestAuth", maybe("CredentialRequestAuth"), |auth| {
            auth.request_auth.as_ref()
        }));
    let csrf = csrf
        .field(text::<Csrf>("tokenEndpointURL", nn(TypeRef::STRING), |csrf| Some(&csrf.token_endpoint_url)))
        .field(parameters::<Csrf>("additionalHeaders", "HttpHeaders", |csrf| csrf.additional_headers.as_ref()))
        .field(parameters::<Csrf>("additionalQueryParams", "QueryParams", |csrf| {
            csrf.additional_query_params.as_ref()
        }));
    let request = Object::new("CredentialRequestAuth").field(inner::<RequestAuth, Csrf>(
        "csrf",
        maybe("CSRFTokenCredentialRequestAuth"),
        |request| request.csrf.as_ref(),
    ));
    builder.register(auth).register(csrf).register(request).register(basic()).register(oauth()).register(data)
}

fn part(name: &str, kind: &str, get: fn(&Credential) -> Option<&str>) -> Field {
    text::<Credential>(name, nn(kind), get)
}

fn basic() -> Object {
    Object::new("BasicCredentialData")
        .field(part("username", TypeRef::STRING, |credential| match credential {
            Credential::Basic { username, .. } => Some(username),
            Credential::Oauth { .. } | Credential::CertificateOauth { .. } => None,
        }))
        .field(part("password", TypeRef::STRING, |credential| match credential {
            Credential::Basic { password, .. } => Some(password),
            Credential::Oauth { .. } | Credential::CertificateOauth { .. } => None,
        }))
}

fn oauth() -> Object {
    Object::new("OAuthCredentialData")
        .field(part("clientId", TypeRef::ID, |credential| match credential {
            Credential::Oauth { client_id, .. } => Some(client_id),
            Credential::Basic { .. } | Credential::CertificateOauth { .. } => None,
        }))
        .field(part("clientSecret", TypeRef::STRING, |credential| match credential {
            Credential::Oauth { client_secret, .. } => Some(client_secret),
            Credential::Basic { .. } | Credential::CertificateOauth { .. } => None,
        }))
        .field(part("url", TypeRef::STRING, |credential| match credential {
            Credential::Oauth { url, .. } => Some(url),
            Credential::Basic { .. } | Credential::CertificateOauth { .. } => None,
        }))
}

fn certificate_oauth() -> Object {
    Object::new("CertificateOAuthCredentialData")
        .field(part("clientId", TypeRef::ID, |credential| match credential {
            Credential::CertificateOauth { client_id, .. } => Some(client_id),
            Credential::Basic { .. } | Credential::Oauth { .. } => None,
        }))
        .field(part("certificate", TypeRef::STRING, |credential| match credential {
            Credential::CertificateOauth { certificate, .. } => Some(certificate),
            Credential::Basic { .. } | Credential::Oauth { .. } => None,
        }))
        .field(part("url", TypeRef::STRING, |credential| match credential {
            Credential::CertificateOauth { url, .. } => Some(url),
            Credential::Basic { .. } | Credential::Oauth { .. } => None,
        }))
}
