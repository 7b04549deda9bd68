//! `[[template]]`: what is rendered for what, where it goes, and what follows; and `[templates]`: how much at the most.

use std::fmt;
use std::path::{Component, Path};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::destination::{Destination, Place};
use super::system::{ArgList, FileMode, GroupName, Unfit, UnitName, UserName, checked_text};
use super::values::ByteSize;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

checked_text! {
    /// What a template is called in messages: 1 to 64 letters, digits, `_`, `-` and `.`, beginning with a letter or digit.
    TemplateName, name
}
checked_text! {
    /// A file below the directory of templates: a relative path of plain names.
    SourceName, source
}

fn name(text: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain) && text.len() <= 64 {
        Ok(())
    } else {
        Err("a template's name: 1 to 64 letters, digits, \"_\", \"-\" and \".\", beginning with a letter or digit")
    }
}

fn source(text: &str) -> Result<(), &'static str> {
    let plain = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !text.is_empty() && !text.ends_with('/') && !text.contains(char::is_control) && !text.contains("//") {
        Ok(())
    } else {
        Err("a file below the directory of templates: a path that does not begin with \"/\" and holds no \"..\"")
    }
}

/// Where the text of a template comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file below the directory of templates.
    File(SourceName),
    /// The configuration itself.
    Inline(Box<str>),
}

/// For each of what a template is rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    /// Once, whatever there is.
    #[default]
    Once,
    /// Once for each application.
    Application,
    /// Once for each bundle.
    Bundle,
    /// Once for each API.
    Api,
    /// Once for each event.
    Event,
    /// Once for each bundle whose credentials can be used.
    Credential,
    /// Once for each binding of a service broker whose credentials can be used.
    Binding,
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Once => "once",
            Self::Application => "application",
            Self::Bundle => "bundle",
            Self::Api => "api",
            Self::Event => "event",
            Self::Credential => "credential",
            Self::Binding => "binding",
        })
    }
}

/// What becomes of a file that is in the way and that the agent did not write, or that somebody changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It is replaced.
    #[default]
    Overwrite,
    /// It stays as it is.
    Keep,
    /// It stays, and nothing is installed.
    Fail,
}

/// How long changes are waited for to come to rest, written as `2s:30s`: this long after the last one, and at the most
/// that long after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wait {
    min: Duration,
    max: Duration,
}

impl Wait {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    /// How long nothing may change before it counts as at rest.
    pub fn min(self) -> Duration {
        self.min
    }

    /// How long after the first change the wait is over in any case; at least [`Wait::min`].
    pub fn max(self) -> Duration {
        self.max
    }
}

impl TryFrom<String> for Wait {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        let both = text.split_once(':').and_then(|(min, max)| {
            Some((humantime::parse_duration(min.trim()).ok()?, humantime::parse_duration(max.trim()).ok()?))
        });
        let wanted = match both {
            Some((min, max)) if min <= max && max <= Self::LONGEST => return Ok(Self { min, max }),
            Some((min, max)) if min > max => "a wait: its first duration is longer than its second",
            Some(_) => "a wait: it may last for a day at the most",
            None => "a wait: two durations, as in \"2s:30s\"",
        };
        Err(Unfit { text, wanted })
    }
}

impl From<Wait> for String {
    fn from(wait: Wait) -> String {
        format!("{}:{}", humantime::format_duration(wait.min), humantime::format_duration(wait.max))
    }
}

/// `[[template]]`, of which everything goes together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct TemplateRule {
    /// What it is called in messages; no other has that name.
    pub name: TemplateName,
    /// Its text.
    pub source: Source,
    /// For each of what it is rendered.
    pub for_each: Each,
    /// An expression; nothing is rendered for what it does not hold for.
    pub when: Option<Box<str>>,
    /// Where the file goes.
    pub destination: Destination,
    /// The file's mode.
    pub mode: FileMode,
    /// What is special to files that the applier installs; nothing for those inside a generation.
    pub install: Option<Install>,
    /// Units that are reloaded, or restarted, once one of its files changed.
    pub reload: Vec<UnitName>,
    /// A command that runs once one of its files changed.
    pub on_change: Option<ArgList>,
}

