//! Generated content: as many applications as wanted, always the same for the same seed.

use std::{collections::BTreeMap, sync::OnceLock};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::{
    ApiDefinition, Application, Auth, Bundle, Credential, Csrf, Document, EventDefinition, Parameters, RequestAuth,
    Spec, Status, Version,
};

/// The kinds of credentials that bundles can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// No default credentials at all: they have to be asked for, and stay pending.
    Absent,
    /// The API needs none.
    None,
    /// User name and password.
    Basic,
    /// OAuth client credentials.
    Oauth,
    /// OAuth with a client certificate.
    CertificateOauth,
}

impl CredentialKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::None, Self::Basic, Self::Oauth, Self::CertificateOauth, Self::Absent];
}

/// What is to be generated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Generate {
    /// How many applications.
    pub applications: usize,
    /// How many bundles each application has.
    pub bundles: usize,
    /// How many APIs each bundle has.
    pub apis: usize,
    /// How many events each bundle has.
    pub events: usize,
    /// How many documents each bundle has.
    pub documents: usize,
    /// The size of each specification; none if absent.
    pub spec_bytes: Option<usize>,
    /// The kinds of credentials, in turn.
    pub credentials: Vec<CredentialKind>,
    /// The JSON schema (a text) of the parameters with which credentials are asked for; none if absent.
    pub request_schema: Option<String>,
    /// The seed: the same seed gives the same content.
    pub seed: u64,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            applications: 3,
            bundles: 1,
            apis: 1,
            events: 0,
            documents: 0,
            spec_bytes: None,
            credentials: CredentialKind::ALL.to_vec(),
            request_schema: None,
            seed: 1,
        }
    }
}

const PROVIDERS: [&str; 8] =
    ["SAP", "Contoso", "Northwind", "Globex", "Initech", "Umbrella", "Acme & Söhne", "Wayne Enterprises"];
const PRODUCTS: [&str; 10] = [
    "Commerce",
    "Field Service",
    "Marketing",
    "Sales Cloud",
    "Billing",
    "Warehouse",
    "HR Core",
    "Loyalty",
    "Catalog",
    "Ticketing",
];
const SUBJECTS: [&str; 8] =
    ["Orders", "Customers", "Products", "Invoices", "Shipments", "Employees", "Prices", "Returns"];
const REGIONS: [&str; 5] = ["eu10", "us20", "ap11", "br10", "jp10"];

impl Generate {
    /// Makes the applications.
    pub fn make(&self) -> Vec<Application> {
        let mut source = Source { rng: Rng::with_seed(self.seed), plan: self, turn: 0 };
        (0..self.applications).map(|number| source.application(number)).collect()
    }
}

struct Source<'a> {
    rng: Rng,
    plan: &'a Generate,
    turn: usize,
}

