//! What differs between two generations, for the eyes of a person: differences of texts, in which no secret stands.
//!
//! Secrets are known from the files of credentials of both generations. Where one of these cannot be read, nothing that
//! may hold credentials is shown; it is named only.

mod forms;
mod hunks;
mod mask;

use std::collections::BTreeSet;

use zeroize::Zeroizing;

pub use hunks::{DiffLine, Tone, unified};
pub use mask::{Line, LineEnd, Mask, NotUnderstood, Piece, Place, Secrets, TooMany};

use crate::output::manifest::GenerationNumber;
use crate::output::{FileKind, PublishedFile, View, ViewError};

/// The largest file whose content is compared line by line.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Whether two generations are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every file is.
    Same,
    /// Some are not, or are there only once.
    Different,
}

/// Two files of one name, of which one can be missing.
struct Pair<'a> {
    name: &'a str,
    old: Option<&'a PublishedFile>,
    new: Option<&'a PublishedFile>,
}

/// The numbers that headings tell.
#[derive(Clone, Copy)]
struct Numbers {
    old: GenerationNumber,
    new: GenerationNumber,
}

/// Compares two generations, and gives each line of what differs to `sink`. Blocks.
///
/// # Errors
/// When one of them is not there, or cannot be read.
pub fn compare(
    view: &View,
    old: GenerationNumber,
    new: GenerationNumber,
    sink: &mut dyn FnMut(DiffLine),
) -> Result<Verdict, ViewError> {
    let (before, after) = (view.files(old)?, view.files(new)?);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let pairs: Vec<Pair<'_>> = names
        .into_iter()
        .map(|name| Pair { name, old: before.get(name), new: after.get(name) })
        .filter(|pair| !matches!((pair.old, pair.new), (Some(old), Some(new)) if old.is_the_same_as(new)))
        .collect();
    if pairs.is_empty() {
        return Ok(Verdict::Same);
    }
    let mut mask = mask_of(before.iter().chain(&after));
    let mut verdict = Verdict::Same;
    for pair in pairs {
        let lines = pair.compare(mask.as_mut(), Numbers { old, new });
        if !lines.is_empty() {
            verdict = Verdict::Different;
        }
        lines.into_iter().for_each(&mut *sink);
    }
    Ok(verdict)
}

/// What hides all secrets of these files; nothing, where not all of them can be known.
fn mask_of<'a>(files: impl Iterator<Item = (&'a String, &'a PublishedFile)>) -> Option<Mask> {
    let mut secrets = Secrets::default();
    let mut known = BTreeSet::new();
    for (name, file) in files {
        // What both generations have need not be read twice.
        // What has another ending says the same once more.
        let is_wanted = file.kind == FileKind::Credentials && name.ends_with(".json");
        if is_wanted && known.insert(file.identity()) {
            secrets.learn(&file.read(LARGEST).ok()??).ok()?;
        }
    }
    secrets.into_mask().ok()
}

/// A content, or why there is none to be shown.
type Content = Result<Zeroizing<Vec<u8>>, String>;

fn content(file: Option<&PublishedFile>) -> Content {
    let Some(file) = file else { return Ok(Zeroizing::default()) };
    match file.read(LARGEST) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err("it is larger than what is compared".to_owned()),
        Err(error) => Err(error.source.to_string()),
    }
}

impl Pair<'_> {
    /// What differs; no line where nothing does.
    fn compare(&self, mask: Option<&mut Mask>, numbers: Numbers) -> Vec<DiffLine> {
        let (old, new) = match (content(self.old), content(self.new)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(why), _) | (_, Err(why)) => return self.named(&why),
        };
        let there_twice = self.old.is_some() && self.new.is_some();
        if there_twice && *old == *new && self.modes().is_none() {
            return Vec::new();
        }
        let may_hold_credentials = [self.old, self.new].into_iter().flatten().any(|file| match file.kind {
            FileKind::Credentials | FileKind::Output(_) => true,
            FileKind::Public | FileKind::Text => false,
        });
        let mut nothing_hidden = None;
        let mask = match mask {
            Some(mask) => mask,
            None if may_hold_credentials => {
                return self.named("it may hold credentials, and not all of those can be read and so hidden");
            }
            // Nothing secret is ever written into these.
            None => match Secrets::default().into_mask() {
                Ok(mask) => nothing_hidden.insert(mask),
                Err(error) => return self.named(&error.to_string()),
            },
        };
        let (Ok(before), Ok(after)) = (std::str::from_utf8(&old), std::str::from_utf8(&new)) else {
            return self.named("it is not text");
        };
        let place = if self.kind() == Some(FileKind::Credentials) { Place::Credentials } else { Place::Elsewhere };
        if place == Place::Elsewhere && may_hold_credentials && (mask.withholds(before) || mask.withholds(after)) {
            return self.named("a secret is in it that is too short to be hidden");
        }
        let mut lines = self.heading(numbers);
        lines.extend(self.modes().map(remark));
        lines.extend(unified(&mask.lines(before, place), &mask.lines(after, place)));
        lines
    }

    fn kind(&self) -> Option<FileKind> {
        self.new.or(self.old).map(|file| file.kind)
    }

    /// What became of the mode, where it is another one now.
    fn modes(&self) -> Option<String> {
        match (self.old?.kind, self.new?.kind) {
            (FileKind::Output(old), FileKind::Output(new)) if old != new => {
                Some(format!("mode {} becomes {}", String::from(old), String::from(new)))
            }
            _ => None,
        }
    }

    fn heading(&self, numbers: Numbers) -> Vec<DiffLine> {
        let name = |mark: &str, file: Option<&PublishedFile>, number| DiffLine {
            tone: Tone::Header,
            text: match file {
                Some(_) => format!("{mark} {}\tgeneration {number}", self.label()),
                None => format!("{mark} /dev/null"),
            },
        };
        vec![name("---", self.old, numbers.old), name("+++", self.new, numbers.new)]
    }

    /// Only the name, and why there is no more.
    fn named(&self, why: &str) -> Vec<DiffLine> {
        let what = match (self.old, self.new) {
            (None, _) => "is new",
            (_, None) => "is gone",
            // A file of an application can be the same although another one of its application is not.
            (Some(_), Some(_)) if self.kind() == Some(FileKind::Credentials) => "may differ",
            (Some(_), Some(_)) => "differs",
        };
        vec![remark(format!("{} {what} (its content is not shown: {why})", self.label()))]
    }

    fn label(&self) -> String {
        self.name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

fn remark(text: String) -> DiffLine {
    DiffLine { tone: Tone::Remark, text }
}
