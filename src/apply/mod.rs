//! The applier: the only part that runs with privileges, and the hooks it runs.
//!
//! The daemon [asks](request()) over a stream, one JSON value per line: the version, an event, and for a new
//! configuration the number of its generation; nothing else. The applier answers one line per hook that ran, one per
//! file that it left out, and last the [`Outcome`]. One connection carries one request; requests take turns.
//!
//! **What is trusted.** The applier's own settings, its own state, and programs that only root (or, where the applier
//! runs as somebody else, that user) can change. Nothing below the daemon's state directory is: its manifest is read
//! through `generation` as data, and ends only in the document that hooks read.
//!
//! **What comes first.** A new configuration's templates may have files outside the daemon's state directory: `install`
//! puts them in place, whole or not at all, before hooks are told. Where that is refused, hooks are told `apply-failed`
//! instead, once.
//!
//! **What a hook is told.** It is called with the event as its single argument, in `/`, in a process group of its own,
//! with exactly the environment that `task` lists, and reads one JSON document on its standard input. It has
//! [`ApplierSettings::timeout`] to finish; then its whole group gets SIGTERM, and [`ApplierSettings::grace`] later
//! SIGKILL. What it leaves running in its group when it exits is killed as well; who means to leave a service behind
//! asks systemd to start it. A process that left the group (`setsid`) is not followed, and nobody waits for it.
//!
//! **What a hook is told again.** For `config-changed` every hook has its own record of what it last succeeded for:
//! see the module `record`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{TemplateLimits, TemplateRule};

mod applier;
mod client;
mod fault;
#[cfg(test)]
mod fixture;
mod foreign;
mod generation;
mod hooks;
mod install;
mod output;
mod process;
mod record;
mod redaction;
mod report;
mod request;
mod server;
mod stop;
mod stream;
mod task;

pub use client::{Route, exchange, request};
pub use fault::ApplyError;
pub use hooks::{Survey, survey};
pub use report::{
    HookOutcome, HookReport, InstallReport, Outcome, Refusal, RefusedInstall, Report, SkipReason, Skipped, UnitReport,
    UnitResult,
};
pub use request::{Attempt, Event, Notice, PROTOCOL_VERSION, Request};
pub use server::{serve_socket, serve_stdio, serve_stream};
pub use stop::Stop;

/// What the applier needs to know; all of it from places that only root can write.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplierSettings {
    /// The folder of hooks.
    pub hooks: PathBuf,
    /// How long a hook may take.
    pub timeout: Duration,
    /// How long a hook that was asked to end has for it.
    pub grace: Duration,
    /// How much of a hook's output goes to the journal, in bytes; what comes after is read and dropped.
    pub output_limit: usize,
    /// The daemon's state directory. Read, never trusted.
    pub agent_state: PathBuf,
    /// The applier's own state directory.
    pub applier_state: PathBuf,
    /// The templates whose files are installed.
    pub rules: Vec<TemplateRule>,
    /// How many there may be, and how large.
    pub limits: TemplateLimits,
    /// The program by which units are told.
    pub systemctl: PathBuf,
}
