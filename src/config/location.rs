//! Which files make up the configuration, and which of them count.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::instance::{InstanceName, home};
use crate::ownership::Trusted;

/// How large a configuration file may be. It is for people to write; 1 MiB is far beyond that.
const MAX_FILE: u64 = 1024 * 1024;

/// How many fragments may lie in one folder.
const MOST_FRAGMENTS: usize = 1000;

/// Where the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    main: Main,
    /// The folders of fragments; in a later one, a file hides those of the same name in those before.
    folders: Vec<PathBuf>,
    instance: Option<InstanceName>,
}

/// The file over which the fragments are laid.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Main {
    /// The first of these that is there, or the defaults.
    System([PathBuf; 2]),
    /// This one, which has to be there; whoever named it vouches for it.
    Named(PathBuf),
}

impl Location {
    /// Where it is when nothing else is said: the administrator's files in /etc, above passing ones in /run, above those
    /// of packages in /usr/lib.
    pub fn system(instance: Option<InstanceName>) -> Self {
        Self::below(Path::new("/"), instance)
    }

    /// The same below another root.
    pub(super) fn below(root: &Path, instance: Option<InstanceName>) -> Self {
        let home = |parent: &str| {
            let home = home(parent, instance.as_ref());
            root.join(home.strip_prefix("/").unwrap_or(&home))
        };
        // Not below /run/runtime-agent: that is the daemon's own, and root goes by the configuration as well.
        let mut passing = home("/run").into_os_string();
        passing.push(".d");
        Self {
            main: Main::System([home("/etc").join("agent.toml"), home("/usr/lib").join("agent.toml")]),
            folders: vec![home("/usr/lib").join("agent.d"), passing.into(), home("/etc").join("agent.d")],
            instance,
        }
    }

    /// This file, and the fragments in the folder beside it that is called the same, ending in `.d` instead of `.toml`.
    pub fn file(path: &Path, instance: Option<InstanceName>) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut folder = match path.extension() {
            Some(extension) if extension == "toml" => path.with_extension(""),
            _ => path.clone(),
        }
        .into_os_string();
        folder.push(".d");
        Self { main: Main::Named(path), folders: vec![folder.into()], instance }
    }

    /// Which of several runtimes on this host it is for.
    pub fn instance(&self) -> Option<&InstanceName> {
        self.instance.as_ref()
    }

    /// The unit of the daemon that goes by it, as `systemctl` takes it.
    pub fn service(&self) -> String {
        super::instance::called("runtime-agent", self.instance())
    }

    /// The units of the packages that go by it: the daemon's service, and the applier's socket. None do by a file that
    /// was named.
    pub fn units(&self) -> Option<(String, String)> {
        match &self.main {
            Main::System(_) => Some((
                format!("{}.service", self.service()),
                format!("{}.socket", super::instance::called("runtime-agent-apply", self.instance())),
            )),
            Main::Named(_) => None,
        }
    }

    /// The arguments by which another command finds the same.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if let Some(instance) = &self.instance {
            arguments.extend(["--instance".into(), OsString::from(instance.as_str())]);
        }
        if let Main::Named(path) = &self.main {
            arguments.extend(["--config".into(), path.into()]);
        }
        arguments
    }

    /// The file that people would write first.
    pub fn main(&self) -> &Path {
        match &self.main {
            Main::System([path, _]) | Main::Named(path) => path,
        }
    }

    /// The main file, if there is one.
    pub(super) fn read_main(&self) -> Result<Option<Text>, ConfigError> {
        match &self.main {
            Main::Named(path) => read(path, path).map(Some),
            Main::System(paths) => {
                for path in paths {
                    match read_trusted(path) {
                        Err(ConfigError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                        read => return read.map(Some),
                    }
                }
                Ok(None)
            }
        }
    }

    /// The fragments that count, in the order in which they are laid over the main file: by name, whatever their folder.
    pub(super) fn fragments(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let mut all = BTreeMap::new();
        for folder in &self.folders {
            for name in fragments_in(folder)? {
                let path = folder.join(&name);
                all.insert(name, path);
            }
        }
        Ok(all.into_values().collect())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.main().display())
    }
}

/// The names of what may be a fragment.
fn fragments_in(folder: &Path) -> Result<Vec<OsString>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        // Editors' and packages' own files begin with a dot or end otherwise.
        let meant =
            Path::new(&name).extension() == Some(OsStr::new("toml")) && !name.as_encoded_bytes().starts_with(b".");
        if meant {
            names.push(name);
        }
    }
    if names.len() > MOST_FRAGMENTS { Err(ConfigError::TooMany(folder.to_owned())) } else { Ok(names) }
}

/// A file's text.
pub(super) struct Text {
    /// As it was named.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Reads a file that nobody but root and this process's own user can change, or put another in place of.
pub(super) fn read_trusted(path: &Path) -> Result<Text, ConfigError> {
    // Told first, for it is no matter of trust.
    fs::symlink_metadata(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let trusted = Trusted::of_this_process();
    let untrusted =
        |why: crate::ownership::Untrusted| ConfigError::Untrusted { path: path.to_owned(), why: why.to_string() };
    let real = trusted.resolve(path).map_err(untrusted)?;
    // Nobody else can have turned the path since, nor can turn it now.
    let metadata = fs::metadata(&real).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    if !is_null(&metadata) {
        trusted.check(&real, &metadata).map_err(untrusted)?;
    }
    read(&real, path)
}

/// The file's text, if it is a file, and not too large to be one that people wrote; `shown` is what it is called.
fn read(path: &Path, shown: &Path) -> Result<Text, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: shown.to_owned(), source };
    // Without O_NONBLOCK, a FIFO would hold us for ever.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut text = String::new();
    if !is_null(&metadata) {
        if !metadata.is_file() {
            return Err(ConfigError::NotAFile(shown.to_owned()));
        }
        file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    }
    if text.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge(shown.to_owned()));
    }
    Ok(Text { path: shown.to_owned(), text })
}

/// Whether it is /dev/null, by which people say that there is nothing.
fn is_null(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == nix::sys::stat::makedev(1, 3)
}
