//! What the applier answers: one line per hook, one per hook that it left out, one for the files of
//! templates, and last the outcome.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::transport::excerpt;

/// Everything that came of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The hooks that ran, in the order in which they ran. A hook that has succeeded for the generation before, and
    /// so need not run, is not among them.
    pub hooks: Vec<HookReport>,
    /// What lies in the folder of hooks and did not run.
    pub skipped: Vec<Skipped>,
    /// What came of the files of templates, where there is something to say of them.
    #[serde(default)]
    pub install: Option<InstallReport>,
    /// The whole.
    pub outcome: Outcome,
}

/// What came of the files of templates that are installed. Lists are cut where they would be long; the journal has all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallReport {
    /// How many files were written.
    pub written: usize,
    /// How many files were removed.
    pub removed: usize,
    /// The units that were told, and those that had to be told again because it was all taken back.
    pub units: Vec<UnitReport>,
    /// What else a person should know: files that somebody changed, what could not be cleared up.
    pub warnings: Vec<String>,
    /// Why nothing was installed.
    pub refused: Option<RefusedInstall>,
}

/// An installation that was refused. All files are as they were before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedInstall {
    /// When it was tried.
    pub at: Timestamp,
    /// What failed.
    pub message: String,
    /// The last lines of the command that failed, each made fit for a log line.
    pub output: Vec<String>,
}

/// What came of telling a unit that its files changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReport {
    /// The unit.
    pub unit: String,
    /// What came of it.
    pub result: UnitResult,
}

/// What came of telling a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum UnitResult {
    /// It was reloaded, or restarted.
    Told,
    /// It does not run, and reads its files when it is started.
    Inactive,
    /// It had failed before, and was started again with success.
    Revived,
    /// It had failed before, and fails with the new files as well.
    StillFailed {
        /// How.
        reason: String,
    },
    /// It could not be told.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for UnitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = &self.unit;
        match &self.result {
            UnitResult::Told => write!(f, "{unit} was reloaded or restarted"),
            UnitResult::Inactive => write!(f, "{unit} does not run, and was left so"),
            UnitResult::Revived => write!(f, "{unit} had failed before, and was started again"),
            UnitResult::StillFailed { reason } => write!(f, "{unit} had failed before, and still does: {reason}"),
            UnitResult::Skipped { reason } => write!(f, "{unit} was not told: {reason}"),
        }
    }
}

impl InstallReport {
    /// How long the lists of a report are at the most.
    const MOST: usize = 20;

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same, short enough for a line of the answer.
    pub(super) fn cut(mut self) -> Self {
        let more = self.warnings.len().saturating_sub(Self::MOST);
        self.warnings.truncate(Self::MOST);
        self.warnings.iter_mut().for_each(|warning| *warning = excerpt(warning, &[]));
        if more > 0 {
            self.warnings.push(format!("{more} more are in the journal"));
        }
        self.units.truncate(Self::MOST);
        for unit in &mut self.units {
            if let UnitResult::StillFailed { reason } | UnitResult::Skipped { reason } = &mut unit.result {
                *reason = excerpt(reason, &[]);
            }
        }
        self
    }
}

/// What came of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// The hook's file name.
    pub name: String,
    /// How it ended.
    pub outcome: HookOutcome,
    /// How long it took.
    pub milliseconds: u64,
    /// The last lines of what it wrote, each made fit for a log line.
    pub output: Vec<String>,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum HookOutcome {
    /// It exited with 0.
    Succeeded,
    /// It exited with another code.
    Failed {
        /// The exit code.
        code: i32,
    },
    /// A signal ended it that was not the applier's.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It took longer than it may, and was ended.
    TimedOut,
    /// It was ended because the applier was told to stop.
    Stopped,
    /// It did not start.
    CouldNotStart {
        /// What the system said.
        error: String,
    },
}

