//! What is wanted: the list that the daemon left, checked against the applier's own configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, Uid, User, getegid, geteuid};

use super::super::foreign::{ForeignError, ForeignState};
use super::super::report::Refusal;
use super::directory::Spot;
use super::failure::Failure;
use super::found::{Shape, sum};
use super::record::InsideFile;
use crate::config::{Install, Place, TemplateLimits, TemplateName, TemplateRule};
use crate::ids::RuntimeId;
use crate::output::manifest::{GenerationNumber, Manifest, ObjectName};
use crate::output::outputs::{OUTPUTS_VERSION, OutputEntry, Outputs};
use crate::template::{DestinationPattern, ItemPlace};

/// The longest list that is read: 64 MiB, well over 100,000 files.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// The list, in the folder of its generation.
const OUTPUTS_FILE: &str = "outputs.json";

/// The folder beside the generations in which content lies, by its name.
const BLOBS: &str = "blobs";

/// A file that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Desired {
    pub template: TemplateName,
    pub item: ItemPlace,
    pub spot: Spot,
    pub shape: Shape,
    /// Its content, below the daemon's state directory.
    pub content: PathBuf,
}

/// Everything that is to be there.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Installed files, by their paths.
    pub files: BTreeMap<PathBuf, Desired>,
    /// Files inside the generation, by their destinations.
    pub inside: BTreeMap<String, InsideFile>,
}

/// The list of a generation, byte for byte. Nothing where the daemon had no templates.
pub(super) fn list(state: &ForeignState, manifest: &Manifest) -> Result<Option<Vec<u8>>, Failure> {
    let generation = manifest.generation;
    let path = Path::new("config").join(generation.folder()).join(OUTPUTS_FILE);
    match state.read(&path, MOST_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(ForeignError::Missing) if manifest.rendered.is_none() => Ok(None),
        Err(error) => Err(unreadable(generation, &error)),
    }
}

fn unreadable(generation: GenerationNumber, problem: &impl std::fmt::Display) -> Failure {
    let message = format!("the list of files of generation {generation} {problem}");
    Failure::Generation(Refusal::GenerationUnreadable, message)
}

/// Reads the list. Its text is not quoted, for it may be anybody's.
pub(super) fn parse(text: &[u8], generation: GenerationNumber, limits: &TemplateLimits) -> Result<Outputs, Failure> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed = |error: serde_json::Error| {
        let problem = format!("is not one: it goes wrong at line {}, column {}", error.line(), error.column());
        unreadable(generation, &problem)
    };
    let Versioned { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != OUTPUTS_VERSION {
        let problem = format!(
            "is of version {version} and this applier knows only version {OUTPUTS_VERSION}; restart the daemon, so that \
             both come from the same package"
        );
        return Err(unreadable(generation, &problem));
    }
    let outputs: Outputs = serde_json::from_slice(text).map_err(malformed)?;
    let most = limits.max_files.get() as usize;
    if outputs.outputs.len() > most {
        return Err(Failure::refused(format!(
            "generation {generation} has {} files of templates, and templates.max_files is {most}",
            outputs.outputs.len()
        )));
    }
    Ok(outputs)
}

/// The rules in force, ready to be compared with.
pub(super) struct Rules<'a> {
    rules: BTreeMap<&'a TemplateName, Rule<'a>>,
}

struct Rule<'a> {
    pattern: DestinationPattern,
    mode: u32,
    /// Owner and group; for files that are installed.
    owner: Option<(u32, u32)>,
    rule: &'a TemplateRule,
}

impl<'a> Rules<'a> {
    /// Compiles the rules, and looks owners up.
    pub(super) fn compile(rules: &'a [TemplateRule]) -> Result<Self, Failure> {
        let compile = |rule: &'a TemplateRule| {
            let pattern = DestinationPattern::compile(rule).map_err(|error| Failure::refused(error.to_string()))?;
            let owner = rule.install.as_ref().map(|install| owner(&rule.name, install)).transpose()?;
            Ok((&rule.name, Rule { pattern, mode: rule.mode.bits(), owner, rule }))
        };
        Ok(Self { rules: rules.iter().map(compile).collect::<Result<_, Failure>>()? })
    }

    /// Checks every entry against its rule, and reads what its content is.
    pub(super) fn check(
        &self,
        outputs: Outputs,
        runtime: &RuntimeId,
        state: &ForeignState,
        limits: &TemplateLimits,
    ) -> Result<Input, Failure> {
        let mut input = Input::default();
        for entry in outputs.outputs {
            let rule = self.rules.get(&entry.template).ok_or_else(|| {
                Failure::refused(format!(
                    "there is a file of the template {}, which the applier's configuration does not have; reload the \
                     daemon, so that both have read the same",
                    entry.template
                ))
            })?;
            let path = destination(rule, &entry, runtime)?;
            let Place::Installed(fixed) = rule.pattern.destination().place() else {
                let inside = InsideFile { template: entry.template, blob: entry.blob };
                if input.inside.insert(entry.destination.clone(), inside).is_some() {
                    return Err(twice(&path));
                }
                continue;
            };
            let Some((uid, gid)) = rule.owner else { continue };
            let content = Path::new("config").join(BLOBS).join(entry.blob.as_str());
            let shape = shape(state, &entry, &content, limits, (rule.mode, uid, gid))?;
            let spot = Spot { fixed: fixed.clone(), path: path.clone() };
            let desired = Desired { template: entry.template, item: entry.item, spot, shape, content };
            if input.files.insert(path.clone(), desired).is_some() {
                return Err(twice(&path));
            }
        }
        Ok(input)
    }

    /// The rule of a template.
    pub(super) fn get(&self, name: &TemplateName) -> Option<&'a TemplateRule> {
        self.rules.get(name).map(|rule| rule.rule)
    }
}

