//! What is to be published, as far as it takes to know whether readers have it already.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

use super::super::bindings::Bindings;
use super::super::current::names_inside;
use super::super::manifest::{Entry, ObjectName};
use super::super::render::{ApplicationNames, Names};
use super::{InForce, OutputError, Store};
use crate::ids::ApplicationId;
use crate::snapshot::{Naming, Place, Sha256, Snapshot};

/// What is to be published, and differs from what readers have.
#[derive(Debug)]
pub struct Draft {
    pub(super) names: Names,
    pub(super) applications: BTreeMap<ApplicationId, Entry>,
    pub(super) templates: Option<ObjectName>,
    pub(super) made_from: MadeFrom,
}

/// What the objects of a generation were made from. An application that is still the same makes the same object, and is
/// not rendered to find that out: without this, most of what a poll of a large landscape takes would be rendering.
#[derive(Debug)]
pub(super) struct MadeFrom {
    naming: Naming,
    bindings: Bindings,
    /// The sums of the applications, in the order of their ids.
    sums: Vec<Sha256>,
}

/// The applications of a generation with what they were made from, in the order of their ids.
struct Known<'a, I: Iterator<Item = (&'a ApplicationId, &'a Entry, Sha256)>>(Peekable<I>);

impl<'a, I: Iterator<Item = (&'a ApplicationId, &'a Entry, Sha256)>> Known<'a, I> {
    /// What the application was published as, where it is still the same. To be asked in the order of ids.
    fn find(&mut self, place: &Place) -> Option<&'a Entry> {
        while self.0.next_if(|(id, ..)| *id < place.id()).is_some() {}
        let (_, entry, sum) = self.0.next_if(|(id, ..)| *id == place.id())?;
        (sum == place.sum()).then_some(entry)
    }
}

impl Store {
    /// Renders `snapshot` as far as it takes to know whether readers have exactly that already: nothing, where they do.
    /// Blocks, and writes nothing. One application is rendered after the other, and forgotten again.
    ///
    /// # Errors
    /// When the snapshot is inconsistent or cannot be read, or templates are lacking.
    pub fn draft(&mut self, snapshot: &Snapshot) -> Result<Option<Draft>, OutputError> {
        let templates = match &self.templates {
            InForce::None => None,
            InForce::These(rendering) => Some(rendering.fingerprint(&self.key)),
            InForce::Unusable(why) => return Err(OutputError::Template(why.clone())),
        };
        let sums = snapshot.places().iter().map(Place::sum).collect();
        let made_from = MadeFrom { naming: snapshot.naming(), bindings: self.bindings(), sums };
        let mut names = self.names.assign_folders(snapshot);
        let applications = self.entries(snapshot, &mut names, &made_from)?;
        // What templates see of an application is all in its object: where the objects are the same, so is what the same
        // templates make of them.
        let unchanged = self.current.as_ref().is_some_and(|current| {
            current.runtime == *snapshot.runtime()
                && current.applications == applications
                && current.rendered.as_ref().map(|rendered| &rendered.templates) == templates.as_ref()
        });
        if unchanged {
            (self.names, self.made_from) = (Arc::new(names), Some(made_from));
            return Ok(None);
        }
        Ok(Some(Draft { names, applications, templates, made_from }))
    }

    /// The manifest's lines. What was given inside applications is noted in `names`.
    fn entries(
        &self,
        snapshot: &Snapshot,
        names: &mut Names,
        made_from: &MadeFrom,
    ) -> Result<BTreeMap<ApplicationId, Entry>, OutputError> {
        let alike = |before: &&MadeFrom| before.naming == made_from.naming && before.bindings == made_from.bindings;
        let before = self.current.as_ref().zip(self.made_from.as_ref().filter(alike));
        let known = before.into_iter().flat_map(|(current, before)| {
            let sums = before.sums.iter().copied();
            current.applications.iter().zip(sums).map(|((id, entry), sum)| (id, entry, sum))
        });
        let mut known = Known(known.peekable());
        let mut entries = BTreeMap::new();
        for place in snapshot.places() {
            let id = place.id();
            // Every application was given a folder.
            let Some((_, folder)) = names.applications.get(id) else { continue };
            let folder = folder.clone();
            let entry = match known.find(place) {
                Some(entry) => {
                    if let Some(inside) = self.names.inside.get(id) {
                        names.inside.insert(id.clone(), inside.clone());
                    }
                    Entry { folder, ..entry.clone() }
                }
                None => {
                    let application = place.application()?;
                    let inside = ApplicationNames::assign(&application, &self.given_inside(id))?;
                    let object = self.folder(snapshot, &application, &inside).name(&self.key);
                    names.take(&application, inside)?;
                    Entry { name: place.name().to_owned(), folder, object, bundles: place.bundles() }
                }
            };
            entries.insert(id.clone(), entry);
        }
        Ok(entries)
    }

    /// What was given inside an application before.
    fn given_inside(&self, id: &ApplicationId) -> ApplicationNames {
        let on_disk = || {
            let entry = self.current.as_ref()?.applications.get(id)?;
            names_inside(&self.layout, &entry.object)
        };
        self.names.inside.get(id).cloned().or_else(on_disk).unwrap_or_default()
    }
}
