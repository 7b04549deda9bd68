//! The texts of specifications and documents: one file for each that differs, named by its SHA-256.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::folder::{FOLDER, PUBLIC};
use super::pool::Pool;
use crate::disk::{self, DiskError, Unpublished};
use crate::snapshot::Sha256;

/// The folder of the texts.
#[derive(Debug, Clone)]
pub struct Texts {
    pool: Pool<Sha256>,
}

/// A text on its way to its file; dropped, it leaves nothing.
#[derive(Debug)]
pub struct IncomingText {
    file: Unpublished,
    pool: Pool<Sha256>,
    sum: Sum,
}

struct Sum(digest::Context);

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sum")
    }
}

impl Texts {
    /// The texts in the output folder `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { pool: Pool::new(root.join("texts")) }
    }

    /// All of them.
    pub(super) fn pool(&self) -> &Pool<Sha256> {
        &self.pool
    }

    /// A file without a name, for what texts are taken out of.
    ///
    /// # Errors
    /// When there can be none.
    pub fn spool(&self) -> Result<File, DiskError> {
        let folder = self.pool.folder();
        disk::ensure_folder(folder, FOLDER)?;
        tempfile::tempfile_in(folder).map_err(|error| DiskError::new("create a file in", folder, error))
    }

    /// Begins a text.
    ///
    /// # Errors
    /// When there can be no file for it.
    pub fn begin(&self) -> Result<IncomingText, DiskError> {
        disk::ensure_folder(self.pool.folder(), FOLDER)?;
        let file = Unpublished::new_in(self.pool.folder())?;
        Ok(IncomingText { file, pool: self.pool.clone(), sum: Sum(digest::Context::new(&digest::SHA256)) })
    }

    /// Where a text lies.
    pub(super) fn path(&self, name: Sha256) -> PathBuf {
        self.pool.path(&name)
    }

    /// Whether there is this text.
    pub fn has(&self, name: Sha256) -> bool {
        self.path(name).is_file()
    }
}

impl Write for IncomingText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.0.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl IncomingText {
    /// Gives it its name. A text that is there already stays as it is.
    ///
    /// # Errors
    /// When the file system refuses; nothing is left then.
    pub fn keep(self) -> Result<Sha256, DiskError> {
        let name = Sha256::of(self.sum.0);
        self.file.publish(&self.pool.path(&name), PUBLIC)?;
        Ok(name)
    }
}

/// Where the link at `bundles/<bundle>/<folder>/<file>` of an object leads.
pub(super) fn link_to(name: Sha256) -> PathBuf {
    Path::new("../../../../../texts").join(name.to_string())
}

/// The text that a link leads to, if it leads to one.
pub(super) fn linked(target: &Path) -> Option<Sha256> {
    let name = Sha256::try_from(target.file_name()?.to_str()?.to_owned()).ok()?;
    (target == link_to(name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::super::layout::names;
    use super::*;

    #[test]
    fn a_text_has_the_name_that_sha256sum_gives_it() {
        let root = tempfile::tempdir().unwrap();
        let texts = Texts::new(root.path());
        let mut text = texts.begin().unwrap();
        text.write_all(b"ab").unwrap();
        text.write_all(b"c").unwrap();
        let name = text.keep().unwrap();
        assert_eq!(name.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fs::read(root.path().join("texts").join(name.to_string())).unwrap(), b"abc");
        assert!(texts.has(name));
    }

    #[test]
    fn what_nobody_uses_goes_and_what_is_not_ours_stays() {
        let root = tempfile::tempdir().unwrap();
        let texts = Texts::new(root.path());
        texts.pool().remove_unused(&BTreeSet::new()).unwrap();
        let [used, unused] = ["a", "b"].map(|content| {
            let mut text = texts.begin().unwrap();
            text.write_all(content.as_bytes()).unwrap();
            text.keep().unwrap()
        });
        drop(texts.begin().unwrap());
        fs::write(root.path().join("texts/note"), "").unwrap();
        texts.pool().remove_unused(&BTreeSet::from([used])).unwrap();
        assert!(texts.has(used) && !texts.has(unused));
        assert_eq!(names(&root.path().join("texts")).unwrap().len(), 2, "a text that was begun leaves nothing");
    }

    #[test]
    fn a_link_is_known_by_where_it_leads() {
        let name = Sha256::of(digest::Context::new(&digest::SHA256));
        assert_eq!(linked(&link_to(name)), Some(name));
        assert_eq!(linked(Path::new("/etc/passwd")), None);
        assert_eq!(linked(&Path::new("/texts").join(name.to_string())), None);
    }
}
