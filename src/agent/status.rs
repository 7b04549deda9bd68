//! How things are: what `runtime-agent status` shows, and the one line that systemd shows.
//!
//! The JSON form is an interface: fields are added, not changed, under one `version`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

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
    /// What is wrong, by area.
    pub problems: BTreeMap<Area, Problem>,
    /// Where tokens are dropped.
    pub token_path: String,
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
}

impl Area {
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
            problems: BTreeMap::new(),
            token_path,
        };
        status.conclude(&TimeZone::UTC);
        status
    }

    /// Derives state and headline from the rest.
    pub fn conclude(&mut self, zone: &TimeZone) {
        self.state = self.judge();
        self.headline = self.summarise(zone);
    }

    fn judge(&self) -> State {
        let mut severities = self.problems.values().map(|problem| problem.severity);
        match self.standing {
            Standing::Expired => return State::Expired,
            Standing::Rejected => return State::Rejected,
            Standing::Lost => return State::Lost,
            Standing::Unpaired | Standing::Valid | Standing::NotYetValid => {}
        }
        match &self.identity {
            _ if severities.any(|severity| severity == Severity::ActionNeeded) => State::ActionNeeded,
            None if self.endeavour.is_some() => State::Pairing,
            None => State::Unpaired,
            Some(_) if self.problems.is_empty() => State::Healthy,
            Some(_) => State::Degraded,
        }
    }

    fn summarise(&self, zone: &TimeZone) -> String {
        let mut line = String::new();
        let day = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%F");
        match (&self.identity, self.standing) {
            (Some(identity), Standing::Expired) => {
                let _ = write!(line, "certificate EXPIRED on {}", day(identity.not_after));
            }
            (Some(identity), Standing::Rejected) => {
                let _ = write!(line, "certificate REJECTED by {}", identity.plane);
            }
            (Some(identity), _) => {
                let _ = write!(line, "paired with {}", identity.plane);
                if let Some(output) = &self.output {
                    let plural = if output.applications == 1 { "" } else { "s" };
                    let _ = write!(line, "; {} application{plural}", output.applications);
                    if output.rolled_back {
                        let _ = write!(line, ", ROLLED BACK to generation {}", output.generation);
                    }
                }
                match self.sync.last_success {
                    Some(at) => {
                        let _ = write!(line, "; synchronised {}", clock_face(at, Timestamp::now(), zone));
                    }
                    None => line.push_str("; not synchronised yet"),
                }
                let _ = write!(line, "; certificate until {}", day(identity.not_after));
            }
            (None, Standing::Lost) => line.push_str("identity LOST"),
            (None, _) if self.endeavour.is_none() => {
                let _ = write!(line, "not paired; waiting for a token in {}", self.token_path);
            }
            (None, _) => line.push_str("pairing"),
        }
        if let Some(endeavour) = &self.endeavour {
            let _ = write!(line, "; {endeavour}");
        }
        // A problem that needs a person comes before one that does not.
        let worst = self.problems.values().max_by_key(|problem| problem.severity == Severity::ActionNeeded);
        if let Some(problem) = worst {
            let _ = match problem.denial {
                Some(denial) => write!(line, "; PROBLEM: {}; `runtime-agent status` tells more", denial.brief()),
                None => write!(line, "; PROBLEM: {} {}", problem.what, problem.remedy),
            };
        }
        line
    }
}

/// The time of day; once that would be ambiguous, the date with it, and how long ago it was.
fn clock_face(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let age = now.duration_since(at).as_hours();
    let written = |form: &str| at.to_zoned(zone.clone()).strftime(form).to_string();
    match age {
        0..20 => written("%H:%M"),
        20..48 => format!("{} ({age} hours ago)", written("%F %H:%M")),
        48.. => format!("{} ({} days ago)", written("%F %H:%M"), age / 24),
        // Of the future: one of the clocks was wrong.
        _ => written("%F %H:%M"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyAlgorithm;

    fn identity() -> IdentityStatus {
        let at = |text: &str| text.parse().unwrap();
        IdentityStatus {
            runtime: None,
            tenant: None,
            plane: "director.example.com".into(),
            subject: "CN=x".into(),
            fingerprint: "00".into(),
            not_before: at("2026-11-22T00:00:00Z"),
            not_after: at("2027-02-20T00:00:00Z"),
            renewal_at: at("2027-01-20T00:00:00Z"),
            description: Description {
                issuer: "CN=y".into(),
                public_key_fingerprint: "01".into(),
                key_algorithm: KeyAlgorithm::Rsa2048,
                issued_at: at("2026-11-22T00:00:00Z"),
                director_url: "https://director.example.com/graphql".parse().unwrap(),
                connector_url: "https://connector.example.com/graphql".parse().unwrap(),
                pairing_url: None,
                token_fingerprint: None,
                path: "/state/identity/0001".into(),
            },
        }
    }

    #[test]
    fn the_headline_is_one_that_a_person_understands() {
        let mut status = Status::new("/etc/runtime-agent/pairing/token".into(), Timestamp::now());
        assert_eq!(status.headline, "not paired; waiting for a token in /etc/runtime-agent/pairing/token");
        status.identity = Some(identity());
        status.conclude(&TimeZone::UTC);
        assert_eq!(status.state, State::Healthy);
        assert_eq!(
            status.headline,
            "paired with director.example.com; not synchronised yet; certificate until 2027-02-20"
        );
    }

    #[test]
    fn what_is_old_is_said_to_be() {
        let at: Timestamp = "2026-11-22T14:26:00Z".parse().unwrap();
        let after = |hours: i64| clock_face(at, at + jiff::SignedDuration::from_hours(hours), &TimeZone::UTC);
        assert_eq!(after(0), "14:26");
        assert_eq!(after(19), "14:26");
        assert_eq!(after(20), "2026-11-22 14:26 (20 hours ago)");
        assert_eq!(after(75), "2026-11-22 14:26 (3 days ago)");
        assert_eq!(after(-5), "2026-11-22 14:26");
    }

    #[test]
    fn a_problem_that_needs_a_person_comes_first() {
        let mut status = Status::new("/x".into(), Timestamp::now());
        status.identity = Some(identity());
        let problem = |what: &str, severity| Problem {
            what: what.into(),
            remedy: "Do.".into(),
            severity,
            since: Timestamp::UNIX_EPOCH,
            denial: None,
        };
        status.problems.insert(Area::Pairing, problem("Needs you.", Severity::ActionNeeded));
        status.problems.insert(Area::Sync, problem("Passing.", Severity::Transient));
        status.conclude(&TimeZone::UTC);
        assert_eq!(status.state, State::ActionNeeded);
        assert!(status.headline.ends_with("PROBLEM: Needs you. Do."), "{}", status.headline);
        status.problems.remove(&Area::Pairing);
        status.conclude(&TimeZone::UTC);
        assert_eq!(status.state, State::Degraded);
    }
}
