//! The keys of the configuration file, their meanings, bounds and defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::hosts::HostPattern;
use super::instance::{InstanceName, applier_home, home};
use super::metrics::Metrics;
use super::system::GroupName;
use super::templates::{TemplateLimits, TemplateRule};
use super::values::{ByteSize, HttpsUrl, LabelName, Seconds, Share};
use crate::director::PageSize;
use crate::renewal::{self, Moment};
use crate::transport::{Proxy, Trust};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The management plane and the way to it.
    pub plane: Plane,
    /// Polling the plane.
    pub sync: Sync,
    /// Renewing the certificate.
    pub renewal: Renewal,
    /// What is reported back.
    pub report: Report,
    /// The files that are written.
    pub output: Output,
    /// Hook scripts.
    pub hooks: Hooks,
    /// How much templates may do.
    pub templates: TemplateLimits,
    /// Templates, and what becomes of what they render.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub template: Vec<TemplateRule>,
    /// The applier.
    pub apply: Apply,
    /// Who may use the control socket.
    pub control: Control,
    /// The service broker.
    pub broker: Broker,
    /// Where things are.
    pub paths: Paths,
    /// Logging.
    pub log: Log,
    /// Where metrics are served, besides the control socket.
    pub metrics: Metrics,
}

impl Settings {
    /// The defaults, for one of several runtimes on this host.
    pub fn of(instance: Option<&InstanceName>) -> Self {
        Self { apply: Apply::of(instance), paths: Paths::of(instance), ..Self::default() }
    }
}

/// `[plane]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plane {
    /// The Connector, for tokens that do not name it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector_url: Option<HttpsUrl>,
    /// Hosts that the Connector may send the agent to, besides those below its own parent domain.
    pub allowed_hosts: Vec<HostPattern>,
    /// A PEM file with the CAs that the plane's server certificates are verified against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<PathBuf>,
    /// Whether the bundle is used instead of the system's trust store, or besides it.
    pub ca_bundle_use: BundleUse,
    /// Which proxy is on the way to the plane.
    pub proxy: Proxy,
    /// How long a connection may take to come about.
    pub connect_timeout: Seconds<1, { 5 * MINUTE }>,
    /// How long the beginning of an answer may take.
    pub answer_timeout: Seconds<1, { 30 * MINUTE }>,
    /// How long an answer may pause.
    pub stall_timeout: Seconds<1, { 30 * MINUTE }>,
    /// How large one answer may be, as it comes over the wire and decompressed.
    pub max_answer: ByteSize<{ 64 * KIB }, { 1024 * MIB }>,
}

impl Default for Plane {
    fn default() -> Self {
        Self {
            connector_url: None,
            allowed_hosts: Vec::new(),
            ca_bundle: None,
            ca_bundle_use: BundleUse::Instead,
            proxy: Proxy::Environment,
            connect_timeout: Seconds::new(15),
            answer_timeout: Seconds::new(MINUTE),
            stall_timeout: Seconds::new(30),
            max_answer: ByteSize::new(64 * MIB),
        }
    }
}

impl Plane {
    /// Whose word is taken for the plane's server certificates.
    pub fn trust(&self) -> Trust {
        match (&self.ca_bundle, self.ca_bundle_use) {
            (None, _) => Trust::System,
            (Some(path), BundleUse::Instead) => Trust::Only(path.clone()),
            (Some(path), BundleUse::Besides) => Trust::SystemAnd(path.clone()),
        }
    }
}

/// How `plane.ca_bundle` relates to the system's trust store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleUse {
    /// Only the bundle counts.
    Instead,
    /// Both count.
    Besides,
}

/// `[sync]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// How often the plane is asked.
    pub interval: Seconds<5, { 7 * DAY }>,
    /// By how much of the interval each poll is moved at random, either way, so that a fleet does not ask in step.
    pub jitter: Share,
    /// The longest pause between tries while the plane does not answer.
    pub retry_cap: Seconds<5, DAY>,
    /// How many applications are asked for at once.
    pub page_size: PageSize,
    /// A removal of more than this share of the applications, and of more than three, waits for a later answer that
    /// says the same.
    pub doubt_removals_over: Share,
    /// Whether the texts of specifications and documents are read.
    pub specifications: Specifications,
    /// After how long a text is read again although nothing shows that it has changed.
    pub reread_specifications_after: Seconds<MINUTE, { 3650 * DAY }>,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            interval: Seconds::new(3 * MINUTE),
            jitter: Share::new(0.1),
            retry_cap: Seconds::new(15 * MINUTE),
            page_size: PageSize::default(),
            doubt_removals_over: Share::new(0.5),
            specifications: Specifications::LeftOut,
            reread_specifications_after: Seconds::new(7 * DAY),
        }
    }
}

/// Whether the texts of specifications and documents are read: `true` or `false` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Specifications {
    /// They are.
    Read,
    /// They are not.
    LeftOut,
}

impl From<bool> for Specifications {
    fn from(read: bool) -> Self {
        if read { Self::Read } else { Self::LeftOut }
    }
}

impl From<Specifications> for bool {
    fn from(specifications: Specifications) -> bool {
        matches!(specifications, Specifications::Read)
    }
}

