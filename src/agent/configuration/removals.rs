//! Removals that are doubted: what stays published though the plane does not list it, and what is told of that.

use std::collections::BTreeSet;

use super::ConfigurationLoop;
use crate::agent::standing;
use crate::agent::status::{Area, Severity};
use crate::config::Settings;
use crate::ids::ApplicationId;
use crate::snapshot::brake::{Consent, Policy};
use crate::snapshot::{Place, Snapshot};

/// A removal of no more applications than this is never doubted.
const FEW: u32 = 3;

impl ConfigurationLoop {
    /// What is to be published of a complete read: all of it, and with it what it removes and is not believed to.
    ///
    /// # Errors
    /// When something is to be held back, and it is not known any more what that was like.
    pub(super) async fn hold_back(
        &mut self,
        read: Snapshot,
        consent: Consent,
        settings: &Settings,
    ) -> Result<Snapshot, String> {
        // Nothing is published, and so nothing removed, while an older generation is wanted.
        if self.shelf.as_ref().is_some_and(|shelf| shelf.store.rolled_back_to().is_some()) {
            self.around.board.solved(Area::Removals);
            return Ok(read);
        }
        let published = self.published(&read);
        let listed: BTreeSet<ApplicationId> = read.places().iter().map(|place| place.id().clone()).collect();
        let policy = Policy {
            share: settings.sync.doubt_removals_over.get(),
            count: FEW,
            confirmation: standing::confirmation(settings.sync.interval.get()),
        };
        let now = self.now();
        let held = self.brake.examine(&published, &listed, policy, consent, now);
        if held.is_empty() {
            self.around.board.solved(Area::Removals);
            return Ok(read);
        }
        let known = self.kept(held.clone()).await;
        let what = format!(
            "The plane does not list {} of {} applications any more, which is doubted: {}.",
            held.len(),
            published.len(),
            names(&known)
        );
        self.around.board.problem(
            Area::Removals,
            Severity::Transient,
            what.clone(),
            "They stay until a later answer says the same; `runtime-agent sync --accept-removals` removes them at once. \
             Additions and changes go on.",
        );
        if known.len() < held.len() {
            return Err(format!("{what} Nothing is changed until then."));
        }
        Ok(read.with(known))
    }

    /// These applications, as far as the plane spoke of them last.
    async fn kept(&mut self, ids: BTreeSet<ApplicationId>) -> Vec<Place> {
        let known = self.with_shelf(move |shelf| {
            let known = shelf.kept.known().cloned().or_else(|| Some(shelf.kept.load()?.snapshot));
            known.map(|known| known.select(&ids))
        });
        known.await.flatten().unwrap_or_default()
    }

    /// What readers have now, where it is of the same runtime.
    fn published(&self, read: &Snapshot) -> BTreeSet<ApplicationId> {
        let current = self.shelf.as_ref().and_then(|shelf| shelf.store.current());
        let same = current.filter(|manifest| manifest.runtime == *read.runtime());
        same.map(|manifest| manifest.applications.keys().cloned().collect()).unwrap_or_default()
    }
}

/// The first names of a list, for a sentence.
fn names(applications: &[Place]) -> String {
    /// How many are named.
    const NAMED: usize = 5;
    let mut named: Vec<_> =
        applications.iter().take(NAMED).map(|application| crate::transport::excerpt(application.name(), &[])).collect();
    if applications.len() > NAMED {
        named.push(format!("and {} more", applications.len() - NAMED));
    }
    named.join(", ")
}
