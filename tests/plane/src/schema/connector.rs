//! The Connector's schema.

use async_graphql::dynamic::{FieldValue, InputValue, Object, Schema, SchemaError, TypeRef};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Call, Failure,
    field::{call, field, inner, maybe, nn, required, text},
};
use crate::{authority::Issued, identity::Caller, serve::Urls};

struct Configuration {
    token: String,
    info: RequestInfo,
    urls: Urls,
}

struct RequestInfo {
    subject: String,
    algorithm: &'static str,
}

struct Certificates {
    chain: String,
    authority: String,
    leaf: String,
}

impl From<Issued> for Certificates {
    fn from(issued: Issued) -> Self {
        Self {
            chain: STANDARD.encode(issued.chain_pem),
            authority: STANDARD.encode(issued.ca_pem),
            leaf: STANDARD.encode(issued.leaf_pem),
        }
    }
}

fn caller(call: &Call) -> Result<&Caller, Failure> {
    if let Some(failure) = &call.failure {
        return Err(failure.clone());
    }
    call.caller.as_ref().ok_or_else(|| {
        Failure::plain(
            "Failed to authenticate request: the token or certificate is missing, unknown, expired or was used before",
        )
    })
}

pub(crate) fn schema() -> Result<Schema, SchemaError> {
    let query = Object::new("Query").field(field("configuration", nn("Configuration"), |context| {
        let call = call(context);
        let Caller { authentication, .. } = caller(call)?;
        let configuration = call.shared.change(|state| {
            let subject = state.subject(authentication)?;
            let token = state.follow_up(authentication);
            let info = RequestInfo { subject, algorithm: state.options.key_algorithm.name() };
            let mut urls = call.shared.urls.clone();
            if let Some(announced) = &state.options.announced_host {
                let (from, to) = (format!("//{}:", state.options.host), format!("//{announced}:"));
                urls.secured_connector = urls.secured_connector.replace(&from, &to);
                urls.director = urls.director.replace(&from, &to);
            }
            Some(Configuration { token, info, urls })
        });
        let configuration = configuration.ok_or_else(|| Failure::internal("the authentication is gone"))?;
        Ok(Some(FieldValue::owned_any(configuration)))
    }));
    let sign = field("signCertificateSigningRequest", nn("CertificationResult"), |context| {
        let call = call(context);
        let Caller { authentication, .. } = caller(call)?;
        let csr = required(context, "csr")?;
        let issued = call.shared.change(|state| state.sign(authentication, &csr)).map_err(Failure::plain)?;
        Ok(Some(FieldValue::owned_any(Certificates::from(issued))))
    });
    let revoke = field("revokeCertificate", nn(TypeRef::BOOLEAN), |context| {
        let call = call(context);
        let Caller { fingerprint, .. } = caller(call)?;
        let fingerprint = fingerprint.as_deref().ok_or_else(|| Failure::plain("Certificate hash is missing"))?;
        Ok(Some(FieldValue::value(call.shared.change(|state| state.revoke_certificate(fingerprint)))))
    });
    let mutation =
        Object::new("Mutation").field(sign.argument(InputValue::new("csr", nn(TypeRef::STRING)))).field(revoke);
    Schema::build("Query", Some("Mutation"), None)
        .register(query)
        .register(mutation)
        .register(
            Object::new("Configuration")
                .field(inner::<Configuration, String>("token", maybe("Token"), |found| Some(&found.token)))
                .field(inner::<Configuration, RequestInfo>(
                    "certificateSigningRequestInfo",
                    maybe("CertificateSigningRequestInfo"),
                    |found| Some(&found.info),
                ))
                .field(inner::<Configuration, Urls>("managementPlaneInfo", maybe("ManagementPlaneInfo"), |found| {
                    Some(&found.urls)
                })),
        )
        .register(Object::new("Token").field(text::<String>("token", nn(TypeRef::STRING), |token| Some(token))))
        .register(
            Object::new("CertificateSigningRequestInfo")
                .field(text::<RequestInfo>("subject", nn(TypeRef::STRING), |info| Some(&info.subject)))
                .field(text::<RequestInfo>("keyAlgorithm", nn(TypeRef::STRING), |info| Some(info.algorithm))),
        )
        .register(
            Object::new("ManagementPlaneInfo")
                .field(text::<Urls>("directorURL", maybe(TypeRef::STRING), |urls| Some(&urls.director)))
                .field(text::<Urls>("certificateSecuredConnectorURL", maybe(TypeRef::STRING), |urls| {
                    Some(&urls.secured_connector)
                })),
        )
        .register(
            Object::new("CertificationResult")
                .field(text::<Certificates>("certificateChain", nn(TypeRef::STRING), |found| Some(&found.chain)))
                .field(text::<Certificates>("caCertificate", nn(TypeRef::STRING), |found| Some(&found.authority)))
                .field(text::<Certificates>("clientCertificate", nn(TypeRef::STRING), |found| Some(&found.leaf))),
        )
        .finish()
}
