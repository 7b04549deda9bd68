//! Generations: made beside, put in place by one rename, and removed when they are old.

mod collection;
mod draft;
mod versions;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use self::draft::MadeFrom;
use super::bindings::Bindings;
use super::blobs::Blobs;
use super::catalogue::{CATALOGUE, Catalogue};
use super::current::Current;
use super::digest::DigestKey;
use super::folder::{FOLDER, Folder, name_on_disk, write_json};
use super::layout::{Layout, application, applications, link_to};
use super::manifest::{Changes, GenerationNumber, MANIFEST_VERSION, Manifest, ObjectName, RenderedSet};
use super::render::{self, ApplicationNames, Names, NamesError, RepeatedPart};
use super::rendering::{self, Rendering};
use super::texts::Texts;
use crate::disk::{self, DiskError, Staged};
use crate::event;
use crate::ids::RuntimeId;
use crate::snapshot::pack::WithTexts;
use crate::snapshot::{Application, Sha256, Snapshot};
use crate::template::Landscape;

/// The output folder of this agent, of which it is the only writer.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    key: DigestKey,
    keep: NonZeroUsize,
    current: Option<Manifest>,
    names: Arc<Names>,
    /// What the current generation was made from, where that is known.
    made_from: Option<MadeFrom>,
    /// Where what is in its `applications.json`, where that is known.
    catalogue: Option<Catalogue>,
    templates: InForce,
    /// The generation that was rolled back to: it stays current until [`Store::resume`].
    pinned: Option<GenerationNumber>,
    /// No number up to this one is given again.
    highest: Option<GenerationNumber>,
}

/// The templates in force.
#[derive(Debug)]
enum InForce {
    None,
    These(Arc<Rendering>),
    /// The configuration has some, and they cannot be used.
    Unusable(String),
}

pub use self::draft::Draft;

/// What became of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Readers have exactly this already; nothing was written.
    Unchanged,
    /// Readers keep a generation that was rolled back to; nothing was written.
    RolledBack(GenerationNumber),
    /// There is another generation, and readers have it.
    New {
        /// Its number.
        generation: GenerationNumber,
        /// What differs from the one before; everything is new where that was missing or damaged.
        changes: Changes,
    },
}

/// Why nothing was published. The generation before is in place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A template cannot be rendered; the text says where, and never holds a value.
    #[error("{0}")]
    Template(String),
    /// There is nothing to roll back to.
    #[error("{0}")]
    NoSuchGeneration(String),
    /// The snapshot does not describe one state.
    #[error(transparent)]
    Repeated(#[from] RepeatedPart),
}

impl From<NamesError> for OutputError {
    fn from(error: NamesError) -> Self {
        match error {
            NamesError::Disk(error) => error.into(),
            NamesError::Repeated(error) => error.into(),
        }
    }
}

