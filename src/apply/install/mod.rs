//! Installs the files of templates outside the daemon's state directory: all of them, or none.
//!
//! One installation is a transaction: plan, validate, put in place, tell units and commands, confirm. Whatever fails
//! before the last step, every file is as it was before: the very same file, by a second name that it had meanwhile, so
//! content, owner, mode, times and attributes come back exactly. Units that were told are told again then.
//!
//! **What a kill leaves.** The [journal](journal::Journal) is durable before anything changes, and says what there is to
//! take back. The one write that makes the transaction final is that of [`Installed`], which names it. So the next
//! request, whatever it asks for, first takes an unfinished transaction back, or clears up after a finished one; both can
//! be interrupted and done again.
//!
//! **What is trusted.** The applier's own configuration and state. The list of files comes from the daemon and is data:
//! its rules are looked up here, its destinations computed again. Directories are opened by [`directory`], so that no
//! link which somebody unprivileged could plant is followed, and no file lands outside of the directory that its pattern
//! begins with.
//!
//! **What is refused is not tried again by itself.** It is remembered by what it was made from; the same is answered with
//! the same words, until the list or the rules change, or a person asks. What another try may mend (a full disk, a stop)
//! is not remembered.

mod commands;
mod directory;
mod failure;
mod found;
mod input;
mod journal;
mod plan;
mod record;
mod transaction;
mod units;
mod work;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use self::commands::Commands;
use self::failure::Failure;
use self::journal::{Journal, Told};
use self::record::{Installed, Refused};
use self::transaction::Transaction;
use self::work::Work;
use super::ApplierSettings;
use super::foreign::ForeignState;
use super::report::{InstallReport, Outcome, Refusal, RefusedInstall};
use super::request::Attempt;
use super::stop::Stop;
use super::task::Task;
use crate::disk;
use crate::event::Message;
use crate::output::manifest::Manifest;
use crate::ownership::Trusted;
use crate::transport::fit;

/// Installs for one request.
#[derive(Debug)]
pub(super) struct Installer<'a> {
    pub settings: &'a ApplierSettings,
    pub task: &'a Task,
    pub stop: &'a Stop,
    /// What is told of it.
    pub report: InstallReport,
}

/// Why an installation did not come about. Everything is as it was before.
#[derive(Debug)]
pub(super) struct NotInstalled {
    /// The answer.
    pub outcome: Outcome,
    /// Whether hooks are to be told.
    pub hooks: HooksKnow,
}

/// Whether hooks know of a failed installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HooksKnow {
    /// They do, or it is none of their business.
    Already,
    /// Not yet; say so with [`Installer::hooks_were_told`] once they do.
    NotYet,
}

impl<'a> Installer<'a> {
    pub(super) fn new(settings: &'a ApplierSettings, task: &'a Task, stop: &'a Stop) -> Self {
        Self { settings, task, stop, report: InstallReport::default() }
    }

    /// Brings to an end what an earlier process left unfinished. An error is a sentence, and then nothing may be
    /// installed.
    pub(super) async fn recover(&mut self) -> Result<(), String> {
        let state = &self.settings.applier_state;
        let Some(mut journal) = Journal::load(state)? else { return Ok(()) };
        let installed = Installed::load(state).map_err(|error| error.to_string())?;
        if installed.transaction.as_deref() == Some(&journal.id) {
            // Nobody may have seen the end of that write; the old files go only once it is durable.
            disk::sync_folder(state).map_err(|error| error.to_string())?;
            return self.clear_up(&mut journal);
        }
        tracing::warn!("an installation was interrupted; it is taken back");
        self.take_back(&mut journal).await
    }

    /// Installs what the generation asks for.
    pub(super) async fn install(&mut self, manifest: &Manifest, attempt: Attempt) -> Result<(), NotInstalled> {
        let failed = |failure: Failure| match failure {
            Failure::Generation(refusal, message) => Outcome::refused(refusal, message),
            Failure::Again(message) => Outcome::failed(message),
            // Those that are remembered are answered below.
            Failure::Refused { message, .. } => Outcome::refused(Refusal::InstallRefused, message),
        };
        let known = |failure| NotInstalled { outcome: failed(failure), hooks: HooksKnow::Already };
        let state = &self.settings.applier_state;
        let installed = Installed::load(state).map_err(|error| known(error.into()))?;
        let Some((text, foreign)) = self.list(manifest, &installed).map_err(known)? else { return Ok(()) };
        let inputs = record::inputs(&text, &self.settings.rules)
            .map_err(|error| known(Failure::again(format!("the rules cannot be compared: {error}"))))?;
        let refused = Refused::load(state).map_err(|error| known(error.into()))?;
        if let Some(refused) = refused.as_ref().filter(|refused| refused.inputs == inputs)
            && attempt == Attempt::Ordinary
        {
            return Err(self.refuse(refused));
        }
        let work = Work { installer: self, manifest, text: &text, foreign: &foreign, installed };
        match work.run().await {
            Ok(()) => match refused.map_or(Ok(()), |_| Refused::clear(state)) {
                Ok(()) => Ok(()),
                Err(error) => Err(known(error.into())),
            },
            Err(Failure::Refused { message, output }) => {
                let message = fit(&message);
                let refused = Refused { inputs, at: Timestamp::now(), message, output, told: false };
                if let Err(error) = refused.save(state) {
                    self.warn(format!("what was refused could not be remembered, and is tried again: {error}"));
                }
                Err(self.refuse(&refused))
            }
            Err(other) => Err(known(other)),
        }
    }

