//! The texts of specifications and documents: which are read when, and what becomes of them.
//!
//! They are read one after another, after the lists, in slices, so that neither they nor their failures hold anything
//! else up. A text is read when it is new, when what it belongs to has changed, and again after a while, for a plane can
//! change a text and nothing else. Until a changed one is read, the text before it stays.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::blocking::aside;
use super::{ConfigurationLoop, LONGEST_POLL};
use crate::agent::status::{Area, Severity};
use crate::clock;
use crate::config::Specifications;
use crate::director::{Director, Found, Unreadable};
use crate::disk::DiskError;
use crate::event;
use crate::output::Texts;
use crate::snapshot::pack::WithTexts;
use crate::snapshot::{Reading, Sha256, Snapshot, TextPlace};
use crate::transport::Reach;

/// For how long texts are read before those that came are published: half a minute.
const SLICE: Duration = Duration::from_secs(30);

/// How many texts may fail before the others wait for the next poll.
const MOST_FAILURES: u32 = 3;

/// When a text that failed is tried again: at the first poll after an hour.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// What is known of the texts.
#[derive(Debug, Default)]
pub(super) struct TextIndex {
    /// What was read.
    readings: BTreeMap<TextPlace, Reading>,
    /// What failed, when, and how.
    failed: BTreeMap<TextPlace, (Timestamp, String)>,
}

/// A text that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    place: TextPlace,
    fingerprint: Sha256,
}

/// A snapshot, and the texts that it lacks.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) snapshot: Arc<Snapshot>,
    wanted: VecDeque<Wanted>,
    failures: u32,
}

impl TextIndex {
    /// Puts into a snapshot what is known, forgets the rest, and tells what is to be read: what is new or changed
    /// first, then what was read long ago.
    /// Blocks.
    ///
    /// # Errors
    /// When the snapshot cannot be read or written; nothing is forgotten then.
    pub(super) fn recall(
        &mut self,
        snapshot: &mut Snapshot,
        folder: &Path,
        again: Duration,
        now: Timestamp,
    ) -> Result<VecDeque<Wanted>, DiskError> {
        let (mut fresh, mut old) = (VecDeque::new(), Vec::new());
        let mut readings = BTreeMap::new();
        let mut failed = BTreeMap::new();
        snapshot.visit_texts(folder, |slot| {
            let known = self.readings.get(&slot.place).copied();
            *slot.reading = known;
            if let Some(known) = known {
                readings.insert(slot.place.clone(), known);
            }
            let patience = self.failed.get(&slot.place).cloned();
            let tried = patience.as_ref().is_some_and(|(at, _)| is_within(*at, PATIENCE, now));
            if let Some(failure) = patience {
                failed.insert(slot.place.clone(), failure);
            }
            let wanted = Wanted { place: slot.place, fingerprint: slot.fingerprint };
            match known {
                _ if tried => {}
                Some(known) if known.of != wanted.fingerprint => fresh.push_back(wanted),
                Some(known) if is_within(known.read_at, again, now) => {}
                Some(known) => old.push((known.read_at, wanted)),
                None => fresh.push_back(wanted),
            }
        })?;
        (self.readings, self.failed) = (readings, failed);
        old.sort_by_key(|(read_at, _)| *read_at);
        fresh.extend(old.into_iter().map(|(_, wanted)| wanted));
        Ok(fresh)
    }

    /// What a snapshot from the disk knows. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, DiskError> {
        let mut index = Self::default();
        for place in snapshot.places().iter().filter(|place| place.with_texts() == WithTexts::Some) {
            let mut application = place.application()?;
            let read = application.texts().filter_map(|slot| Some((slot.place, (*slot.reading)?)));
            index.readings.extend(read);
        }
        Ok(index)
    }

    /// The first of the texts that failed, how, and how many there are.
    fn trouble(&self) -> Option<(&TextPlace, &str, usize)> {
        let (place, (_, why)) = self.failed.first_key_value()?;
        Some((place, why, self.failed.len()))
    }
}

/// Whether an instant is less than `span` ago. One that lies in the future, as after a clock was set back, is not.
fn is_within(instant: Timestamp, span: Duration, now: Timestamp) -> bool {
    instant <= now && clock::until(instant, now) < span
}