impl Source<'_> {
    fn id(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid().to_string()
    }

    fn pick<'b>(&mut self, words: &[&'b str]) -> &'b str {
        words[self.rng.usize(..words.len())]
    }

    fn secret(&mut self, kind: &str) -> String {
        format!("canary-{kind}-{:032x}", self.rng.u128(..))
    }

    fn application(&mut self, number: usize) -> Application {
        let (provider, product, region) = (self.pick(&PROVIDERS), self.pick(&PRODUCTS), self.pick(&REGIONS));
        let name = format!("{product} {region} {number}");
        let host = format!("{}-{number}.{region}.example.com", product.to_lowercase().replace(' ', "-"));
        let base = format!("https://{host}");
        let day = 1 + self.rng.u8(..28);
        let created = format!("2024-03-{day:02}T08:{:02}:00Z", self.rng.u8(..60));
        let labels = json!({
            "region": region,
            "scenarios": ["DEFAULT"],
            "managed": self.rng.bool(),
            "integrationSystemID": "",
        });
        Application {
            id: self.id(),
            name,
            provider_name: Some(provider.to_owned()),
            description: Some(format!("{product} of {provider} in {region}")),
            base_url: Some(base.clone()),
            system_number: Some(format!("{:08}", self.rng.u32(..100_000_000))),
            local_tenant_id: Some(format!("{:08}", self.rng.u32(..100_000_000))),
            labels: labels.as_object().cloned(),
            status: Status { condition: "CONNECTED".to_owned(), timestamp: created.clone() },
            health_check_url: Some(format!("{base}/health")),
            bundles: (0..self.plan.bundles).map(|place| self.bundle(place, &base)).collect(),
            auths: Some(vec![self.id()]),
            event_url: (self.plan.events > 0).then(|| format!("https://events.{region}.example.com/{number}/events")),
            created_at: Some(created.clone()),
            updated_at: Some(created),
            ..Application::default()
        }
    }

    fn bundle(&mut self, place: usize, base: &str) -> Bundle {
        let subject = self.pick(&SUBJECTS);
        let plan = self.plan;
        Bundle {
            id: self.id(),
            name: format!("{subject} {place}"),
            description: Some(format!("All about {}", subject.to_lowercase())),
            instance_auth_request_input_schema: plan.request_schema.clone(),
            default_instance_auth: self.auth(base),
            api_definitions: (0..plan.apis).map(|place| self.api(place, base)).collect(),
            event_definitions: (0..plan.events).map(|place| self.event(place)).collect(),
            documents: (0..plan.documents).map(|place| self.document(place)).collect(),
            correlation_ids: Some(vec![format!("example:{}", subject.to_lowercase())]),
            ..Bundle::default()
        }
    }

    fn version(&mut self) -> Option<Version> {
        let deprecated = self.rng.u8(..10) == 0;
        Some(Version {
            value: format!("{}.{}.{}", 1 + self.rng.u8(..4), self.rng.u8(..10), self.rng.u8(..20)),
            deprecated: Some(deprecated),
            deprecated_since: deprecated.then(|| "1.0.0".to_owned()),
            for_removal: Some(deprecated && self.rng.bool()),
        })
    }

    fn api(&mut self, place: usize, base: &str) -> ApiDefinition {
        let subject = self.pick(&SUBJECTS);
        let odata = self.rng.bool();
        let path = subject.to_lowercase();
        let target =
            if odata { format!("{base}/odata/v2/{path}") } else { format!("{base}/api/v{}/{path}", place + 1) };
        let (kind, format) = if odata { ("ODATA", "XML") } else { ("OPEN_API", "JSON") };
        ApiDefinition {
            id: self.id(),
            name: format!("{subject} API {place}"),
            description: Some(format!("Reads and writes {path}")),
            target_url: Some(target),
            group: Some(format!("{path}.example.com")),
            version: self.version(),
            spec: self.spec(kind, format, subject),
        }
    }

    fn event(&mut self, place: usize) -> EventDefinition {
        let subject = self.pick(&SUBJECTS);
        EventDefinition {
            id: self.id(),
            name: format!("{subject} Events {place}"),
            description: Some(format!("What happens to {}", subject.to_lowercase())),
            group: Some(format!("{}.events.example.com", subject.to_lowercase())),
            version: self.version(),
            spec: self.spec("ASYNC_API", "YAML", subject),
        }
    }

    fn document(&mut self, place: usize) -> Document {
        let subject = self.pick(&SUBJECTS);
        Document {
            id: self.id(),
            title: format!("{subject} guide {place}"),
            display_name: format!("{subject} guide"),
            description: format!("How to use {}", subject.to_lowercase()),
            format: "MARKDOWN".to_owned(),
            kind: Some("guide".to_owned()),
            data: Some(format!("# {subject}\n\nSee the API.\n")),
        }
    }

    fn spec(&mut self, kind: &str, format: &str, subject: &str) -> Option<Spec> {
        let size = self.plan.spec_bytes?;
        let (start, end) = match format {
            "XML" => (format!("<edmx:Edmx Version=\"1.0\"><!-- {subject} "), " --></edmx:Edmx>".to_owned()),
            "YAML" => (format!("asyncapi: 2.0.0\ninfo:\n  title: {subject}\n  description: "), "\n".to_owned()),
            _ => (
                format!("{{\"openapi\":\"3.0.1\",\"info\":{{\"title\":\"{subject}\",\"description\":\""),
                "\"}}".to_owned(),
            ),
        };
        let filling = size.saturating_sub(start.len() + end.len());
        let filling: String = (0..filling).map(|_| self.rng.lowercase()).collect();
        Some(Spec {
            id: self.id(),
            data: Some(format!("{start}{filling}{end}")),
            format: format.to_owned(),
            r#type: kind.to_owned(),
        })
    }

    fn auth(&mut self, base: &str) -> Option<Auth> {
        let kinds = &self.plan.credentials;
        let kind = *kinds.get(self.turn % kinds.len().max(1)).unwrap_or(&CredentialKind::None);
        self.turn += 1;
        let url = format!("{base}/oauth/token");
        let credential = match kind {
            CredentialKind::Absent => return None,
            CredentialKind::None => None,
            CredentialKind::Basic => Some(Credential::Basic {
                username: format!("user-{}", self.rng.u16(..)),
                password: self.secret("password"),
            }),
            CredentialKind::Oauth => {
                Some(Credential::Oauth { client_id: self.id(), client_secret: self.secret("client-secret"), url })
            }
            CredentialKind::CertificateOauth => {
                Some(Credential::CertificateOauth { client_id: self.id(), certificate: certificate().to_owned(), url })
            }
        };
        let headers = (self.rng.u8(..3) == 0).then(|| parameters("x-api-key", vec![self.secret("header")]));
        let query = (self.rng.u8(..5) == 0)
            .then(|| parameters("sap-client", vec!["100".to_owned(), format!("{}", 100 + self.rng.u16(..900))]));
        let csrf = (self.rng.u8(..3) == 0).then(|| Csrf {
            token_endpoint_url: format!("{base}/csrf"),
            credential: Some(Credential::Basic { username: "csrf".to_owned(), password: self.secret("csrf-password") }),
            additional_headers: Some(parameters("x-csrf-token", vec!["fetch".to_owned()])),
            additional_query_params: None,
        });
        Some(Auth {
            credential,
            additional_headers: headers,
            additional_query_params: query,
            request_auth: csrf.map(|csrf| RequestAuth { csrf: Some(csrf) }),
            ..Auth::default()
        })
    }
}

fn parameters(name: &str, values: Vec<String>) -> Parameters {
    BTreeMap::from([(name.to_owned(), values)])
}

/// One certificate for all who show one; only its form matters.
fn certificate() -> &'static str {
    static CERTIFICATE: OnceLock<String> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["client.example.com".to_owned()]);
        made.map(|made| made.cert.pem()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_content() {
        let plan = Generate { applications: 10, bundles: 2, apis: 2, events: 1, ..Generate::default() };
        let text = |applications: Vec<Application>| serde_json::to_string(&applications).expect("plain data");
        assert_eq!(text(plan.make()), text(plan.make()));
        assert_ne!(text(plan.make()), text(Generate { seed: 2, ..plan }.make()));
    }
}
