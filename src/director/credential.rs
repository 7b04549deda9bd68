//! Credentials as they come: every value that could be a secret becomes one while it is read.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::snapshot;

type Parameters = BTreeMap<Box<str>, Vec<SecretString>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an Auth")]
pub(super) struct Auth {
    #[serde(default, deserialize_with = "credential")]
    credential: Option<snapshot::Credential>,
    #[serde(default, deserialize_with = "parameters")]
    additional_headers: Parameters,
    #[serde(default, deserialize_with = "parameters")]
    additional_query_params: Parameters,
    request_auth: Option<RequestAuth>,
    cert_common_name: Option<Box<str>>,
    access_strategy: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a request auth")]
struct RequestAuth {
    csrf: Option<Csrf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a CSRF configuration")]
struct Csrf {
    #[serde(rename = "tokenEndpointURL")]
    token_endpoint_url: Box<str>,
    #[serde(default, deserialize_with = "credential")]
    credential: Option<snapshot::Credential>,
    #[serde(default, deserialize_with = "parameters")]
    additional_headers: Parameters,
    #[serde(default, deserialize_with = "parameters")]
    additional_query_params: Parameters,
}

impl From<Auth> for snapshot::Auth {
    fn from(wire: Auth) -> Self {
        Self {
            credential: wire.credential.unwrap_or(snapshot::Credential::None),
            headers: wire.additional_headers,
            query_parameters: wire.additional_query_params,
            csrf: wire.request_auth.and_then(|request| request.csrf).map(Into::into),
            certificate_common_name: wire.cert_common_name,
            access_strategy: wire.access_strategy,
        }
    }
}

impl From<Csrf> for snapshot::Csrf {
    fn from(wire: Csrf) -> Self {
        Self {
            token_url: wire.token_endpoint_url,
            credential: wire.credential.unwrap_or(snapshot::Credential::None),
            headers: wire.additional_headers,
            query_parameters: wire.additional_query_params,
        }
    }
}

/// All fields of all kinds. An enum tagged by `__typename` would make serde buffer the values, and the buffer is not
/// wiped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a credential")]
struct Fields {
    #[serde(rename = "__typename")]
    kind: Box<str>,
    username: Option<Box<str>>,
    password: Option<SecretString>,
    client_id: Option<Box<str>>,
    client_secret: Option<SecretString>,
    certificate: Option<SecretString>,
    url: Option<Box<str>>,
}

fn credential<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<snapshot::Credential>, D::Error> {
    let Some(fields) = Option::<Fields>::deserialize(deserializer)? else { return Ok(None) };
    Ok(Some(match &*fields.kind {
        "BasicCredentialData" => snapshot::Credential::Basic {
            username: fields.username.ok_or_else(|| D::Error::missing_field("username"))?,
            password: fields.password.ok_or_else(|| D::Error::missing_field("password"))?,
        },
        "OAuthCredentialData" => snapshot::Credential::OAuth {
            client_id: fields.client_id.ok_or_else(|| D::Error::missing_field("clientId"))?,
            client_secret: fields.client_secret.ok_or_else(|| D::Error::missing_field("clientSecret"))?,
            url: fields.url.ok_or_else(|| D::Error::missing_field("url"))?,
        },
        "CertificateOAuthCredentialData" => snapshot::Credential::CertificateOAuth {
            client_id: fields.client_id.ok_or_else(|| D::Error::missing_field("clientId"))?,
            certificate: fields.certificate.ok_or_else(|| D::Error::missing_field("certificate"))?,
            url: fields.url.ok_or_else(|| D::Error::missing_field("url"))?,
        },
        _ => snapshot::Credential::Unknown(fields.kind),
    }))
}

fn parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Parameters, D::Error> {
    let map = Option::<BTreeMap<Box<str>, Values>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map.into_iter().map(|(name, Values(values))| (name, values)).collect())
}

/// The values of one header or query parameter: a list of texts; a bare text is taken as a list of one.
struct Values(Vec<SecretString>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Values, E> {
        Ok(Values(vec![value.into()]))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Values, E> {
        Ok(Values(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Values(values))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn decode(value: &serde_json::Value) -> Result<snapshot::Auth, String> {
        let text = value.to_string();
        let mut reader = serde_json::Deserializer::from_str(&text);
        let decoded = serde_path_to_error::deserialize::<_, Auth>(&mut reader);
        decoded.map(Into::into).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_credential_is_known_by_its_name() {
        use snapshot::Credential as C;
        let credential = |value: serde_json::Value| decode(&json!({ "credential": value })).unwrap().credential;
        assert!(matches!(credential(json!(null)), C::None));
        let basic = credential(json!({ "__typename": "BasicCredentialData", "username": "u", "password": "p" }));
        assert!(
            matches!(basic, C::Basic { username, password } if &*username == "u" && password.expose_secret() == "p")
        );
        // The order of the keys is the plane's choice.
        let oauth = json!({ "url": "l", "clientSecret": "s", "clientId": "c", "__typename": "OAuthCredentialData" });
        assert!(matches!(credential(oauth), C::OAuth { client_secret, .. } if client_secret.expose_secret() == "s"));
        let certificate =
            json!({ "__typename": "CertificateOAuthCredentialData", "clientId": "c", "certificate": "x", "url": "l" });
        assert!(
            matches!(credential(certificate), C::CertificateOAuth { certificate, .. } if certificate.expose_secret() == "x")
        );
        assert!(matches!(credential(json!({ "__typename": "Passkey" })), C::Unknown(kind) if &*kind == "Passkey"));
    }

    #[test]
    fn a_credential_that_lacks_a_part_is_refused_by_its_path() {
        let auth = json!({ "requestAuth": { "csrf": {
            "tokenEndpointURL": "u",
            "credential": { "__typename": "BasicCredentialData", "username": "u" },
        } } });
        let error = decode(&auth).unwrap_err();
        assert!(error.starts_with("requestAuth.csrf.credential: missing field `password`"), "{error}");
    }

    #[test]
    fn header_values_come_as_lists_or_bare() {
        let auth = decode(&json!({
            "additionalHeaders": { "a": ["1", "2"], "b": "3", "c": [], "d": null },
            "additionalQueryParams": null,
        }))
        .unwrap();
        let plain: Vec<_> = auth
            .headers
            .iter()
            .map(|(name, values)| (&**name, values.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>()))
            .collect();
        assert_eq!(plain, [("a", vec!["1", "2"]), ("b", vec!["3"]), ("c", vec![]), ("d", vec![])]);
        assert!(auth.query_parameters.is_empty());
        assert!(decode(&json!({ "additionalHeaders": { "a": 7 } })).is_err());
    }

    #[test]
    fn nothing_that_could_be_a_secret_is_printed() {
        let auth = decode(&json!({
            "credential": { "__typename": "OAuthCredentialData", "clientId": "c", "clientSecret": "canary-1", "url": "l" },
            "additionalHeaders": { "a": ["canary-2"] },
            "additionalQueryParams": { "a": "canary-3" },
            "requestAuth": { "csrf": { "tokenEndpointURL": "u", "credential": {
                "__typename": "CertificateOAuthCredentialData", "clientId": "c", "certificate": "canary-4", "url": "l",
            }, "additionalHeaders": { "a": ["canary-5"] } } },
        }))
        .unwrap();
        let printed = format!("{auth:?}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}
