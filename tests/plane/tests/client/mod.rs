//! A host as the plane meets one: it pairs, and asks, over real sockets.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use base64::{Engine, engine::general_purpose::STANDARD};
use plane::{Options, Plane, TokenForm};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

pub const CONFIGURATION: &str = "query Configuration { configuration { token { token } \
    certificateSigningRequestInfo { subject keyAlgorithm } \
    managementPlaneInfo { directorURL certificateSecuredConnectorURL } } }";
pub const SIGN: &str = "mutation Sign($csr: String!) { signCertificateSigningRequest(csr: $csr) \
    { certificateChain caCertificate clientCertificate } }";
pub const APPLICATIONS: &str = "query Applications($id: ID!, $first: Int, $after: PageCursor) { \
    applicationsForRuntime(runtimeID: $id, first: $first, after: $after) { \
        data { id name } pageInfo { startCursor endCursor hasNextPage } totalCount } }";

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn data(&self, pointer: &str) -> &Value {
        assert!(self.body.get("errors").is_none(), "{}", self.body);
        self.body["data"].pointer(pointer).unwrap_or(&Value::Null)
    }

    pub fn error(&self) -> &str {
        self.body["errors"][0]["message"].as_str().unwrap_or_default()
    }

    pub fn code(&self) -> i64 {
        self.body["errors"][0]["extensions"]["error_code"].as_i64().unwrap_or_default()
    }
}

pub fn builder(plane: &Plane) -> reqwest::ClientBuilder {
    let ca = reqwest::Certificate::from_pem(plane.server_ca_pem().as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([ca]).no_proxy()
}

pub fn anonymous(plane: &Plane) -> reqwest::Client {
    builder(plane).build().unwrap()
}

pub fn request(client: &reqwest::Client, url: &str, query: &str, variables: &Value) -> reqwest::RequestBuilder {
    client.post(url).json(&json!({ "query": query, "variables": variables }))
}

pub async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, headers, body })
}

pub async fn ask(client: &reqwest::Client, url: &str, query: &str, variables: Value) -> Answer {
    send(request(client, url, query, &variables)).await.unwrap()
}

pub async fn with_token(plane: &Plane, token: &str, query: &str, variables: Value) -> Answer {
    let request = request(&anonymous(plane), &plane.connector_url(), query, &variables);
    send(request.header("Connector-Token", token)).await.unwrap()
}

/// A subject string without escapes or repetitions, as a name.
pub fn name(subject: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for part in subject.split(',') {
        let (kind, value) = part.split_once('=').unwrap();
        let kind = match kind {
            "CN" => DnType::CommonName,
            "C" => DnType::CountryName,
            "L" => DnType::LocalityName,
            "ST" => DnType::StateOrProvinceName,
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            other => panic!("unexpected attribute {other}"),
        };
        name.push(kind, value);
    }
    name
}

pub fn rsa_key() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

pub fn csr(key: &KeyPair, subject: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(subject);
    STANDARD.encode(params.serialize_request(key).unwrap().pem().unwrap())
}

pub fn decoded(field: &Value) -> String {
    String::from_utf8(STANDARD.decode(field.as_str().unwrap()).unwrap()).unwrap()
}

pub struct Host {
    pub runtime: String,
    pub client: reqwest::Client,
    pub identity: String,
    pub subject: String,
    pub chain: String,
}

impl Host {
    pub async fn director(&self, plane: &Plane, query: &str, variables: Value) -> Answer {
        ask(&self.client, &plane.director_url(), query, variables).await
    }

    pub async fn page(&self, plane: &Plane, first: i64, after: &str) -> Answer {
        let variables = json!({ "id": self.runtime, "first": first, "after": after });
        self.director(plane, APPLICATIONS, variables).await
    }

    /// A client that shares no connection with the others.
    pub fn fresh_client(&self, plane: &Plane) -> reqwest::Client {
        identified(builder(plane), &self.identity)
    }
}

pub fn identified(builder: reqwest::ClientBuilder, identity: &str) -> reqwest::Client {
    builder.identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap()).build().unwrap()
}

pub async fn start() -> Plane {
    Plane::start(Options::default()).await.unwrap()
}

pub async fn pair(plane: &Plane) -> Host {
    let runtime = plane.register_runtime("host-1");
    pair_as(plane, runtime).await
}

pub async fn pair_as(plane: &Plane, runtime: String) -> Host {
    let token = plane.mint_token(&runtime, TokenForm::Bare);
    let first = with_token(plane, &token, CONFIGURATION, json!({})).await;
    let configuration = first.data("/configuration");
    let follow_up = configuration["token"]["token"].as_str().unwrap().to_owned();
    let subject = configuration["certificateSigningRequestInfo"]["subject"].as_str().unwrap().to_owned();
    let key = rsa_key();
    let second = with_token(plane, &follow_up, SIGN, json!({ "csr": csr(&key, &subject) })).await;
    let chain = decoded(second.data("/signCertificateSigningRequest/certificateChain"));
    let identity = format!("{chain}{}", key.serialize_pem());
    Host { runtime, client: identified(builder(plane), &identity), identity, subject, chain }
}
