//! From templates to the files of a generation: each is rendered, and forgotten once its content is a blob.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::bindings::Bindings;
use super::blobs::{Blobs, IncomingBlobs};
use super::digest::DigestKey;
use super::folder::{FOLDER, PUBLIC, json};
use super::manifest::ObjectName;
use super::outputs::{OUTPUTS_VERSION, OutputEntry, Outputs};
use super::store::OutputError;
use crate::config::{Each, Settings};
use crate::disk::{self, DiskError};
use crate::snapshot::Sha256;
use crate::template::{Landscape, RenderError, Rendered, TemplateError, Templates};

/// Templates that are in force, and what tells them from others.
#[derive(Debug)]
pub struct Rendering {
    /// The templates, compiled.
    pub templates: Templates,
    /// The name of this host, for templates that print it.
    pub host: String,
    /// The sum of the rules, and of all files that templates can be made of.
    pub source: Sha256,
}

impl Rendering {
    /// Compiles the templates of a configuration. Blocks. Nothing, where there are none.
    ///
    /// # Errors
    /// When one of them cannot be compiled, or a file not be read.
    pub fn load(settings: &Settings) -> Result<Option<Self>, RenderingError> {
        if settings.template.is_empty() {
            return Ok(None);
        }
        let directory = &settings.paths.templates;
        let templates = Templates::load(&settings.template, directory, &settings.templates)?;
        let mut sum = digest::Context::new(&digest::SHA256);
        // The types of the configuration can always be written.
        let rules = serde_json::to_vec(&settings.template).unwrap_or_default();
        sum.update(&rules);
        sum_of_files(directory, MAX_DEPTH, &mut sum)?;
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Some(Self { templates, host, source: Sha256::of(sum) }))
    }

    /// Whether they need what bindings are to call their bundles with.
    pub(super) fn bindings(&self) -> Bindings {
        let needed = self.templates.rules().any(|(rule, _)| rule.for_each == Each::Binding);
        if needed { Bindings::Kept } else { Bindings::LeftOut }
    }

    /// What tells these templates from others: a generation that was made by others is not the same.
    pub(super) fn fingerprint(&self, key: &DigestKey) -> ObjectName {
        let mut naming = key.start();
        for part in [env!("CARGO_PKG_VERSION"), &self.host, &self.source.to_string()] {
            naming.file("", 0, part.len() as u64);
            naming.content(part.as_bytes());
        }
        naming.finish()
    }

    /// Renders everything for `landscape` into blobs.
    pub(super) fn render(
        &self,
        landscape: &Landscape,
        blobs: &mut IncomingBlobs,
        key: &DigestKey,
    ) -> Result<Outputs, OutputError> {
        let mut outputs = Vec::new();
        let mut sink = |rendered: Rendered<'_>| -> Result<(), DiskError> {
            let mode = rendered.rule.mode;
            let blob = blobs.take(&rendered.content, mode.bits(), key)?;
            // A destination is made of text.
            let destination = rendered.destination.to_string_lossy().into_owned();
            let template = rendered.rule.name.clone();
            let size = rendered.content.len() as u64;
            outputs.push(OutputEntry { template, item: rendered.item, destination, blob, size, mode });
            Ok(())
        };
        self.templates.render(landscape, &mut sink).map_err(|error| match error {
            RenderError::Template(error) => OutputError::Template(error.to_string()),
            RenderError::Sink(error) => OutputError::Disk(error),
        })?;
        Ok(Outputs { version: OUTPUTS_VERSION, outputs })
    }
}

/// How deep folders of templates lie in each other, as far as changes in them are noticed.
const MAX_DEPTH: usize = 8;

/// Why there are no templates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderingError {
    /// One of them.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl RenderingError {
    /// Whether the same would be answered at the next try, as where a template is wrong. Where the disk fails, or the
    /// system has too little of something, it may be another answer.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Template(error) => error.is_lasting(),
            Self::Disk(error) => error.is_lasting(),
        }
    }
}

/// Adds the names and contents of all files below `folder`, which need not be there.
fn sum_of_files(folder: &Path, depth: usize, sum: &mut digest::Context) -> Result<(), DiskError> {
    let failed = |error| DiskError::new("read the folder", folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() && depth > 0 {
            sum_of_files(&path, depth - 1, sum)?;
        } else if metadata.is_file() {
            let content = fs::read(&path).map_err(|error| DiskError::new("read", &path, error))?;
            for part in [path.as_os_str().as_bytes(), &content] {
                sum.update(&(part.len() as u64).to_be_bytes());
                sum.update(part);
            }
        }
    }
    Ok(())
}

/// Puts into the folder of a generation what templates made: the list, and links to what lies inside.
pub(super) fn place(outputs: &Outputs, generation: &Path) -> Result<(), DiskError> {
    for entry in outputs.outputs.iter().filter(|entry| entry.is_inside()) {
        let path = generation.join(&entry.destination);
        let folder = path.parent().unwrap_or(generation);
        for missing in missing(folder, generation) {
            disk::create_folder(&missing, FOLDER)?;
        }
        disk::link_unpublished(&path, &link_to(&entry.destination, &entry.blob))?;
    }
    disk::write_unsynced(&generation.join("outputs.json"), PUBLIC, &json(outputs))
}

/// The folders between `above` and `folder` that are not there, the uppermost first.
fn missing(folder: &Path, above: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<_> =
        folder.ancestors().take_while(|folder| *folder != above && !folder.is_dir()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// What the link at `destination`, inside a generation, says.
pub(super) fn link_to(destination: &str, blob: &ObjectName) -> PathBuf {
    // One step for each folder on the way, and one out of the generation.
    let mut link: PathBuf = destination.split('/').map(|_| "..").collect();
    link.push("blobs");
    link.push(blob.as_str());
    link
}

/// Whether everything that was made for a generation is there, and whole.
pub(super) fn is_sound(
    outputs: &Outputs,
    generation: &Path,
    blobs: &Blobs,
    key: &DigestKey,
) -> Result<bool, DiskError> {
    for entry in &outputs.outputs {
        if !blobs.is_sound(&entry.blob, entry.mode.bits(), key)? {
            return Ok(false);
        }
        let linked = || std::fs::read_link(generation.join(&entry.destination)).ok();
        if entry.is_inside() && linked() != Some(link_to(&entry.destination, &entry.blob)) {
            return Ok(false);
        }
    }
    Ok(true)
}
