//! `runtime-agent render --dry-run`: what the templates of the configuration make of what the plane last said. Nothing is
//! published or installed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use nix::fcntl::OFlag;

use super::{complain, exit, look_as_the_owner, say};
use crate::config::{FileMode, Settings, TemplateName};
use crate::disk::{self, DiskError};
use crate::kept::SnapshotFile;
use crate::output::outputs::OutputEntry;
use crate::output::{DigestKey, PublishedFile, Rendering, RenderingError, View};
use crate::template::{ItemPlace, Landscape, RenderError, Rendered};

/// Where files go that lie inside a generation, below the folder that was asked for.
const INSIDE: &str = "generation";

/// Refuses to do more than to show.
pub(super) fn refuse() -> ExitCode {
    complain(
        &"the agent renders and installs by itself, after each poll that brings something new and after `systemctl reload \
          runtime-agent`; this command only shows what the templates make: add --dry-run",
    );
    ExitCode::from(exit::TROUBLE)
}

pub(super) fn execute(settings: Settings, to: Option<&Path>, template: Option<&str>) -> ExitCode {
    // Credentials pass through here.
    crate::seclusion::seclude();
    match preview(settings, to, template) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Nothing(why)) => {
            complain(&why);
            ExitCode::from(exit::NOTHING)
        }
        Err(Failure::Template(why)) => {
            complain(&why);
            ExitCode::from(exit::TEMPLATE)
        }
        Err(Failure::Other(why)) => {
            complain(&format_args!("the templates cannot be rendered: {why}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

enum Failure {
    /// The plane has not said anything yet.
    Nothing(String),
    /// A template is wrong.
    Template(String),
    Other(String),
}

fn other(error: impl fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

fn preview(mut settings: Settings, to: Option<&Path>, template: Option<&str>) -> Result<(), Failure> {
    let paths = settings.paths.clone();
    // What is written below the folder belongs to whoever asked for it.
    if to.is_none() {
        look_as_the_owner(&paths).map_err(other)?;
    }
    if let Some(wanted) = template {
        let names: Vec<String> = settings.template.iter().map(|rule| rule.name.to_string()).collect();
        settings.template.retain(|rule| rule.name.as_str() == wanted);
        if settings.template.is_empty() {
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(other(format_args!("the configuration has no template {wanted:?}; it has: {there}")));
        }
    }
    let rendering = Rendering::load(&settings).map_err(|error| match error {
        RenderingError::Template(error) => Failure::Template(error.to_string()),
        error @ RenderingError::Disk(_) => other(error),
    })?;
    let kept = SnapshotFile::new(&paths.state).look().map_err(other)?;
    let Some(kept) = kept else {
        return Err(Failure::Nothing(format!(
            "there is nothing to render yet: nothing that the plane said is kept in {}; see `runtime-agent status`",
            paths.state.display()
        )));
    };
    let view = View::new(&paths.config());
    let key = DigestKey::load_or_imagine(&paths.state.join("digest.key")).map_err(other)?;
    let names = view.names(&key).assign(&kept.snapshot).map_err(other)?;
    let published = published(&view, template);
    let mut files = Vec::new();
    if let Some(rendering) = &rendering {
        let landscape = Landscape::new(&kept.snapshot, &names, &rendering.host).map_err(other)?;
        // All of them, before any is written.
        render(rendering, &landscape, &mut |rendered| {
            files.push(Preview::of(&rendered, &published));
            Ok(())
        })?;
        if let Some(to) = to {
            let folder = Folder::open(to).map_err(other)?;
            render(rendering, &landscape, &mut |rendered| folder.write(&rendered))?;
        }
    }
    files.extend(gone(&files, &published));
    for file in &files {
        say(&file.to_string());
    }
    say(&summary(&files, kept.read_at, to));
    Ok(())
}

fn render(
    rendering: &Rendering,
    landscape: &Landscape,
    sink: &mut dyn FnMut(Rendered<'_>) -> Result<(), DiskError>,
) -> Result<(), Failure> {
    rendering.templates.render(landscape, sink).map_err(|error| match error {
        RenderError::Template(error) => Failure::Template(error.to_string()),
        RenderError::Sink(error) => other(error),
    })
}

/// What templates made for the current generation, by where it goes.
type Published = BTreeMap<String, (OutputEntry, PublishedFile)>;

fn published(view: &View, template: Option<&str>) -> Published {
    let read = view.current().map_err(|error| error.to_string()).and_then(|current| match current {
        Some(number) => view.output_files(number).map_err(|error| error.to_string()),
        None => Ok(Vec::new()),
    });
    let files = read.unwrap_or_else(|error| {
        complain(&format_args!("all files are shown as new, for the current generation cannot be read: {error}"));
        Vec::new()
    });
    let is_meant = |entry: &OutputEntry| template.is_none_or(|wanted| entry.template.as_str() == wanted);
    let files = files.into_iter().filter(|(entry, _)| is_meant(entry));
    files.map(|(entry, file)| (entry.destination.clone(), (entry, file))).collect()
}

/// What would become of a file of the current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    New,
    Changed,
    Same,
    Gone,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Gone => "gone",
        })
    }
}

/// A file, without its content.
struct Preview {
    fate: Fate,
    destination: String,
    template: TemplateName,
    item: ItemPlace,
    size: u64,
    mode: FileMode,
}

impl Preview {
    fn of(rendered: &Rendered<'_>, published: &Published) -> Self {
        let (destination, mode) = (rendered.destination.to_string_lossy().into_owned(), rendered.rule.mode);
        let size = rendered.content.len() as u64;
        let fate = match published.get(&destination) {
            None => Fate::New,
            Some((entry, file)) => match file.read(size) {
                Ok(Some(content)) if **content == *rendered.content && entry.mode == mode => Fate::Same,
                _ => Fate::Changed,
            },
        };
        let (template, item) = (rendered.rule.name.clone(), rendered.item.clone());
        Self { fate, destination, template, item, size, mode }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fate, destination, template, item, size, mode } = self;
        write!(f, "{fate:<8} {destination}  ({template}: {item}; {size} bytes, mode {})", String::from(*mode))
    }
}