fn twice(path: &Path) -> Failure {
    Failure::refused(format!("two files of templates go to {}; give one another destination", path.display()))
}

/// Where the entry's file goes, as the applier itself computes it.
fn destination(rule: &Rule<'_>, entry: &OutputEntry, runtime: &RuntimeId) -> Result<PathBuf, Failure> {
    let computed = rule.pattern.compute(runtime, &entry.item).map_err(|error| Failure::refused(error.to_string()))?;
    // Byte for byte: to a comparison of paths, `a//b` and `a/b/` are the same.
    if computed.as_os_str() == &*entry.destination {
        Ok(computed)
    } else {
        Err(Failure::refused(format!(
            "the file of the template {} for {} goes elsewhere than its destination in the applier's configuration \
             says; reload the daemon, so that both have read the same",
            entry.template, entry.item
        )))
    }
}

fn shape(
    state: &ForeignState,
    entry: &OutputEntry,
    content: &Path,
    limits: &TemplateLimits,
    (mode, uid, gid): (u32, u32, u32),
) -> Result<Shape, Failure> {
    let most = limits.max_output.get();
    let foreign = |error: ForeignError| {
        let refusal = match error {
            ForeignError::Missing => Refusal::GenerationMissing,
            _ => Refusal::GenerationUnreadable,
        };
        Failure::Generation(refusal, format!("the content of {} {error}", entry.destination))
    };
    if entry.size > most {
        return Err(Failure::refused(format!(
            "{} is {} bytes long, and templates.max_output is {most}",
            entry.destination, entry.size
        )));
    }
    let file = state.file(content, entry.size).map_err(foreign)?;
    let (sha256, read) = sum(file, entry.size).map_err(|error| foreign(error.into()))?;
    if read != entry.size {
        let message = format!("the content of {} is not as long as the list says", entry.destination);
        return Err(Failure::Generation(Refusal::GenerationUnreadable, message));
    }
    Ok(Shape { sha256, size: entry.size, mode, uid, gid })
}

/// Whose the files of a rule are. Root gives them to whom the rule says; anybody else can only keep them.
fn owner(template: &TemplateName, install: &Install) -> Result<(u32, u32), Failure> {
    let (own_user, own_group) = (geteuid(), getegid());
    let lookup = |kind: &str, name: &str, problem: &dyn std::fmt::Display| {
        Failure::refused(format!("the template {template} names the {kind} {name}, {problem}"))
    };
    let uid = match &install.owner {
        None => own_user.as_raw(),
        Some(name) => {
            let found = User::from_name(name.as_str());
            let found =
                found.map_err(|error| lookup("user", name.as_str(), &format!("who cannot be looked up: {error}")))?;
            found.ok_or_else(|| lookup("user", name.as_str(), &"who does not exist on this host"))?.uid.as_raw()
        }
    };
    let gid = match &install.group {
        None => own_group.as_raw(),
        Some(name) => {
            let found = Group::from_name(name.as_str());
            let found = found
                .map_err(|error| lookup("group", name.as_str(), &format!("which cannot be looked up: {error}")))?;
            found.ok_or_else(|| lookup("group", name.as_str(), &"which does not exist on this host"))?.gid.as_raw()
        }
    };
    let own = own_user == Uid::from_raw(0) || (uid == own_user.as_raw() && gid == own_group.as_raw());
    if own {
        Ok((uid, gid))
    } else {
        Err(Failure::refused(format!(
            "the files of the template {template} are to belong to the user {uid} and the group {gid}, and the applier \
             runs as {own_user} and {own_group}: only root can give files away; take `owner` and `group` out, or have \
             systemd start the applier (apply.mode = \"socket\")"
        )))
    }
}

/// The templates of files inside the generation that are other ones than those last told of.
pub(super) fn changed_inside<'a>(
    before: &'a BTreeMap<String, InsideFile>,
    now: &'a BTreeMap<String, InsideFile>,
) -> BTreeMap<&'a TemplateName, Vec<&'a str>> {
    let mut changed: BTreeMap<&TemplateName, Vec<&str>> = BTreeMap::new();
    let differs = |blob: &ObjectName, other: Option<&InsideFile>| other.is_none_or(|other| other.blob != *blob);
    for (path, file) in now.iter().filter(|(path, file)| differs(&file.blob, before.get(*path))) {
        changed.entry(&file.template).or_default().push(path);
    }
    for (path, file) in before.iter().filter(|(path, _)| !now.contains_key(*path)) {
        changed.entry(&file.template).or_default().push(path);
    }
    changed
}
