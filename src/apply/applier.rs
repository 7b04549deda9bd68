//! Carries one request out: takes its turn, reads the generation, installs its files, runs the hooks in order, and
//! remembers.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::ApplierSettings;
use super::generation;
use super::hooks::{Hook, Hooks};
use super::install::{HooksKnow, Installer, NotInstalled};
use super::output::Output;
use super::process::{self, Ending, Program};
use super::record::Record;
use super::report::{Answer, HookOutcome, HookReport, Outcome, Refusal};
use super::request::{Notice, Request};
use super::server::Answers;
use super::stop::Stop;
use super::task::Task;
use crate::disk::{self, LockError, StateLock};
use crate::event::Message;
use crate::output::manifest::{Changes, Manifest};
use crate::ownership::Trusted;
use crate::transport::excerpt;

/// How long another applier on the same state is waited for: 10 seconds. The daemon tries again later.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked whether that one has finished: every 100 milliseconds.
const TURN_PAUSE: Duration = Duration::from_millis(100);

/// Carries out `request`, and tells `answers` of every hook as it finishes.
pub(super) async fn carry_out<W: AsyncWrite + Unpin>(
    settings: &ApplierSettings,
    request: Request,
    answers: &mut Answers<W>,
    stop: &Stop,
) -> Outcome {
    match attempt(settings, request, answers, stop).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn attempt<W: AsyncWrite + Unpin>(
    settings: &ApplierSettings,
    request: Request,
    answers: &mut Answers<W>,
    stop: &Stop,
) -> Result<Outcome, Outcome> {
    let _turn = turn(settings, stop).await?;
    let task = Task::new(request, &settings.agent_state);
    let mut installer = Installer::new(settings, &task, stop);
    let recovered = installer.recover().await;
    let (manifest, installed) = match request {
        Request::ConfigChanged(number, attempt) => {
            let manifest = generation::read(&settings.agent_state, number)
                .map_err(|error| Outcome::refused(error.refusal(), error.to_string()))?;
            let installed = match recovered {
                Ok(()) => installer.install(&manifest, attempt).await,
                Err(sentence) => Err(NotInstalled { outcome: Outcome::failed(sentence), hooks: HooksKnow::Already }),
            };
            (Some(Arc::new(manifest)), installed)
        }
        // Hooks are told of other things even where files could not be put back; that is told with the next generation.
        Request::Notice(_) => (None, Ok(())),
    };
    if !installer.report.is_empty() {
        answers.send(&Answer::Install(installer.report.clone().cut())).await;
    }
    let Err(failed) = installed else {
        return run_hooks(settings, task, manifest, answers, stop).await;
    };
    if failed.hooks == HooksKnow::NotYet {
        let task = Task::new(Request::Notice(Notice::ApplyFailed), &settings.agent_state);
        // What came of them is in their reports; the outcome is that of the installation.
        if run_hooks(settings, task, None, answers, stop).await.is_ok() {
            installer.hooks_were_told();
        }
    }
    Ok(failed.outcome)
}

/// Runs the hooks that have something to be told; for `config-changed`, about a manifest.
async fn run_hooks<W: AsyncWrite + Unpin>(
    settings: &ApplierSettings,
    task: Task,
    manifest: Option<Arc<Manifest>>,
    answers: &mut Answers<W>,
    stop: &Stop,
) -> Result<Outcome, Outcome> {
    let hooks = Hooks::find(&settings.hooks)
        .map_err(|error| Outcome::failed(format!("the folder of hooks cannot be read: {error}")))?;
    for skipped in hooks.skipped {
        answers.send(&Answer::Skipped(skipped)).await;
    }
    let mut record = Record::load(&settings.applier_state).map_err(unwritable)?;
    if !hooks.runnable.is_empty() {
        record.forget_absent(&settings.hooks).map_err(unwritable)?;
    }
    let run = Run { settings, task, manifest, stop };
    let mut failed = Vec::new();
    for hook in &hooks.runnable {
        if stop.is_told() {
            return Err(Outcome::failed("the applier was told to stop before all hooks had run; ask again"));
        }
        let Some(report) = run.hook(hook, &mut record).await? else {
            tracing::debug!(hook = %hook.name, "the hook {} has succeeded for this generation before", hook.name);
            continue;
        };
        if !report.outcome.is_success() {
            failed.push(format!("{0} {1} (see `journalctl HOOK={0}`)", report.name, report.outcome));
        }
        answers.send(&Answer::Hook(report)).await;
    }
    Ok(match failed.as_slice() {
        [] => Outcome::Done,
        [one] => Outcome::failed(format!("the hook {one}; the others ran")),
        [first, rest @ ..] => Outcome::failed(format!("the hook {first}; {} more failed as well", rest.len())),
    })
}

fn unwritable(error: impl std::fmt::Display) -> Outcome {
    Outcome::failed(format!("the applier cannot keep its record of what hooks were told: {error}"))
}

/// Waits until this process is the only applier on its state directory.
async fn turn(settings: &ApplierSettings, stop: &Stop) -> Result<StateLock, Outcome> {
    let state = &settings.applier_state;
    disk::ensure_folder(state, 0o700).map_err(unwritable)?;
    let trusted = Trusted::of_this_process();
    let checked = trusted.resolve(state).and_then(|real| trusted.check_folder(&real));
    checked.map_err(|error| Outcome::failed(format!("the applier's state directory is not its own: {error}")))?;
    let began = Instant::now();
    loop {
        match StateLock::take(state) {
            Ok(lock) => {
                // Only now is what lies there certainly nobody's.
                disk::settle_folder(state, 0o700).and_then(|()| disk::sweep(state)).map_err(unwritable)?;
                return Ok(lock);
            }
            Err(LockError::Held(_)) if began.elapsed() < TURN_LIMIT && !stop.is_told() => {
                tokio::time::sleep(TURN_PAUSE).await;
            }
            Err(error @ LockError::Held(_)) => return Err(Outcome::refused(Refusal::Busy, error.to_string())),
            Err(error) => return Err(unwritable(error)),
        }
    }
}

struct Run<'a> {
    settings: &'a ApplierSettings,
    task: Task,
    manifest: Option<Arc<Manifest>>,
    stop: &'a Stop,
}