/// The files of the current generation that would not be there any more.
fn gone(rendered: &[Preview], published: &Published) -> Vec<Preview> {
    let there: std::collections::BTreeSet<&str> = rendered.iter().map(|file| file.destination.as_str()).collect();
    let left = published.iter().filter(|(destination, _)| !there.contains(destination.as_str()));
    left.map(|(destination, (entry, _))| Preview {
        fate: Fate::Gone,
        destination: destination.clone(),
        template: entry.template.clone(),
        item: entry.item.clone(),
        size: entry.size,
        mode: entry.mode,
    })
    .collect()
}

fn summary(files: &[Preview], read_at: Timestamp, to: Option<&Path>) -> String {
    let count = |fate: Fate| files.iter().filter(|file| file.fate == fate).count();
    let end = match to {
        Some(folder) => format!("The files are below {}, with credentials if there are any in them.", folder.display()),
        None => "Nothing was written.".to_owned(),
    };
    format!(
        "From what the plane said on {read_at}: {} new, {} changed, {} the same, {} gone. {end}",
        count(Fate::New),
        count(Fate::Changed),
        count(Fate::Same),
        count(Fate::Gone)
    )
}

/// The folder that files are written to: nobody else's, and empty at first, so nothing in it leads out of it.
struct Folder {
    /// Keeps `path` what it is, whatever becomes of the folder's name.
    _open: File,
    path: PathBuf,
}

impl Folder {
    /// Makes it, or takes one that is empty.
    fn open(path: &Path) -> Result<Self, String> {
        // Without a "/" at the end, which would follow a link.
        let path: PathBuf = path.components().collect();
        let shown = path.display();
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("cannot make the folder {shown}: {error}"));
            }
            _ => {}
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(&path)
            .map_err(|error| format!("cannot open the folder {shown}: {error}"))?;
        let metadata = open.metadata().map_err(|error| format!("cannot look at the folder {shown}: {error}"))?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return Err(format!(
                "others have rights in the folder {shown}, and the files may hold credentials; name one that is not there \
                 yet, or take the rights away (chmod 0700)"
            ));
        }
        let inside = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        let mut entries = fs::read_dir(&inside).map_err(|error| format!("cannot read the folder {shown}: {error}"))?;
        if entries.next().is_some() {
            return Err(format!("the folder {shown} is not empty; name one that is, or that is not there yet"));
        }
        Ok(Self { _open: open, path: inside })
    }

    fn write(&self, rendered: &Rendered<'_>) -> Result<(), DiskError> {
        let destination = &rendered.destination;
        // No destination holds `..`.
        let below = destination.strip_prefix("/").map_or_else(|_| Path::new(INSIDE).join(destination), Path::to_owned);
        let path = self.path.join(&below);
        let folder = path.parent().unwrap_or(&self.path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| DiskError::new("create the folder for", destination, error))?;
        disk::write_unsynced(&path, rendered.rule.mode.bits() & 0o700, &rendered.content)
            .map_err(|error| DiskError::new("write", destination, error.source))
    }
}