/// `[renewal]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Renewal {
    /// At which share of the certificate's lifetime it is renewed.
    pub after: Share,
    /// How long before its end it is renewed; counts instead of `after`, but for certificates of which this is most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Seconds<MINUTE, { 3650 * DAY }>>,
    /// By how much of the lifetime the renewal is moved earlier at random.
    pub jitter: Share,
}

impl Default for Renewal {
    fn default() -> Self {
        Self { after: Share::new(0.667), before: None, jitter: Share::new(0.05) }
    }
}

impl Renewal {
    /// When renewal is due.
    pub fn policy(&self) -> renewal::Policy {
        let after = self.after.get();
        let moment = self
            .before
            .map_or(Moment::After(after), |before| Moment::Before { remaining: before.get(), otherwise: after });
        renewal::Policy { moment, jitter: self.jitter.get() }
    }
}

/// The label for `report.events_url`.
pub const EVENTS_LABEL: &str = "runtime_eventServiceUrl";

/// The label for `report.console_url`.
pub const CONSOLE_LABEL: &str = "runtime_consoleUrl";

/// `[report]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Report {
    /// Where this runtime takes events in: the label `runtime_eventServiceUrl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_url: Option<HttpsUrl>,
    /// The runtime's console: the label `runtime_consoleUrl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_url: Option<HttpsUrl>,
    /// Further labels, and the text of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelName, String>,
}

/// `[output]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// How many generations are kept, the current one included.
    pub keep_generations: std::num::NonZeroU8,
}

impl Default for Output {
    fn default() -> Self {
        Self { keep_generations: std::num::NonZeroU8::MIN.saturating_add(4) }
    }
}

/// `[hooks]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// How long one hook may run before its processes are asked to end.
    pub timeout: Seconds<1, HOUR>,
    /// How long they have then, before they are killed.
    pub grace: Seconds<1, { 5 * MINUTE }>,
    /// How much of a hook's output is written to the log; what comes after is read and dropped.
    pub output_limit: ByteSize<256, MIB>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { timeout: Seconds::new(MINUTE), grace: Seconds::new(5), output_limit: ByteSize::new(16 * KIB) }
    }
}

/// `[apply]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apply {
    /// Who runs hooks.
    pub mode: ApplyMode,
    /// Where the applier listens.
    pub socket: PathBuf,
    /// Where the applier keeps what it did last.
    pub state: PathBuf,
    /// How long the applier waits for a further request before it ends.
    pub idle: Seconds<1, HOUR>,
    /// The longest pause between tries of a generation whose hooks fail.
    pub retry_cap: Seconds<5, DAY>,
}

impl Default for Apply {
    fn default() -> Self {
        Self::of(None)
    }
}

impl Apply {
    fn of(instance: Option<&InstanceName>) -> Self {
        Self {
            mode: ApplyMode::Socket,
            // No name of an instance holds a dot that this could be put in place of.
            socket: applier_home("/run", instance).with_extension("sock"),
            state: applier_home("/var/lib", instance),
            idle: Seconds::new(10),
            retry_cap: Seconds::new(HOUR),
        }
    }
}

/// Who runs hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplyMode {
    /// The applier that systemd starts as root when the daemon connects to its socket.
    Socket,
    /// A child of the daemon, with the daemon's own rights: for hosts without systemd.
    Inline,
    /// Nobody: files are published, and that is all.
    Off,
}

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Whose members may give orders, and look.
    pub administrators: GroupName,
    /// Whose members may look.
    pub readers: GroupName,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            administrators: GroupName::constant("runtime-agent-admin"),
            readers: GroupName::constant("runtime-agent-view"),
        }
    }
}

/// `[paths]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// What must outlive a restart: identity, generations.
    pub state: PathBuf,
    /// Sockets.
    pub runtime: PathBuf,
    /// The folder that tokens are dropped into, as a file named `token`.
    pub pairing: PathBuf,
    /// Hook scripts.
    pub hooks: PathBuf,
    /// The text of templates.
    pub templates: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self::of(None)
    }
}

impl Paths {
    fn of(instance: Option<&InstanceName>) -> Self {
        let etc = home("/etc", instance);
        Self {
            state: home("/var/lib", instance),
            runtime: home("/run", instance),
            pairing: etc.join("pairing"),
            hooks: etc.join("hooks.d"),
            templates: etc.join("templates"),
        }
    }

    /// Where a token is dropped.
    pub fn token(&self) -> PathBuf {
        self.pairing.join("token")
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }

    /// The service broker's socket.
    pub fn broker(&self) -> PathBuf {
        self.runtime.join("broker.sock")
    }

    /// The service broker's memory.
    pub fn broker_store(&self) -> PathBuf {
        self.state.join("broker.redb")
    }

    /// The folder of generations.
    pub fn config(&self) -> PathBuf {
        self.state.join("config")
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are written.
    pub level: LogLevel,
    /// Where lines go.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}

/// How important a line must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A person is needed.
    Error,
    /// Something is wrong, and the agent goes on by itself.
    Warn,
    /// What happened.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// To the journal, with fields, where systemd connected standard error to it; else to standard error, as text.
    Auto,
    /// To the journal.
    Journal,
    /// To standard error, as text.
    Text,
    /// To standard error, as one JSON object per line.
    Json,
}
