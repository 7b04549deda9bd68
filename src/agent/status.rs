//! How things are: what `runtime-agent status` shows, and the one line that systemd shows.
//!
//! The JSON form is an interface: fields are added, not changed, under one `version`.

mod headline;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::standing::Standing;
use crate::apply::{HookReport, InstallReport, Skipped};
use crate::identity::{Description, PublicPart};
use crate::ids::{RuntimeId, TenantId};
use crate::output::manifest::GenerationNumber;
use crate::pairing::TokenOutcome;
use crate::transport::Denial;

/// The version of the JSON form.
pub const STATUS_VERSION: u32 = 1;

/// How things are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_VERSION`].
    pub version: u32,
    /// Counts changes of this value; a reader can wait for the next one.
    pub revision: u64,
    /// Which program this is.
    pub agent: Agent,
    /// In one word.
    pub state: State,
    /// In one line.
    pub headline: String,
    /// How this host stands with its plane.
    pub standing: Standing,
    /// The identity in use.
    pub identity: Option<IdentityStatus>,
    /// What is being done about pairing or renewal, if anything is.
    pub endeavour: Option<String>,
    /// What became of the last token.
    pub token: Option<TokenOutcome>,
    /// Polling the plane.
    pub sync: SyncStatus,
    /// The files that are published.
    pub output: Option<OutputStatus>,
    /// Hooks.
    pub apply: Option<ApplyStatus>,
    /// The service broker, where it is on.
    #[serde(default)]
    pub broker: Option<BrokerStatus>,
    /// What is wrong, by area.
    pub problems: BTreeMap<Area, Problem>,
    /// Where tokens are dropped.
    pub token_path: String,
    /// Changed keys of the configuration that take a restart, dotted.
    #[serde(default)]
    pub awaiting_restart: Vec<String>,
}

/// Which program this is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
}

/// How things are, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There is no identity, and no token to get one with.
    Unpaired,
    /// A token is being used.
    Pairing,
    /// There is a valid identity, and nothing is wrong.
    Healthy,
    /// There is a valid identity, something is wrong, and the agent goes on by itself.
    Degraded,
    /// The certificate is over: a new token is needed.
    Expired,
    /// The plane refuses the certificate: a new token is needed.
    Rejected,
    /// The files of the identity are missing or damaged: a backup or a new token is needed.
    Lost,
    /// A person is needed for something else.
    ActionNeeded,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unpaired,
        Self::Pairing,
        Self::Healthy,
        Self::Degraded,
        Self::Expired,
        Self::Rejected,
        Self::Lost,
        Self::ActionNeeded,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unpaired => "unpaired",
            Self::Pairing => "pairing",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
            Self::ActionNeeded => "action-needed",
        }
    }
}

/// The identity in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// This runtime.
    pub runtime: Option<RuntimeId>,
    /// Its tenant, where one is named in requests.
    pub tenant: Option<TenantId>,
    /// The Director's host.
    pub plane: String,
    /// The certificate's subject.
    pub subject: String,
    /// The certificate's SHA-256.
    pub fingerprint: String,
    /// From when on the certificate is valid.
    pub not_before: Timestamp,
    /// Until when the certificate is valid.
    pub not_after: Timestamp,
    /// When it is going to be renewed.
    pub renewal_at: Timestamp,
    /// More of it.
    #[serde(flatten)]
    pub description: Description,
}

impl IdentityStatus {
    /// What there is to tell of an identity that is going to be renewed at this instant.
    pub fn new(identity: PublicPart, renewal_at: Timestamp) -> Self {
        let PublicPart { record, leaf, folder } = identity;
        Self {
            description: Description::new(&record, &leaf, &folder),
            plane: record.director_url.host(),
            runtime: record.runtime,
            tenant: record.tenant,
            subject: leaf.subject,
            fingerprint: leaf.fingerprint,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            renewal_at,
        }
    }
}

/// Polling the plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// When the plane last gave a complete answer.
    pub last_success: Option<Timestamp>,
    /// When it was last asked.
    pub last_try: Option<Timestamp>,
    /// When it is going to be asked.
    pub next: Option<Timestamp>,
    /// How many times in a row it gave none.
    pub failures: u32,
}