impl Run<'_> {
    /// Runs the hook, if there is something to tell it. An error is one that the other hooks would meet as well.
    async fn hook(&self, hook: &Hook, record: &mut Record) -> Result<Option<HookReport>, Outcome> {
        let Some(manifest) = &self.manifest else {
            return self.start(hook, &Changes::default()).await.map(Some);
        };
        let Some(changes) = record.due(&hook.name, manifest) else {
            return Ok(None);
        };
        record.tell(&hook.name, &changes).map_err(unwritable)?;
        let report = self.start(hook, &changes).await?;
        if report.outcome.is_success() {
            record.succeeded(&hook.name, manifest).map_err(unwritable)?;
        }
        Ok(Some(report))
    }

    async fn start(&self, hook: &Hook, changes: &Changes) -> Result<HookReport, Outcome> {
        let name = &hook.name;
        let input = self
            .task
            .document(changes)
            .map_err(|error| Outcome::failed(format!("the document for hooks cannot be made: {error}")))?;
        let program = Program {
            path: &hook.program,
            arguments: &[self.task.argument()],
            environment: &self.task.environment(),
            input: &input,
            timeout: self.settings.timeout,
            grace: self.settings.grace,
        };
        let mut output = Output::new(name, self.settings.output_limit, Some(self.task.redaction()));
        let (ending, took) = process::run(&program, &mut output, self.stop).await;
        let outcome = match ending {
            Ending::Exited(0) => HookOutcome::Succeeded,
            Ending::Exited(code) => HookOutcome::Failed { code },
            Ending::Signalled(signal) => HookOutcome::Killed { signal },
            Ending::TimedOut => HookOutcome::TimedOut,
            Ending::Stopped => HookOutcome::Stopped,
            Ending::NotStarted(error) => HookOutcome::CouldNotStart { error: excerpt(&error.to_string(), &[]) },
        };
        let output = output.end();
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if outcome.is_success() {
            tracing::info!(hook = %name, milliseconds, "the hook {name} succeeded");
        } else {
            tracing::warn!(message_id = Message::HookFailed.id(), hook = %name, milliseconds, "the hook {name} {outcome}");
        }
        Ok(HookReport { name: excerpt(name, &[]), outcome, milliseconds, output })
    }
}

#[cfg(test)]
mod tests;