    /// Remembers that hooks know of what was refused.
    pub(super) fn hooks_were_told(&mut self) {
        let state = &self.settings.applier_state;
        let told = Refused::load(state).and_then(|refused| match refused {
            Some(refused) => Refused { told: true, ..refused }.save(state),
            None => Ok(()),
        });
        if let Err(error) = told {
            self.warn(format!("hooks are told once more that an installation was refused, for {error}"));
        }
    }

    fn refuse(&mut self, refused: &Refused) -> NotInstalled {
        self.report.refused =
            Some(RefusedInstall { at: refused.at, message: refused.message.clone(), output: refused.output.clone() });
        let said = refused.output.last().map(|line| format!(" (it says: {line})")).unwrap_or_default();
        let message = format!(
            "{}{said}; all files are as they were. The same is not tried again by itself: mend it, and run \
             `runtime-agent sync`",
            refused.message
        );
        let hooks = if refused.told { HooksKnow::Already } else { HooksKnow::NotYet };
        NotInstalled { outcome: Outcome::refused(Refusal::InstallRefused, message), hooks }
    }

    /// The list of files, and where it comes from. Nothing, where nothing is to be done about it.
    fn list(&mut self, manifest: &Manifest, installed: &Installed) -> Result<Option<(Vec<u8>, ForeignState)>, Failure> {
        let unreadable = |error| {
            Failure::Generation(Refusal::GenerationUnreadable, format!("the state directory cannot be read: {error}"))
        };
        let foreign = ForeignState::open(&self.settings.agent_state).map_err(unreadable)?;
        let text = match input::list(&foreign, manifest)? {
            Some(text) => text,
            None if installed.files.is_empty() => return Ok(None),
            // What is missing may be missing for another reason than that it is not wanted: nothing goes on a doubt.
            None if !self.settings.rules.is_empty() => {
                self.warn(
                    "the daemon knows of no templates, and the applier's configuration has some: what was installed \
                     stays until the daemon has read it, too (`systemctl reload runtime-agent`)"
                        .to_owned(),
                );
                return Ok(None);
            }
            None => br#"{"version":1,"outputs":[]}"#.to_vec(),
        };
        Ok(Some((text, foreign)))
    }

    fn commands(&self) -> Commands<'a> {
        Commands { settings: self.settings, task: self.task }
    }

    fn transaction<'t>(&'t mut self, journal: &'t mut Journal) -> Transaction<'t> {
        let trusted = Trusted::of_this_process();
        Transaction { journal, trusted, warnings: &mut self.report.warnings }
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.report.warnings.push(warning);
    }

    /// Takes a transaction back: files, then the units that were told. An error is a sentence; the journal stays then.
    async fn take_back(&mut self, journal: &mut Journal) -> Result<(), String> {
        let state = &self.settings.applier_state;
        let before = self.report.warnings.len();
        let taken_back = self.transaction(journal).take_back();
        for warning in &self.report.warnings[before..] {
            tracing::warn!("{warning}");
        }
        taken_back.map_err(|failed| {
            let sentence =
                format!("an installation could not be taken back whole: {failed}; the next request tries again");
            tracing::error!(message_id = Message::NotTakenBack.id(), "{sentence}");
            sentence
        })?;
        let told = Told::load(state, &journal.id).map_err(|error| error.to_string())?;
        for unit in told.units {
            // Not interrupted by a wish to stop: until they have read the old files again, nothing is as before.
            match self.commands().tell(&unit, &Stop::never()).await {
                Ok(report) => self.report.units.push(report),
                Err(failure) => self.warn(format!("{unit} was to read its old files again: {failure}")),
            }
        }
        Journal::clear(state).map_err(|error| error.to_string())
    }

    /// Clears up after a transaction that is final.
    fn clear_up(&mut self, journal: &mut Journal) -> Result<(), String> {
        let dropped = journal.dropped.clone();
        let mut transaction = self.transaction(journal);
        transaction.clear()?;
        for spot in dropped.iter().rev() {
            let removed = transaction.drop_directory(spot);
            removed.map_err(|error| format!("cannot remove the directory {}: {error}", spot.path.display()))?;
        }
        Journal::clear(&self.settings.applier_state).map_err(|error| error.to_string())
    }
}
