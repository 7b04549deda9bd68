//! One installation, from the list to the confirmation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::foreign::ForeignState;
use super::Installer;
use super::commands::takes_a_file;
use super::directory::{Directory, DirectoryError, Spot};
use super::failure::Failure;
use super::found::{Found, look};
use super::input::{self, Desired, Input, Rules};
use super::journal::{Fate, Journal, NewFile, OldFile, Operation, Stage, Told, temporary};
use super::plan::{Hindrance, Kept, Step, Wanted, Whose, plan};
use super::record::{Installed, InstalledFile};
use super::transaction::{Content, copy_apart};
use crate::config::{OnConflict, TemplateName, TemplateRule};
use crate::disk::DiskError;
use crate::output::manifest::Manifest;
use crate::ownership::Trusted;

/// What one installation is made from.
pub(super) struct Work<'w, 'a> {
    pub installer: &'w mut Installer<'a>,
    pub manifest: &'w Manifest,
    pub text: &'w [u8],
    pub foreign: &'w ForeignState,
    pub installed: Installed,
}

/// What changed of a rule's files.
#[derive(Debug, Default)]
struct Changed {
    changed: Vec<String>,
    removed: Vec<String>,
    /// The places of installed files that get new content, with the name of that until then.
    new: Vec<(Spot, String)>,
    /// Whether a file outside the generation is among them.
    installed: usize,
}

/// All that changes, by the rules' names.
type Changes = BTreeMap<TemplateName, Changed>;

