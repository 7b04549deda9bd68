//! The text of templates: files below one directory, and nothing else, whatever links and names there are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use crate::config::SourceName;

/// How large the text of a template may be. It is for people to write; 1 MiB is far beyond that.
const MAX_SOURCE: u64 = 1024 * 1024;

/// How many files templates may include in all: names of included files can be computed.
const MAX_FILES: usize = 1000;

/// Why the text of a template cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It leads out of the directory.
    #[error("{0} leads out of the directory of templates, and only what is below that is read")]
    Outside(PathBuf),
    /// It is something else than a file.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// It is too large.
    #[error("{0} is larger than 1 MiB, which is more than the text of a template may be")]
    TooLarge(PathBuf),
    /// It is not text.
    #[error("{0} is not UTF-8 text")]
    NotText(PathBuf),
    /// Too many were read already.
    #[error("templates include more than {MAX_FILES} files")]
    TooMany,
}

impl SourceError {
    /// What is wrong, without the name, which can be a value where a template computes it.
    pub(super) fn without_name(&self) -> &'static str {
        match self {
            Self::Io { .. } => "the system does not let the file be read",
            Self::Outside(_) => "it leads out of the directory of templates",
            Self::NotAFile(_) => "it is not a regular file",
            Self::TooLarge(_) => "it is larger than 1 MiB",
            Self::NotText(_) => "it is not UTF-8 text",
            Self::TooMany => "more than 1000 files are included in all",
        }
    }
}

/// The directory, held open: what is mounted or renamed over it later does not count.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    handle: Result<File, Errno>,
    read: Mutex<BTreeMap<SourceName, Arc<str>>>,
}

impl Directory {
    /// Opens it; that it is not there is an error only once something is read.
    pub(super) fn open(path: &Path) -> Self {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty()).map(File::from);
        Self { path: path.to_owned(), handle, read: Mutex::default() }
    }

    /// Where a file is, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The text of a file; nothing, where there is none of that name. What was read once stays as it was.
    pub(super) fn text(&self, name: &SourceName) -> Result<Option<Arc<str>>, SourceError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = read.get(name) {
            return Ok(Some(text.clone()));
        }
        if read.len() >= MAX_FILES {
            return Err(SourceError::TooMany);
        }
        let Some(text) = self.fetch(name)? else { return Ok(None) };
        let text: Arc<str> = text.into();
        read.insert(name.clone(), text.clone());
        Ok(Some(text))
    }

    /// What was read already.
    pub(super) fn known(&self, name: &str) -> Option<Arc<str>> {
        let name: SourceName = name.parse().ok()?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    fn fetch(&self, name: &SourceName) -> Result<Option<String>, SourceError> {
        let path = self.path_of(name.as_str());
        let failed = |source: io::Error| SourceError::Io { path: path.clone(), source };
        let directory = match &self.handle {
            Ok(handle) => handle,
            Err(error) => return Err(SourceError::Io { path: self.path.clone(), source: (*error).into() }),
        };
        // Without O_NONBLOCK, a FIFO would hold us for ever.
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = loop {
            match openat2(directory, name.as_str(), how) {
                Ok(file) => break File::from(file),
                // A rename somewhere on the machine raced with the walk; the kernel asks to walk again.
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(Errno::ENOSYS) => match open_after_a_look(&self.path, name) {
                    Ok(Some(file)) => break file,
                    Ok(None) => return Err(SourceError::Outside(path)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(failed(error)),
                },
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                Err(Errno::EXDEV | Errno::ELOOP) => return Err(SourceError::Outside(path)),
                // A socket, or a device without a driver.
                Err(Errno::ENXIO | Errno::ENODEV) => return Err(SourceError::NotAFile(path)),
                Err(error) => return Err(failed(error.into())),
            }
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(SourceError::NotAFile(path));
        }
        let mut bytes = Vec::new();
        file.take(MAX_SOURCE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_SOURCE {
            return Err(SourceError::TooLarge(path));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| SourceError::NotText(path))
    }
}

/// Opens a file below `directory` where there is no openat2(2): `RestrictSUIDSGID=` takes it away from the daemon. Nothing,
/// where the way leads out. The directory is root's, so nobody turns a link between the look and the opening but root.
fn open_after_a_look(directory: &Path, name: &SourceName) -> io::Result<Option<File>> {
    let directory = directory.canonicalize()?;
    let real = directory.join(name.as_str()).canonicalize()?;
    if !real.starts_with(&directory) {
        return Ok(None);
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
    std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(real).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_openat2_no_link_leads_out_either() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("templates");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("a"), "text").unwrap();
        std::fs::write(folder.path().join("outside"), "secret").unwrap();
        std::os::unix::fs::symlink("a", directory.join("inside")).unwrap();
        std::os::unix::fs::symlink("../outside", directory.join("out")).unwrap();
        let opened = |name: &str| open_after_a_look(&directory, &name.parse().unwrap());
        assert!(opened("a").unwrap().is_some() && opened("inside").unwrap().is_some());
        assert!(opened("out").unwrap().is_none());
        assert_eq!(opened("absent").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