impl Store {
    /// Takes charge of the output folder `root` (made where missing): removes what an interrupted process left there,
    /// and reads and verifies the current generation. Of older generations the last `keep`, the current one among
    /// them, are kept. Call it under the [`StateLock`](crate::disk::StateLock) only.
    ///
    /// A damaged generation stays in place for its readers. [`Store::current`] is then `None`, and the next
    /// [`Store::publish`] makes a complete new one.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(root: &Path, key: DigestKey, keep: NonZeroUsize) -> Result<Self, OutputError> {
        let layout = Layout::new(root);
        disk::ensure_folder(root, FOLDER)?;
        disk::ensure_folder(&layout.objects(), FOLDER)?;
        // Whatever an interrupted process renamed last is what the next power loss leaves, too.
        disk::sync_folder(root)?;
        let mut store = Self {
            layout,
            key,
            keep,
            current: None,
            names: Arc::default(),
            made_from: None,
            catalogue: None,
            templates: InForce::None,
            pinned: None,
            highest: None,
        };
        store.recover()?;
        Ok(store)
    }

    /// Puts other templates in force, or none; what they make is published with the next snapshot.
    pub fn use_templates(&mut self, rendering: Option<Arc<Rendering>>) {
        self.templates = rendering.map_or(InForce::None, InForce::These);
    }

    /// There are templates, and they cannot be used: those before stay in force. Where there are none before, nothing is
    /// published, for that would take away what they had made.
    pub fn lack_templates(&mut self, why: String) {
        if !matches!(self.templates, InForce::These(_)) {
            self.templates = InForce::Unusable(why);
        }
    }

    /// The texts of specifications and documents.
    pub fn texts(&self) -> Texts {
        Texts::new(self.layout.root())
    }

    /// The generation that readers see, where there is a sound one.
    pub fn current(&self) -> Option<&Manifest> {
        self.current.as_ref()
    }

    /// Makes what readers see the rendering of `snapshot`. Blocks; writes nothing at all where nothing differs.
    ///
    /// # Errors
    /// As those of [`Store::draft`] and [`Store::put`].
    pub fn publish(&mut self, snapshot: &Arc<Snapshot>, now: Timestamp) -> Result<Published, OutputError> {
        if let Some(number) = self.pinned {
            return Ok(Published::RolledBack(number));
        }
        match self.draft(snapshot)? {
            Some(draft) => self.put(draft, snapshot, now),
            None => Ok(Published::Unchanged),
        }
    }

    /// The names of what is published. None where that is not what the plane last said, as after a rollback, or was not
    /// compared with it yet: names inside an application are known only by then.
    pub fn names(&self) -> Option<Arc<Names>> {
        self.made_from.as_ref().map(|_| Arc::clone(&self.names))
    }

    /// Publishes `snapshot`, of which this is the draft. Blocks.
    ///
    /// # Errors
    /// When the file system refuses. What was begun is removed again, and readers see the generation before; only when
    /// the very last fsync fails, they see the new one, and so does [`Store::current`].
    pub fn put(&mut self, draft: Draft, snapshot: &Arc<Snapshot>, now: Timestamp) -> Result<Published, OutputError> {
        let Draft { names, applications, templates, made_from } = draft;
        let mut manifest = Manifest {
            version: MANIFEST_VERSION,
            generation: self.highest.map_or(GenerationNumber::FIRST, GenerationNumber::next),
            published_at: now,
            runtime: snapshot.runtime().clone(),
            applications,
            texts: texts(snapshot, &names)?,
            rendered: templates.map(|templates| RenderedSet { templates, files: 0 }),
        };
        let catalogue = match self.write(snapshot, &names, &mut manifest) {
            Ok(catalogue) => catalogue,
            Err(error) => {
                if let Err(worse) = self.recover() {
                    event::Output::NotCleanedUp(&worse).emit();
                }
                return Err(error);
            }
        };
        let changes = Changes::between(self.current.as_ref(), &manifest);
        let generation = manifest.generation;
        self.current = Some(manifest);
        self.names = Arc::new(names);
        (self.made_from, self.catalogue) = (Some(made_from), Some(catalogue));
        self.collect();
        Ok(Published::New { generation, changes })
    }

    /// Publishes that `runtime` may use nothing any more, and removes every generation before that: of what was
    /// published nothing is left, and readers and hooks learn it in the usual way. Where nothing was ever published,
    /// nothing is.
    ///
    /// # Errors
    /// When the file system refuses; older generations may still be there then.
    pub fn empty(&mut self, runtime: RuntimeId, now: Timestamp) -> Result<Published, OutputError> {
        if self.highest.is_none() {
            return Ok(Published::Unchanged);
        }
        self.resume()?;
        let published = self.publish(&Arc::new(Snapshot::empty(runtime)), now)?;
        if let Some(current) = &self.current {
            self.layout.remove_older(current.generation, NonZeroUsize::MIN)?;
        }
        self.layout.remove_unreferenced()?;
        self.collect_texts()?;
        self.collect_blobs()?;
        Ok(published)
    }

    /// The folder of an application, with all in it that templates see.
    fn folder(&self, snapshot: &Snapshot, application: &Application, names: &ApplicationNames) -> Folder {
        render::folder(application, snapshot.naming(), names, self.bindings())
    }

    /// What the templates in force need of bindings.
    fn bindings(&self) -> Bindings {
        match &self.templates {
            InForce::These(rendering) => rendering.bindings(),
            InForce::None | InForce::Unusable(_) => Bindings::LeftOut,
        }
    }

    /// Writes everything beside, makes it durable in one step, and gives it its names, that of the generation last.
    fn write(
        &mut self,
        snapshot: &Arc<Snapshot>,
        names: &Names,
        manifest: &mut Manifest,
    ) -> Result<Catalogue, OutputError> {
        let objects = self.stage_objects(snapshot, names, manifest)?;
        let staged = Staged::new_in(self.layout.root(), FOLDER)?;
        let mut blobs = None;
        if let (InForce::These(rendering), Some(rendered)) = (&self.templates, &mut manifest.rendered) {
            let incoming = blobs.insert(self.blobs().begin()?);
            let landscape = Landscape::new(snapshot, names, &rendering.host)?;
            let outputs = rendering.render(&landscape, incoming, &self.key)?;
            rendered.files = u32::try_from(outputs.outputs.len()).unwrap_or(u32::MAX);
            rendering::place(&outputs, staged.path())?;
        }
        disk::create_folder(&applications(staged.path()), FOLDER)?;
        for (id, entry) in &manifest.applications {
            let (path, target) = (application(staged.path(), &entry.folder), link_to(&entry.object));
            match self.current.as_ref().filter(|current| current.applications.get(id) == Some(entry)) {
                Some(current) => {
                    let known = application(&self.layout.generation(current.generation), &entry.folder);
                    disk::link_again_unpublished(&path, &target, &known)?;
                }
                None => disk::link_unpublished(&path, &target)?,
            }
        }
        let before = self.current.as_ref().zip(self.catalogue.as_ref());
        let before = before.and_then(|(current, catalogue)| catalogue.open(&self.layout, current));
        let catalogue = Catalogue::write(&staged.path().join(CATALOGUE), snapshot, names, manifest, before.as_ref())?;
        write_json(&staged.path().join("manifest.json"), manifest)?;

        disk::sync_all(self.layout.root())?;
        for (staged, path, spot) in objects {
            match spot {
                Spot::Free => staged.publish_unsynced(&path)?,
                Spot::Taken => staged.replace(&path)?,
            }
        }
        // One that an interrupted process put in place may not be durable yet.
        disk::sync_folder(&self.layout.objects())?;
        if let Some(blobs) = blobs {
            blobs.publish()?;
        }
        // From here on the number can have been seen.
        self.highest = Some(manifest.generation);
        staged.publish(&self.layout.generation(manifest.generation))?;
        disk::swap_link(&self.layout.current(), Path::new(&manifest.generation.folder()))?;
        Ok(catalogue)
    }

    /// Writes the objects that the sound current generation does not vouch for, beside their places.
    fn stage_objects(
        &self,
        snapshot: &Snapshot,
        names: &Names,
        manifest: &Manifest,
    ) -> Result<Vec<(Staged, PathBuf, Spot)>, OutputError> {
        let sound: BTreeSet<&ObjectName> =
            self.current.iter().flat_map(|current| current.applications.values()).map(|entry| &entry.object).collect();
        let mut staged = Vec::new();
        let mut done = BTreeSet::new();
        for place in snapshot.places() {
            let Some(entry) = manifest.applications.get(place.id()) else { continue };
            if sound.contains(&entry.object) || !done.insert(&entry.object) {
                continue;
            }
            let path = self.layout.object(&entry.object);
            let present = path.symlink_metadata().is_ok();
            if present && name_on_disk(&path, &self.key)?.as_ref() == Some(&entry.object) {
                continue;
            }
            let beside = Staged::new_in(&self.layout.objects(), FOLDER)?;
            let application = place.application()?;
            self.folder(snapshot, &application, &names.inside(&application)?).write(beside.path())?;
            staged.push((beside, path, if present { Spot::Taken } else { Spot::Free }));
        }
        Ok(staged)
    }

    fn blobs(&self) -> Blobs {
        Blobs::new(self.layout.root())
    }

    /// Finds out what is there and removes what does not belong, after a start or a failure.
    fn recover(&mut self) -> Result<(), DiskError> {
        for folder in [self.layout.root(), &self.layout.objects()] {
            warn_if_failed(disk::sweep(folder));
        }
        warn_if_failed(self.texts().pool().sweep());
        warn_if_failed(self.blobs().pool().sweep());
        let seen = self.layout.generations()?.last().copied();
        self.pinned = self.layout.pinned()?.filter(|number| self.layout.generation(*number).is_dir());
        if let Some(pinned) = self.pinned {
            // A kill may have come between the note and the link.
            warn_if_failed(disk::swap_link(&self.layout.current(), Path::new(&pinned.folder())));
        }
        let mut number = None;
        (self.made_from, self.catalogue) = (None, None);
        match Current::read(&self.layout, &self.key) {
            Current::Nothing => {
                (self.current, self.names) = (None, Arc::default());
                self.collect();
            }
            Current::Whole(manifest) => {
                number = Some(manifest.generation);
                // Those are what was rolled back from.
                if self.pinned.is_none() {
                    warn_if_failed(self.layout.remove_newer(manifest.generation));
                }
                let names = Names { applications: manifest.folders(), ..Names::default() };
                (self.current, self.names) = (Some(manifest), Arc::new(names));
                self.collect();
            }
            // Nothing is removed: whoever repairs it by hand may need what seems superfluous now.
            Current::Damaged { number: claimed, names, damage } => {
                number = claimed;
                event::Output::Damaged { root: self.layout.root(), damage: &damage }.emit();
                (self.current, self.names) = (None, Arc::new(names));
            }
        }
        self.highest = self.highest.max(seen).max(number).max(self.layout.noted()?);
        Ok(())
    }
}

/// Whether something lies already where an object goes.
#[derive(Debug, Clone, Copy)]
enum Spot {
    Free,
    Taken,
}

/// The texts that are linked to.
fn texts(snapshot: &Snapshot, names: &Names) -> Result<BTreeSet<Sha256>, OutputError> {
    let mut texts = BTreeSet::new();
    for place in snapshot.places().iter().filter(|place| place.with_texts() == WithTexts::Some) {
        let application = place.application()?;
        let inside = names.inside(&application)?;
        let linked = inside.bundles_of(&application).flat_map(|(bundle, _)| render::texts_of(bundle, &inside));
        texts.extend(linked.map(|(_, text)| text));
    }
    Ok(texts)
}

fn warn_if_failed(result: Result<(), DiskError>) {
    if let Err(error) = result {
        event::Output::NotRemoved(&error).emit();
    }
}
