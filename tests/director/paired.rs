//! A simulated plane, and a Director of ours that is paired with it over real TLS.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::{Options, Plane, TokenForm};
use runtime_agent::director::Director;
use runtime_agent::identity::{KeyAlgorithm, PrivateKey, Subject, encode_csr};
use runtime_agent::ids::{RuntimeId, TenantId};
use runtime_agent::transport::{ClientOptions, ClientPem, Graphql, Limits, Operation, Protocol, Proxy, Trust, client};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// A plane, one Runtime of it, and the certificate of that Runtime.
pub struct Paired {
    pub plane: Plane,
    pub runtime: RuntimeId,
    options: ClientOptions,
    identity: ClientPem,
    _folder: tempfile::TempDir,
}

/// Limits that no test meets by accident.
pub const LIMITS: Limits =
    Limits { answer_timeout: Duration::from_secs(60), whole_timeout: Duration::from_secs(60), max_answer: 64 << 20 };

impl Paired {
    pub async fn with(options: Options) -> Self {
        // Elliptic keys take no time to make, and nothing here depends on the kind.
        let plane = Plane::start(Options { key_algorithm: plane::KeyAlgorithm::EcdsaP256, ..options }).await.unwrap();
        let runtime = plane.register_runtime("host");
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("ca.pem");
        std::fs::write(&bundle, plane.server_ca_pem()).unwrap();
        let options = ClientOptions {
            protocol: Protocol::Negotiated,
            trust: Trust::Only(bundle),
            proxy: Proxy::Never,
            connect_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
        };
        let identity = pair(&plane, &runtime, &options).await;
        Self { plane, runtime: runtime.parse().unwrap(), options, identity, _folder: folder }
    }

    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub fn director(&self) -> Director {
        self.director_with(LIMITS, None)
    }

    pub fn director_with(&self, limits: Limits, tenant: Option<TenantId>) -> Director {
        let client = client(&self.options, Some(&self.identity)).unwrap();
        Director::new(Graphql::new(client, self.plane.director_url().parse().unwrap(), limits), tenant)
    }
}

async fn pair(plane: &Plane, runtime: &str, options: &ClientOptions) -> ClientPem {
    let connector = |token: &str| {
        let url = plane.connector_url().parse().unwrap();
        let graphql = Graphql::new(client(options, None).unwrap(), url, LIMITS);
        graphql.with_secret_header("connector-token", &SecretString::from(token)).unwrap()
    };
    let configuration: Value = connector(plane.mint_token(runtime, TokenForm::Bare).trim())
        .call(
            Operation {
                name: "Configuration",
                text: "query Configuration {
                    configuration { token { token } certificateSigningRequestInfo { subject } }
                }",
            },
            json!({}),
        )
        .await
        .unwrap();
    let configuration = &configuration["configuration"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let subject: Subject = text(&configuration["certificateSigningRequestInfo"]["subject"]).parse().unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let signed: Value = connector(&text(&configuration["token"]["token"]))
        .call(
            Operation {
                name: "Sign",
                text: "mutation Sign($csr: String!) {
                    signCertificateSigningRequest(csr: $csr) { certificateChain }
                }",
            },
            json!({ "csr": encode_csr(&subject, &key).unwrap() }),
        )
        .await
        .unwrap();
    let chain = STANDARD.decode(text(&signed["signCertificateSigningRequest"]["certificateChain"])).unwrap();
    let chain = String::from_utf8(chain).unwrap();
    ClientPem(format!("{}{chain}", key.to_pem().expose_secret()).into())
}
