//! What a plane can be told before it starts, and, for most of it, while it runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Clock;

/// The words in which the Director speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `Application.bundles`, `requestBundleInstanceAuthCreation` and so on.
    #[default]
    Bundle,
    /// `Application.packages`, as planes spoke before 2021.
    Package,
}

/// The key algorithm that the Connector announces, and accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAlgorithm {
    /// RSA with 2048 bits, what real planes announce.
    #[default]
    #[value(name = "rsa2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[value(name = "rsa3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[value(name = "rsa4096")]
    Rsa4096,
    /// ECDSA on P-256.
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[value(name = "ecdsa-p384")]
    EcdsaP384,
    /// A name that nobody knows; every request for a certificate is refused.
    Nonsense,
}

impl KeyAlgorithm {
    /// The name as it is announced in `keyAlgorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Nonsense => "quantum-rot13",
        }
    }
}

/// The form in which a one-time token reaches a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TokenForm {
    /// The plane's own JSON object.
    #[default]
    Json,
    /// The same JSON object in standard base64.
    Base64,
    /// `CONNECTOR_URL`, `TOKEN`, `RUNTIME_ID` and `TENANT`, one `KEY=value` a line.
    #[serde(alias = "env")]
    #[value(name = "env", alias = "key-value")]
    KeyValue,
    /// The connector's URL with the query parameter `token`.
    Url,
    /// Only the token.
    Bare,
}

/// One of the three addresses at which the plane is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// The Connector met with a one-time token.
    Connector,
    /// The Connector met with a client certificate.
    SecuredConnector,
    /// The Director.
    Director,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 3] = [Self::Connector, Self::SecuredConnector, Self::Director];

    /// Whether a client must show a certificate here.
    pub fn wants_certificate(self) -> bool {
        match self {
            Self::Connector => false,
            Self::SecuredConnector | Self::Director => true,
        }
    }

    /// The path at which GraphQL is served.
    pub fn path(self) -> &'static str {
        match self {
            Self::Connector | Self::SecuredConnector => "/graphql",
            Self::Director => "/director/graphql",
        }
    }

    /// The endpoint's name, as it is written in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::SecuredConnector => "secured-connector",
            Self::Director => "director",
        }
    }
}

/// How a client certificate that is not accepted is turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The handshake ends with a TLS alert.
    #[default]
    TlsAlert,
    /// The handshake succeeds and the gateway answers HTTP 401 with a body that is not JSON.
    Gateway,
    /// The handshake succeeds and the service answers HTTP 200 with an `Unauthorized` error.
    Graphql,
}

/// How applications answer when they are asked for credentials, or given them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Answering {
    /// When they are told to, one by one.
    #[default]
    ByHand,
    /// Before the Director's next call: what is pending is granted, what is unused is revoked.
    Promptly,
}

/// The server certificate that a listener shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ServerCertificate {
    /// One that is in order.
    #[default]
    Good,
    /// One made out to another host.
    WrongName,
    /// One that has expired.
    Expired,
    /// One from an authority that nobody trusts.
    Untrusted,
}

/// The order and spelling of the subject that the Connector asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectOrder {
    /// `O, OU, L, ST, C, CN`.
    #[default]
    Plain,
    /// A new random order for each authentication.
    Shuffled,
}

/// Everything that can be chosen about a plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// By what it tells the time.
    pub clock: Clock,
    /// The words in which the Director speaks.
    pub dialect: Dialect,
    /// The host name in the URLs that are handed out: `127.0.0.1` or `localhost`.
    pub host: String,
    /// The host name in the URLs that the Connector answers with, where that is another.
    pub announced_host: Option<String>,
    /// The first of four consecutive ports (connector, secured connector, director, administration); 0 takes free ones.
    pub port_base: u16,
    /// Life of the token that a host is given.
    pub token_lifetime: Duration,
    /// Life of the token that `configuration` answers with.
    pub follow_up_lifetime: Duration,
    /// Life of the client certificates that are issued.
    pub certificate_lifetime: Duration,
    /// The key algorithm that is announced and accepted.
    pub key_algorithm: KeyAlgorithm,
    /// The subject's attributes other than CN, in RFC 4514 spelling, for instance `O=Org\, Inc`.
    pub subject: Vec<String>,
    /// The order of the subject's attributes.
    pub subject_order: SubjectOrder,
    /// Whether certificate chains end with a root above the issuing authority.
    pub chain_with_root: bool,
    /// How a certificate is turned away that is expired, not yet valid, untrusted or absent.
    pub untrusted: Refusal,
    /// How a certificate is turned away that was revoked.
    pub revoked: Refusal,
    /// Whether the Director insists on the header `Tenant`.
    pub tenant_required: bool,
    /// How applications answer when they are asked for credentials, or given them back.
    pub answering: Answering,
    /// The largest `first` that is accepted; planes before 2021 accepted 100.
    pub max_page: usize,
    /// Whether TLS sessions can be resumed (then a changed server certificate stays unseen by clients that resume).
    pub session_resumption: bool,
    /// Whether what was asked before is answered from memory until something changes: for whoever measures a client.
    pub keep_answers: bool,
    /// How many requests are remembered.
    pub remembered_requests: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            dialect: Dialect::default(),
            host: "127.0.0.1".to_owned(),
            announced_host: None,
            port_base: 0,
            token_lifetime: Duration::from_secs(60 * 60),
            follow_up_lifetime: Duration::from_secs(5 * 60),
            certificate_lifetime: Duration::from_secs(2160 * 60 * 60),
            key_algorithm: KeyAlgorithm::default(),
            subject: ["O=Org", "OU=OrgUnit", "L=Locality", "ST=State", "C=PL"].map(str::to_owned).to_vec(),
            subject_order: SubjectOrder::default(),
            chain_with_root: false,
            untrusted: Refusal::TlsAlert,
            revoked: Refusal::Gateway,
            tenant_required: false,
            answering: Answering::ByHand,
            max_page: 200,
            session_resumption: false,
            keep_answers: false,
            remembered_requests: 10_000,
        }
    }
}