/// The files that are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputStatus {
    /// The generation's number.
    pub generation: GenerationNumber,
    /// When it was published.
    pub published_at: Timestamp,
    /// Where it is.
    pub path: String,
    /// How many applications are in it.
    pub applications: usize,
    /// How many bundles they have.
    pub bundles: u64,
    /// Whether it was rolled back to, and stays whatever the plane says.
    #[serde(default)]
    pub rolled_back: bool,
}

/// What the applier last said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyStatus {
    /// The event that hooks were run for.
    pub event: String,
    /// The generation that they were run for, if any.
    pub generation: Option<GenerationNumber>,
    /// When.
    pub at: Timestamp,
    /// Whether all went well.
    pub succeeded: bool,
    /// Each hook that was run.
    pub hooks: Vec<HookReport>,
    /// Each file that was not run.
    pub skipped: Vec<Skipped>,
    /// What came of the files of templates, where there is something to say of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<InstallReport>,
}

/// What the service broker has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// How many instances.
    pub instances: usize,
    /// How many bindings with credentials.
    pub bindings: usize,
    /// How many bindings that are being made or given back.
    pub under_way: usize,
    /// How many bindings that got no credentials, or that the plane does not take back.
    pub failed: usize,
    /// How many sets of credentials the plane has in this host's name that no binding stands for.
    pub orphans: usize,
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The file in which a token is dropped.
    TokenFile,
    /// Getting an identity.
    Pairing,
    /// Keeping it.
    Renewal,
    /// The certificate's validity.
    Certificate,
    /// This host's clock.
    Clock,
    /// Asking the plane.
    Sync,
    /// Removals that are doubted.
    Removals,
    /// The texts of specifications and documents.
    Specifications,
    /// Rendering templates.
    Templates,
    /// Writing files.
    Output,
    /// Running hooks.
    Apply,
    /// Reporting back.
    Report,
    /// The configuration file.
    Configuration,
    /// The address at which metrics are served.
    Metrics,
    /// The file that metrics are written to.
    MetricsFile,
    /// The service broker.
    Broker,
    /// The service broker's memory.
    BrokerStore,
    /// Credentials at the plane that no service binding stands for.
    Orphans,
}

impl Area {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::TokenFile,
        Self::Pairing,
        Self::Renewal,
        Self::Certificate,
        Self::Clock,
        Self::Sync,
        Self::Removals,
        Self::Specifications,
        Self::Templates,
        Self::Output,
        Self::Apply,
        Self::Report,
        Self::Configuration,
        Self::Metrics,
        Self::MetricsFile,
        Self::Broker,
        Self::BrokerStore,
        Self::Orphans,
    ];

    /// A bounded word for log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenFile => "token-file",
            Self::Pairing => "pairing",
            Self::Renewal => "renewal",
            Self::Certificate => "certificate",
            Self::Clock => "clock",
            Self::Sync => "sync",
            Self::Removals => "removals",
            Self::Specifications => "specifications",
            Self::Templates => "templates",
            Self::Output => "output",
            Self::Apply => "apply",
            Self::Report => "report",
            Self::Configuration => "configuration",
            Self::Metrics => "metrics",
            Self::MetricsFile => "metrics-file",
            Self::Broker => "broker",
            Self::BrokerStore => "broker-store",
            Self::Orphans => "orphans",
        }
    }
}

/// Who has to act on a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The agent goes on by itself.
    Transient,
    /// A person is needed.
    ActionNeeded,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What failed and why.
    pub what: String,
    /// What the agent does next, and what a person can do.
    pub remedy: String,
    /// Who has to act.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// What the plane denies, where it is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
}

impl Status {
    /// At the start of the program.
    pub fn new(token_path: String, now: Timestamp) -> Self {
        let mut status = Self {
            version: STATUS_VERSION,
            revision: 0,
            agent: Agent { version: env!("CARGO_PKG_VERSION").into(), pid: std::process::id(), started_at: now },
            state: State::Unpaired,
            headline: String::new(),
            standing: Standing::Unpaired,
            identity: None,
            endeavour: None,
            token: None,
            sync: SyncStatus::default(),
            output: None,
            apply: None,
            broker: None,
            problems: BTreeMap::new(),
            token_path,
            awaiting_restart: Vec::new(),
        };
        status.conclude(&TimeZone::UTC);
        status
    }
}