impl ConfigurationLoop {
    /// Prepares the texts of a snapshot that was just read, and reads as many as there is time for.
    ///
    /// # Errors
    /// When that takes room that is not there, in a sentence.
    pub(super) async fn with_texts(&mut self, mut snapshot: Snapshot) -> Result<Arc<Snapshot>, String> {
        self.unread = None;
        let (sync, folder) = {
            let settings = self.around.settings.borrow();
            (settings.sync.clone(), settings.paths.state.clone())
        };
        match sync.specifications {
            Specifications::LeftOut => {
                self.texts = TextIndex::default();
                let forgotten = aside(move || snapshot.forget_texts(&folder).map(|()| snapshot)).await;
                self.around.board.solved(Area::Specifications);
                match forgotten {
                    Ok(snapshot) => Ok(Arc::new(snapshot)),
                    Err(error) => Err(self.no_room(&error).await),
                }
            }
            Specifications::Read => {
                let (again, now) = (sync.reread_specifications_after.get(), self.now());
                let mut texts = std::mem::take(&mut self.texts);
                let (texts, recalled) = aside(move || {
                    let recalled = texts.recall(&mut snapshot, &folder, again, now).map(|wanted| (snapshot, wanted));
                    (texts, recalled)
                })
                .await;
                self.texts = texts;
                let read = match recalled {
                    Ok((snapshot, wanted)) => {
                        self.unread = Some(Unread { snapshot: Arc::new(snapshot), wanted, failures: 0 });
                        self.read_slice().await
                    }
                    Err(error) => Err(error),
                };
                match read {
                    Ok(snapshot) => Ok(snapshot),
                    Err(error) => Err(self.no_room(&error).await),
                }
            }
        }
    }

    /// Tells that what the plane said cannot be held.
    async fn no_room(&mut self, error: &DiskError) -> String {
        // What is kept may be what cannot be read.
        self.with_shelf(|shelf| shelf.kept.doubt()).await;
        let what = format!("What the plane said cannot be held: {error}.");
        let next = "The files stay as they were, and the next poll fetches everything anew. See whether the disk of the state \
                    directory is full, or fails.";
        self.around.board.problem(Area::Output, Severity::ActionNeeded, what.clone(), next);
        what
    }

    /// Goes on with what is unread, and publishes it.
    pub(super) async fn read_more(&mut self) {
        self.around.pulse.within(LONGEST_POLL);
        match self.read_slice().await {
            // What came of it is on the board.
            Ok(snapshot) => drop(self.write(snapshot, 0).await),
            Err(error) => drop(self.no_room(&error).await),
        }
    }

    /// Reads texts until there are no more, too many fail, or the time of a slice is over. `unread` is there.
    async fn read_slice(&mut self) -> Result<Arc<Snapshot>, DiskError> {
        let Some(mut unread) = self.unread.take() else { unreachable!("called only while something is unread") };
        let begun = self.now();
        let (Some(plane), Some(dialect), Some(texts)) =
            (&self.plane, self.dialect, self.shelf.as_ref().map(|shelf| shelf.store.texts()))
        else {
            return Ok(unread.snapshot);
        };
        let mut read = BTreeMap::new();
        let mut stopped = false;
        while let Some(wanted) = unread.wanted.pop_front() {
            let result = self::read(&plane.director, dialect, &texts, &wanted).await;
            let now = self.around.clock.now();
            match result {
                Ok(Read::Text(text)) => {
                    let reading = Reading { of: wanted.fingerprint, text, read_at: now };
                    self.texts.failed.remove(&wanted.place);
                    self.texts.readings.insert(wanted.place.clone(), reading);
                    read.insert(wanted.place, reading);
                }
                // The next poll finds out what there is instead.
                Ok(Read::Gone) => {}
                Err(Failed { why, reach }) => {
                    self.texts.failed.insert(wanted.place, (now, why));
                    unread.failures += 1;
                    stopped = reach == Reach::EveryRequest || unread.failures >= MOST_FAILURES;
                }
            }
            if stopped || clock::until(begun, now) >= SLICE {
                break;
            }
        }
        self.tell_of_texts();
        let count = read.len();
        if count > 0 {
            tracing::debug!(
                texts = count,
                left = unread.wanted.len(),
                "texts of specifications and documents were read"
            );
            let (mut snapshot, folder) = (unread.snapshot, self.around.settings.borrow().paths.state.clone());
            unread.snapshot = aside(move || {
                Arc::make_mut(&mut snapshot).visit_texts(&folder, |slot| {
                    if let Some(reading) = read.get(&slot.place) {
                        *slot.reading = Some(*reading);
                    }
                })?;
                Ok::<_, DiskError>(snapshot)
            })
            .await?;
        }
        let snapshot = Arc::clone(&unread.snapshot);
        if !stopped && !unread.wanted.is_empty() {
            self.unread = Some(unread);
        }
        Ok(snapshot)
    }

    /// What was kept is where the rest of the texts is put: the files that it was in before are let go, for reading can take
    /// hours, and each slice would hold one more.
    pub(super) fn go_on_with_what_is_kept(&mut self) {
        let kept = self.shelf.as_ref().and_then(|shelf| shelf.kept.known());
        if let (Some(unread), Some(kept)) = (&mut self.unread, kept)
            && unread.snapshot.sum() == kept.sum()
        {
            unread.snapshot = Arc::clone(kept);
        }
    }