impl Work<'_, '_> {
    /// Installs, or leaves everything as it was.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let settings = self.installer.settings;
        let rules = Rules::compile(&settings.rules)?;
        let outputs = input::parse(self.text, self.manifest.generation, &settings.limits)?;
        let input = rules.check(outputs, &self.manifest.runtime, self.foreign, &settings.limits)?;
        let (steps, next) = self.plan(&input, &rules)?;
        let (mut journal, changes) = self.prepare(&steps, &input, &next)?;
        if changes.is_empty() {
            if next != self.installed {
                next.save(&settings.applier_state)?;
            }
            return Ok(());
        }
        let changed: Vec<(&TemplateRule, &Changed)> =
            settings.rules.iter().filter_map(|rule| Some((rule, changes.get(&rule.name)?))).collect();
        for name in changes.keys().filter(|name| rules.get(name).is_none()) {
            self.installer.warn(format!(
                "files of the template {name} go, which the configuration has no more: nobody is told, for the units \
                 that read them are not known any more"
            ));
        }
        journal.save(&settings.applier_state)?;
        if let Err(failure) = self.carry_out(&mut journal, &input, &changed).await {
            return Err(self.take_back(&mut journal, failure).await);
        }
        let mut next = Installed { transaction: Some(journal.id.clone()), ..next };
        next.directories.retain(|path, _| !journal.dropped.iter().any(|dropped| dropped.path == *path));
        next.directories.extend(journal.directories.iter().map(|made| (made.path.clone(), made.fixed.clone())));
        if let Err(error) = next.save(&settings.applier_state) {
            return Err(match self.forget(&journal) {
                Ok(()) => self.take_back(&mut journal, error.into()).await,
                Err(doubt) => Failure::again(format!(
                    "{error}; the new files are in place, and the next request decides whether they stay, for {doubt}"
                )),
            });
        }
        self.installer.report.written = journal.operations.iter().filter(|operation| operation.new.is_some()).count();
        self.installer.report.removed = journal.operations.len() - self.installer.report.written;
        if let Err(sentence) = self.installer.clear_up(&mut journal) {
            self.installer.warn(format!("{sentence}; the next request tries again"));
        }
        Ok(())
    }

    /// Takes the transaction back, and gives what is said then.
    async fn take_back(&mut self, journal: &mut Journal, failure: Failure) -> Failure {
        self.installer.report.units.clear();
        match self.installer.take_back(journal).await {
            Ok(()) => failure,
            Err(sentence) => Failure::again(format!("{failure}; and {sentence}")),
        }
    }

    /// Sees that the record does not name the transaction, although it could not be written: the file may have got its
    /// name and only not be durable, and would make final what is about to be taken back.
    fn forget(&self, journal: &Journal) -> Result<(), DiskError> {
        let state = &self.installer.settings.applier_state;
        if Installed::load(state)?.transaction.as_deref() == Some(&journal.id) {
            self.installed.save(state)?;
        }
        Ok(())
    }

    /// What is to be done, and what is remembered once it is.
    fn plan(&mut self, input: &Input, rules: &Rules<'_>) -> Result<(BTreeMap<PathBuf, Step>, Installed), Failure> {
        let found = self.look(input)?;
        let wanted = |(path, desired): (&PathBuf, &Desired)| {
            let install = rules.get(&desired.template).and_then(|rule| rule.install.as_ref());
            let on_conflict = install.map_or(OnConflict::default(), |install| install.on_conflict);
            (path.clone(), Wanted { shape: desired.shape, on_conflict })
        };
        let wanted = input.files.iter().map(wanted).collect();
        let steps = plan(&wanted, &self.installed, |path| found.get(path).copied().unwrap_or(Found::Absent));
        if let Some(message) = hindrances(&steps) {
            return Err(Failure::refused(message));
        }
        let mut next = self.installed.clone();
        next.inside.clone_from(&input.inside);
        for (path, step) in &steps {
            match (step, input.files.get(path)) {
                (Step::Nothing | Step::Create | Step::Replace { .. }, Some(desired)) => {
                    let Desired { template, item, spot, shape, .. } = desired.clone();
                    next.files.insert(path.clone(), InstalledFile { template, item, fixed: spot.fixed, shape });
                }
                _ => {
                    next.files.remove(path);
                }
            }
            if let Some(warning) = warning(path, *step) {
                self.installer.warn(warning);
            }
        }
        Ok((steps, next))
    }

    /// What lies at every path that is wanted or was installed.
    fn look(&self, input: &Input) -> Result<BTreeMap<PathBuf, Found>, Failure> {
        let trusted = Trusted::of_this_process();
        let mut all = BTreeMap::new();
        let mut places = BTreeSet::new();
        let paths: BTreeSet<&PathBuf> = input.files.keys().chain(self.installed.files.keys()).collect();
        for path in paths {
            let desired = input.files.get(path);
            let recorded = self.installed.files.get(path);
            let Some(spot) = desired.map(|desired| desired.spot.clone()).or(recorded.map(|file| file.spot(path)))
            else {
                continue;
            };
            let lengths: Vec<u64> = desired
                .map(|desired| desired.shape.size)
                .into_iter()
                .chain(recorded.map(|file| file.shape.size))
                .collect();
            let found = match Directory::open(trusted, &spot.fixed, spot.below()) {
                Ok(directory) => {
                    let failed = |error| Failure::again(format!("cannot look at {}: {error}", path.display()));
                    let place = (directory.identity().map_err(failed)?, spot.name().to_owned());
                    if desired.is_some() && !places.insert(place) {
                        return Err(Failure::refused(format!(
                            "{} is the same place as another file's, by a link on the way",
                            path.display()
                        )));
                    }
                    look(&directory, spot.name(), &lengths).map_err(failed)?
                }
                Err(DirectoryError::Missing(_)) => Found::Absent,
                Err(error) if desired.is_none() && error.is_absent() => Found::Absent,
                // What cannot be looked at for now is not another file for that.
                Err(error) if desired.is_none() && !error.may_pass() => {
                    tracing::warn!("{} is not removed: {error}", path.display());
                    Found::Other("in a directory that is not gone into")
                }
                Err(error) => {
                    return Err(match error.into() {
                        Failure::Refused { message, output } => {
                            Failure::Refused { message: format!("{}: {message}", path.display()), output }
                        }
                        other => other,
                    });
                }
            };
            all.insert(path.clone(), found);
        }
        Ok(all)
    }

    /// The journal of what is to be done, and what that changes for whom.
    fn prepare(
        &self,
        steps: &BTreeMap<PathBuf, Step>,
        input: &Input,
        next: &Installed,
    ) -> Result<(Journal, Changes), DirectoryError> {
        let mut journal = Journal {
            id: uuid::Uuid::new_v4().simple().to_string(),
            stage: Stage::Staging,
            directories: Vec::new(),
            dropped: Vec::new(),
            operations: Vec::new(),
        };
        let mut changes = Changes::new();
        let acting = steps.iter().filter(|(_, step)| step.acts());
        for (index, (path, step)) in acting.enumerate() {
            let desired = input.files.get(path);
            let recorded = self.installed.files.get(path);
            let Some(spot) = desired.map(|desired| desired.spot.clone()).or(recorded.map(|file| file.spot(path)))
            else {
                continue;
            };
            let name = |what| temporary(spot.name(), what, &journal.id, index);
            let new = desired.map(|desired| NewFile { name: name("new"), shape: desired.shape, inode: None });
            let old = |identity, fate| Some(OldFile { name: name("old"), identity, fate });
            let old = match *step {
                Step::Replace { before, of: Whose::Ours } | Step::Remove { before } => old(before, Fate::Gone),
                Step::Replace { before, of: Whose::Edited | Whose::Foreign } => old(before, Fate::Backup),
                Step::Create | Step::Nothing | Step::Keep(_) | Step::Forget | Step::Refuse(_) => None,
            };
            let templates = desired.map(|desired| &desired.template).into_iter();
            for template in templates.chain(recorded.map(|file| &file.template)).collect::<BTreeSet<_>>() {
                let change = changes.entry(template.clone()).or_default();
                change.installed += 1;
                let text = path.to_string_lossy().into_owned();
                match &new {
                    Some(new) if desired.is_some_and(|desired| desired.template == *template) => {
                        change.changed.push(text);
                        change.new.push((spot.clone(), new.name.clone()));
                    }
                    _ => change.removed.push(text),
                }
            }
            journal.operations.push(Operation { spot, new, old });
        }
        for (template, paths) in input::changed_inside(&self.installed.inside, &input.inside) {
            let change = changes.entry(template.clone()).or_default();
            for path in paths {
                let whole = self.installer.task.inside(path);
                let list = if input.inside.contains_key(path) { &mut change.changed } else { &mut change.removed };
                list.push(whole);
            }
        }
        journal.directories = missing(&journal.operations)?;
        let empty = |directory: &Path| !next.files.keys().any(|path| path.starts_with(directory));
        let made = self.installed.directories.iter();
        journal.dropped = made
            .filter(|(path, _)| empty(path))
            .map(|(path, fixed)| Spot { fixed: fixed.clone(), path: path.clone() })
            .collect();
        Ok((journal, changes))
    }

    /// Everything between the journal and the confirmation.
    async fn carry_out(
        &mut self,
        journal: &mut Journal,
        input: &Input,
        changed: &[(&TemplateRule, &Changed)],
    ) -> Result<(), Failure> {
        let state = &self.installer.settings.applier_state;
        let (commands, stop) = (self.installer.commands(), self.installer.stop);
        let foreign = self.foreign;
        let content = |path: &Path| {
            input.files.get(path).map(|desired| Content { state: foreign, path: desired.content.clone() })
        };
        self.installer.transaction(journal).stage(content)?;
        let checks = changed.iter().filter_map(|(rule, changed)| {
            let validate = rule.install.as_ref()?.validate.as_ref()?;
            (changed.installed > 0).then_some((rule, validate, changed))
        });
        for (rule, validate, changed) in checks.clone().filter(|(_, validate, _)| takes_a_file(validate)) {
            for (spot, name) in &changed.new {
                let trusted = Trusted::of_this_process();
                let directory = Directory::open(trusted, &spot.fixed, spot.below())?;
                // A command follows links. Where somebody else could put one in the place of the file, the command would
                // read what only root can, and tell of it.
                let desired = input.files.get(&spot.path).filter(|_| !directory.is_held(trusted));
                let apart = desired
                    .zip(content(&spot.path))
                    .map(|(desired, content)| copy_apart(state, &spot.path, &desired.shape, &content));
                let apart = apart.transpose()?;
                let file = apart.as_ref().map_or(directory.path().join(name), |apart| apart.path().to_owned());
                let checked = commands.validate(&rule.name, validate, Some(&file), stop).await;
                checked.map_err(|failure| about(failure, &spot.path))?;
            }
        }
        self.ask_to_stop()?;
        journal.stage = Stage::Placing;
        journal.save(state)?;
        self.installer.transaction(journal).place()?;
        for (rule, validate, _) in checks.filter(|(_, validate, _)| !takes_a_file(validate)) {
            commands.validate(&rule.name, validate, None, stop).await?;
        }
        let mut told = Told { id: journal.id.clone(), units: Vec::new() };
        for unit in changed.iter().flat_map(|(rule, _)| &rule.reload) {
            if told.units.contains(unit) {
                continue;
            }
            told.units.push(unit.clone());
            told.save(state)?;
            let report = commands.tell(unit, stop).await?;
            self.installer.report.units.push(report);
        }
        for (rule, changed) in changed {
            if let Some(command) = &rule.on_change {
                commands.follow(&rule.name, command, &changed.changed, &changed.removed, stop).await?;
            }
        }
        self.ask_to_stop()
    }

    fn ask_to_stop(&self) -> Result<(), Failure> {
        if self.installer.stop.is_told() {
            Err(Failure::again("the applier was told to stop in the middle; ask again"))
        } else {
            Ok(())
        }
    }
}

