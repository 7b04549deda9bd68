//! What is counted while the agent runs, and the page of it and of how things are, for Prometheus.
//!
//! There is one set of counters in a process, as there is one log: what is counted is counted where it is said, on
//! whatever thread that is.

mod name;
mod page;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::apply::{HookOutcome, HookReport, InstallReport};
use crate::event::{Answered, Outcome, PollResult, Retry};

pub use name::{Kind, Name, PREFIX};
pub use page::{CONTENT_TYPE, in_text_format, page};

/// One label and its value. Both are words of the program, so that there are not many.
type Label = [(&'static str, &'static str); 1];

/// The upper bounds of polls: a small landscape takes milliseconds, the largest ones minutes.
const POLL_BOUNDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// The upper bounds of hooks, which may run for an hour at the most.
const HOOK_BOUNDS: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0];

/// How a renewal ended.
const RENEWALS: [&str; 2] = ["success", "failure"];

/// All that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    renewals: Family<Label, Counter>,
    pairings: Counter,
    polls: Family<Label, Counter>,
    poll_duration: Histogram,
    answer_bytes: Counter,
    generations: Counter,
    files_written: Counter,
    files_removed: Counter,
    applies: Family<Label, Counter>,
    hooks: Family<Label, Counter>,
    hook_duration: Histogram,
    retries: Family<Label, Counter>,
    broker_requests: Family<Label, Counter>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The counters of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let mut counter = |name: Name| {
            let counter = Counter::default();
            registry.register(name.stem(), name.help(), counter.clone());
            counter
        };
        let [pairings, answer_bytes, generations, files_written, files_removed] =
            [Name::Pairings, Name::AnswerBytes, Name::Generations, Name::FilesWritten, Name::FilesRemoved]
                .map(&mut counter);
        let mut family = |name: Name, values: &[&'static str]| {
            let family = Family::<Label, Counter>::default();
            // A series that begins with its first event hides that event from rate().
            for value in values {
                drop(family.get_or_create(&label(name, value)));
            }
            registry.register(name.stem(), name.help(), family.clone());
            family
        };
        let renewals = family(Name::Renewals, &RENEWALS);
        let polls = family(Name::Polls, &PollResult::ALL.map(PollResult::as_str));
        let applies = family(Name::Applies, &Answered::ALL.map(Answered::as_str));
        let hooks = family(Name::Hooks, &HookOutcome::WORDS);
        let broker_requests = family(Name::BrokerRequests, &Outcome::ALL.map(Outcome::as_str));
        let retries = family(Name::Retries, &Retry::ALL.map(Retry::as_str));
        let poll_duration = Histogram::new(POLL_BOUNDS);
        registry.register(Name::PollDuration.stem(), Name::PollDuration.help(), poll_duration.clone());
        let hook_duration = Histogram::new(HOOK_BOUNDS);
        registry.register(Name::HookDuration.stem(), Name::HookDuration.help(), hook_duration.clone());
        Self {
            registry,
            renewals,
            pairings,
            polls,
            poll_duration,
            answer_bytes,
            generations,
            files_written,
            files_removed,
            applies,
            hooks,
            hook_duration,
            retries,
            broker_requests,
        }
    }

    /// The certificate was renewed.
    pub fn renewed(&self) {
        self.renewals.get_or_create(&label(Name::Renewals, RENEWALS[0])).inc();
    }

    /// A renewal failed.
    pub fn not_renewed(&self) {
        self.renewals.get_or_create(&label(Name::Renewals, RENEWALS[1])).inc();
    }

    /// The host was paired.
    pub fn paired(&self) {
        self.pairings.inc();
    }

    /// The plane was asked for the applications.
    pub fn poll(&self, result: PollResult, took: Duration) {
        self.polls.get_or_create(&label(Name::Polls, result.as_str())).inc();
        self.poll_duration.observe(took.as_secs_f64());
    }

    /// So many bytes of an answer came.
    pub fn answer_bytes(&self, count: u64) {
        self.answer_bytes.inc_by(count);
    }

    /// A generation was published.
    pub fn published(&self) {
        self.generations.inc();
    }

    /// Files were installed.
    pub fn installed(&self, report: &InstallReport) {
        self.files_written.inc_by(report.written as u64);
        self.files_removed.inc_by(report.removed as u64);
    }

    /// The applier answered.
    pub fn answered(&self, how: Answered) {
        self.applies.get_or_create(&label(Name::Applies, how.as_str())).inc();
    }

    /// A hook ran.
    pub fn hook(&self, report: &HookReport) {
        self.hooks.get_or_create(&label(Name::Hooks, report.outcome.word())).inc();
        self.hook_duration.observe(Duration::from_millis(report.milliseconds).as_secs_f64());
    }

    /// The service broker answered a request.
    pub fn broker_request(&self, how: Outcome) {
        self.broker_requests.get_or_create(&label(Name::BrokerRequests, how.as_str())).inc();
    }

    /// Something is tried again.
    pub fn retry(&self, what: Retry) {
        self.retries.get_or_create(&label(Name::Retries, what.as_str())).inc();
    }
}

fn label(name: Name, value: &'static str) -> Label {
    [(name.label().unwrap_or("value"), value)]
}