    fn tell_of_texts(&self) {
        match self.texts.trouble() {
            None => self.around.board.solved(Area::Specifications),
            Some((place, why, count)) => {
                let more = match count {
                    1 => String::new(),
                    count => format!("; {} more as well", count - 1),
                };
                event::Retry::Specifications.emit();
                self.around.board.problem(
                    Area::Specifications,
                    Severity::Transient,
                    format!(
                        "The specification or document {} of the bundle {} cannot be read: {why}{more}.",
                        place.id, place.bundle
                    ),
                    "Everything else is as the plane says, a text that was read before stays, and the agent tries again \
                     within an hour or so.",
                );
            }
        }
    }
}

enum Read {
    Text(Option<Sha256>),
    Gone,
}

struct Failed {
    why: String,
    reach: Reach,
}

async fn read(
    director: &Director,
    dialect: crate::director::Dialect,
    texts: &Texts,
    wanted: &Wanted,
) -> Result<Read, Failed> {
    let on_disk = |error: crate::disk::DiskError| Failed { why: error.to_string(), reach: Reach::EveryRequest };
    let spool = texts.spool().map_err(on_disk)?;
    let answer = director.text(dialect, &wanted.place, spool).await.map_err(|error| failed(&error.into()))?;
    let texts = texts.clone();
    aside(move || {
        let mut text = texts.begin().map_err(on_disk)?;
        match answer.write_to(&mut text).map_err(|error| failed(&error))? {
            Found::Text => text.keep().map(|name| Read::Text(Some(name))).map_err(on_disk),
            Found::NoText => Ok(Read::Text(None)),
            Found::Gone => Ok(Read::Gone),
        }
    })
    .await
}

fn failed(error: &Unreadable) -> Failed {
    let reach = match error {
        Unreadable::Answer(error) => error.fault.reach(),
        Unreadable::Disk(_) => Reach::EveryRequest,
    };
    Failed { why: error.to_string(), reach }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Application, Bundle, Document, example};

    const AGAIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn documents(list: &[(&str, &str)]) -> Snapshot {
        let document = |(id, title): &(&str, &str)| Document {
            id: id.parse().unwrap(),
            title: (*title).into(),
            display_name: "".into(),
            description: "".into(),
            format: "MARKDOWN".into(),
            kind: None,
            reading: None,
        };
        let bundle = Bundle { documents: list.iter().map(document).collect(), ..example::bundle("b", "b") };
        let application = Application { bundles: vec![bundle], ..example::application("a", "a") };
        Snapshot::new("r".parse().unwrap(), vec![application]).unwrap()
    }

    fn recall(index: &mut TextIndex, of: &mut Snapshot, again: Duration, now: Timestamp) -> VecDeque<Wanted> {
        index.recall(of, tempfile::tempdir().unwrap().path(), again, now).unwrap()
    }

    fn ids(wanted: &VecDeque<Wanted>) -> Vec<&str> {
        wanted.iter().map(|wanted| wanted.place.id.as_str()).collect()
    }

    fn read_all(index: &mut TextIndex, wanted: VecDeque<Wanted>, now: Timestamp) {
        for Wanted { place, fingerprint } in wanted {
            index.readings.insert(place, Reading { of: fingerprint, text: None, read_at: now });
        }
    }

    #[test]
    fn only_what_is_new_changed_or_old_is_read() {
        let mut index = TextIndex::default();
        let wanted = recall(&mut index, &mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(0));
        assert_eq!(ids(&wanted), ["1", "2"]);
        read_all(&mut index, wanted, at(0));
        assert!(recall(&mut index, &mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(60)).is_empty());
        let mut changed = documents(&[("1", "x"), ("2", "z"), ("3", "new")]);
        let wanted = recall(&mut index, &mut changed, AGAIN, at(120));
        assert_eq!(ids(&wanted), ["2", "3"]);
        assert_eq!(
            changed.all().unwrap()[0].readings().filter(|reading| reading.is_some()).count(),
            2,
            "the text before stays"
        );
        read_all(&mut index, wanted, at(120));
        let week = i64::try_from(AGAIN.as_secs()).unwrap();
        let wanted = recall(&mut index, &mut documents(&[("1", "x"), ("2", "z"), ("3", "old")]), AGAIN, at(week + 10));
        assert_eq!(ids(&wanted), ["3", "1"], "what changed comes before what is old");
    }

    #[test]
    fn what_failed_waits_and_what_is_gone_is_forgotten() {
        let mut index = TextIndex::default();
        let wanted = recall(&mut index, &mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(0));
        index.failed.insert(wanted[0].place.clone(), (at(0), "no".into()));
        let again = recall(&mut index, &mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(60));
        assert_eq!(ids(&again), ["2"]);
        assert_eq!(ids(&recall(&mut index, &mut documents(&[("1", "x")]), AGAIN, at(3601))), ["1"]);
        assert!(index.trouble().is_some());
        recall(&mut index, &mut documents(&[]), AGAIN, at(3700));
        assert!(index.trouble().is_none());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_wait_longer() {
        assert!(is_within(at(0), AGAIN, at(10)));
        assert!(!is_within(at(10), AGAIN, at(0)));
    }
}