/// Names the file in a failure to validate it.
fn about(failure: Failure, path: &Path) -> Failure {
    match failure {
        Failure::Refused { message, output } => {
            Failure::Refused { message: format!("{message} for what is to be {}", path.display()), output }
        }
        other => other,
    }
}

/// The directories that have to be made, each after the one that it lies in.
fn missing(operations: &[Operation]) -> Result<Vec<Spot>, DirectoryError> {
    let trusted = Trusted::of_this_process();
    let mut missing = BTreeMap::new();
    for spot in operations.iter().filter(|operation| operation.new.is_some()).map(|operation| &operation.spot) {
        let above = spot.below().ancestors().filter(|below| **below != *"");
        for below in above {
            let path = spot.fixed.join(below);
            if missing.contains_key(&path) {
                break;
            }
            match Directory::open(trusted, &spot.fixed, below) {
                Ok(_) => break,
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
            missing.insert(path.clone(), Spot { fixed: spot.fixed.clone(), path });
        }
    }
    Ok(missing.into_values().collect())
}

/// Why nothing may be installed.
fn hindrances(steps: &BTreeMap<PathBuf, Step>) -> Option<String> {
    let mut all = steps.iter().filter_map(|(path, step)| match step {
        Step::Refuse(hindrance) => Some((path.display(), *hindrance)),
        _ => None,
    });
    let (path, hindrance) = all.next()?;
    let first = match hindrance {
        Hindrance::NotAFile(kind) => format!("{path} is {kind}, and only a file is replaced; move it away"),
        Hindrance::Conflict(Whose::Edited) => {
            format!(
                "{path} was changed by somebody, and on_conflict is \"fail\"; move it away, or take the change back"
            )
        }
        Hindrance::Conflict(_) => {
            format!("{path} is there and was not installed by the agent, and on_conflict is \"fail\"; move it away")
        }
    };
    Some(match all.count() {
        0 => first,
        more => format!("{first}; and {more} more files are in the way"),
    })
}

fn warning(path: &Path, step: Step) -> Option<String> {
    let path = path.display();
    match step {
        Step::Replace { of: Whose::Edited, .. } => Some(format!(
            "{path} was changed by somebody since it was installed; it is replaced, and what it was is kept beside as \
             .runtime-agent-backup"
        )),
        Step::Replace { of: Whose::Foreign, .. } => Some(format!(
            "{path} was there already and was not installed by the agent; it is replaced, and what it was is kept \
             beside as .runtime-agent-backup"
        )),
        Step::Keep(Kept::Asked(_)) => Some(format!(
            "{path} is not what is to be there, and on_conflict is \"keep\": it stays until it goes or is the same"
        )),
        Step::Keep(Kept::EditedAndGone) => Some(format!(
            "{path} is not needed any more, and stays, for somebody changed it; remove it when nobody needs it"
        )),
        Step::Nothing
        | Step::Create
        | Step::Replace { of: Whose::Ours, .. }
        | Step::Remove { .. }
        | Step::Forget
        | Step::Refuse(_) => None,
    }
}