impl HookOutcome {
    /// How a hook can end, in bounded words.
    pub const WORDS: [&str; 6] = ["succeeded", "failed", "killed", "timed-out", "stopped", "could-not-start"];

    /// How it ended, in one of these words.
    pub fn word(&self) -> &'static str {
        let place = match self {
            Self::Succeeded => 0,
            Self::Failed { .. } => 1,
            Self::Killed { .. } => 2,
            Self::TimedOut => 3,
            Self::Stopped => 4,
            Self::CouldNotStart { .. } => 5,
        };
        Self::WORDS[place]
    }

    /// Whether the hook did what it was asked for.
    pub fn is_success(&self) -> bool {
        *self == Self::Succeeded
    }
}

impl fmt::Display for HookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed { code } => write!(f, "failed with exit code {code}"),
            Self::Killed { signal } => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("took too long and was ended"),
            Self::Stopped => f.write_str("was ended because the applier was told to stop"),
            Self::CouldNotStart { error } => write!(f, "could not start: {error}"),
        }
    }
}

/// Something in the folder of hooks that did not run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file's name.
    pub name: String,
    /// Why, in one word.
    pub reason: SkipReason,
    /// Why, in a sentence that says what to do.
    pub message: String,
}

/// Why a file in the folder of hooks does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// Its name begins with `.`.
    Hidden,
    /// Its name is one that package managers and editors give to what they leave behind.
    Leftover,
    /// Its name is not printable text.
    BadName,
    /// It is a folder, a socket, a device or the like.
    NotAFile,
    /// It has no execute permission.
    NotExecutable,
    /// Others than its owner can change it, or replace it.
    Writable,
    /// It, or a folder on the way to it, belongs to somebody whom the applier does not run programs of.
    Owner,
    /// It cannot be looked at.
    Unreadable,
    /// There are more hooks than the applier runs.
    TooMany,
}

impl SkipReason {
    /// Whether somebody probably meant it to run.
    pub fn is_a_fault(self) -> bool {
        match self {
            Self::Hidden | Self::Leftover | Self::NotAFile | Self::NotExecutable => false,
            Self::BadName | Self::Writable | Self::Owner | Self::Unreadable | Self::TooMany => true,
        }
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// All that was to run has succeeded.
    Done,
    /// Something failed; the same request may be made again later.
    Failed {
        /// What failed, and what to do.
        message: String,
    },
    /// Nothing was done.
    Refused {
        /// Why, in one word.
        reason: Refusal,
        /// Why, in a sentence.
        message: String,
    },
}

impl Outcome {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into() }
    }

    pub(super) fn refused(reason: Refusal, message: impl Into<String>) -> Self {
        Self::Refused { reason, message: message.into() }
    }
}

/// Why the applier does not take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The request is of a version that it does not know.
    UnknownVersion,
    /// The request names an event that it does not know.
    UnknownEvent,
    /// The line is not a request.
    Malformed,
    /// The line is longer than a request can be.
    TooLong,
    /// The request did not come in time.
    TooSlow,
    /// Who asks may not.
    Forbidden,
    /// Another applier is at work.
    Busy,
    /// The generation is not there (any more).
    GenerationMissing,
    /// What is there is not a generation that can be trusted.
    GenerationUnreadable,
    /// The files of templates were not installed, and the same would not be either.
    InstallRefused,
}

impl Refusal {
    /// The word, as it stands on the stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownVersion => "unknown-version",
            Self::UnknownEvent => "unknown-event",
            Self::Malformed => "malformed",
            Self::TooLong => "too-long",
            Self::TooSlow => "too-slow",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::GenerationMissing => "generation-missing",
            Self::GenerationUnreadable => "generation-unreadable",
            Self::InstallRefused => "install-refused",
        }
    }
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// A hook has finished.
    Hook(HookReport),
    /// A file in the folder of hooks was left out.
    Skipped(Skipped),
    /// The files of templates were seen to.
    Install(InstallReport),
    /// The last line.
    Outcome(Outcome),
}