/// What is special to files outside a generation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Install {
    /// Whose they are; root's, where nothing is said.
    pub owner: Option<UserName>,
    /// Their group; root's, where nothing is said.
    pub group: Option<GroupName>,
    /// A command that has to succeed before anything becomes final.
    pub validate: Option<ArgList>,
    /// What becomes of a foreign file in the way.
    pub on_conflict: OnConflict,
    /// How long changes are waited for to come to rest.
    pub wait: Option<Wait>,
}

/// A rule as people write it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: TemplateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "is_once")]
    for_each: Each,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<Box<str>>,
    destination: Destination,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<UserName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupName>,
    #[serde(default)]
    mode: FileMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    validate: Option<ArgList>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reload: Vec<UnitName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_change: Option<ArgList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_conflict: Option<OnConflict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<Wait>,
}

fn is_once(each: &Each) -> bool {
    *each == Each::Once
}

/// Keys of one rule that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRule {
    /// There is no text, or there are two.
    #[error("the template {0} needs either `source`, a file below the directory of templates, or `content`, its text")]
    Text(TemplateName),
    /// A key that only makes sense for files that are installed.
    #[error(
        "the template {name} has the key `{key}`, which is for files that are installed, but its destination \
         {destination:?} is inside a generation; begin the destination with \"/\", or take the key away"
    )]
    OnlyInstalled {
        /// The template.
        name: TemplateName,
        /// The key.
        key: &'static str,
        /// The destination.
        destination: String,
    },
}

impl TryFrom<Written> for TemplateRule {
    type Error = InvalidRule;

    fn try_from(written: Written) -> Result<Self, InvalidRule> {
        // Without `..`: whoever adds a key decides here for which files it is.
        let Written {
            name,
            source,
            content,
            for_each,
            when,
            destination,
            owner,
            group,
            mode,
            validate,
            reload,
            on_change,
            on_conflict,
            wait,
        } = written;
        let source = match (source, content) {
            (Some(file), None) => Source::File(file),
            (None, Some(text)) => Source::Inline(text),
            _ => return Err(InvalidRule::Text(name)),
        };
        let install = match destination.place() {
            Place::Installed(_) => {
                Some(Install { owner, group, validate, on_conflict: on_conflict.unwrap_or_default(), wait })
            }
            Place::Generation => {
                let given = [
                    ("owner", owner.is_some()),
                    ("group", group.is_some()),
                    ("validate", validate.is_some()),
                    ("on_conflict", on_conflict.is_some()),
                    ("wait", wait.is_some()),
                ];
                if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                    return Err(InvalidRule::OnlyInstalled { name, key, destination: destination.into() });
                }
                None
            }
        };
        Ok(Self { name, source, for_each, when, destination, mode, install, reload, on_change })
    }
}

impl From<TemplateRule> for Written {
    fn from(rule: TemplateRule) -> Self {
        let TemplateRule { name, source, for_each, when, destination, mode, install, reload, on_change } = rule;
        let (source, content) = match source {
            Source::File(file) => (Some(file), None),
            Source::Inline(text) => (None, Some(text)),
        };
        let on_conflict = install.as_ref().map(|install| install.on_conflict);
        let Install { owner, group, validate, on_conflict: _, wait } = install.unwrap_or_default();
        Self {
            name,
            source,
            content,
            for_each,
            when,
            destination,
            owner,
            group,
            mode,
            validate,
            reload,
            on_change,
            on_conflict,
            wait,
        }
    }
}

/// `[templates]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateLimits {
    /// How large one rendered file may be.
    pub max_output: ByteSize<KIB, { 64 * MIB }>,
    /// How many files all templates together may render.
    pub max_files: std::num::NonZeroU32,
    /// How much work one file may take: about one for each step, and for each 64 bytes that are written.
    pub max_work: std::num::NonZeroU32,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        const FILES: std::num::NonZeroU32 = std::num::NonZeroU32::new(100_000).unwrap();
        const WORK: std::num::NonZeroU32 = std::num::NonZeroU32::new(5_000_000).unwrap();
        Self { max_output: ByteSize::new(4 * MIB), max_files: FILES, max_work: WORK }
    }
}

#[cfg(test)]
#[path = "templates/tests.rs"]
mod tests;
