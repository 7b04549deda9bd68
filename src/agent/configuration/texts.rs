//! The texts of specifications and documents: which are read when, and what becomes of them.
//!
//! They are read one after another, after the lists, in slices, so that neither they nor their failures hold anything
//! else up. A text is read when it is new, when what it belongs to has changed, and again after a while, for a plane can
//! change a text and nothing else. Until a changed one is read, the text before it stays.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::blocking::aside;
use super::{ConfigurationLoop, LONGEST_POLL};
use crate::agent::status::{Area, Severity};
use crate::clock;
use crate::config::Specifications;
use crate::director::{Director, Found, Unreadable};
use crate::event;
use crate::output::Texts;
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
    pub(super) fn recall(&mut self, snapshot: &mut Snapshot, again: Duration, now: Timestamp) -> VecDeque<Wanted> {
        let (mut fresh, mut old) = (VecDeque::new(), Vec::new());
        let mut readings = BTreeMap::new();
        let mut failed = BTreeMap::new();
        for slot in snapshot.texts() {
            let known = self.readings.remove(&slot.place);
            *slot.reading = known;
            if let Some(known) = known {
                readings.insert(slot.place.clone(), known);
            }
            let patience = self.failed.remove(&slot.place);
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
        }
        (self.readings, self.failed) = (readings, failed);
        old.sort_by_key(|(read_at, _)| *read_at);
        fresh.extend(old.into_iter().map(|(_, wanted)| wanted));
        fresh
    }

    /// Takes over what a snapshot from the disk knows.
    pub(super) fn learn(&mut self, snapshot: &mut Snapshot) {
        for slot in snapshot.texts() {
            if let Some(reading) = slot.reading {
                self.readings.insert(slot.place, *reading);
            }
        }
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
    pub(super) async fn with_texts(&mut self, mut snapshot: Snapshot) -> Arc<Snapshot> {
        self.unread = None;
        let sync = self.around.settings.borrow().sync.clone();
        match sync.specifications {
            Specifications::LeftOut => {
                self.texts = TextIndex::default();
                snapshot.readings().for_each(|reading| *reading = None);
                self.around.board.solved(Area::Specifications);
                Arc::new(snapshot)
            }
            Specifications::Read => {
                let wanted = self.texts.recall(&mut snapshot, sync.reread_specifications_after.get(), self.now());
                self.unread = Some(Unread { snapshot: Arc::new(snapshot), wanted, failures: 0 });
                self.read_slice().await
            }
        }
    }

    /// Goes on with what is unread, and publishes it.
    pub(super) async fn read_more(&mut self) {
        self.around.pulse.within(LONGEST_POLL);
        let snapshot = self.read_slice().await;
        // What came of it is on the board.
        let _ = self.write(snapshot, 0).await;
    }

    /// Reads texts until there are no more, too many fail, or the time of a slice is over. `unread` is there.
    async fn read_slice(&mut self) -> Arc<Snapshot> {
        let Some(mut unread) = self.unread.take() else { unreachable!("called only while something is unread") };
        let begun = self.now();
        let (Some(plane), Some(dialect), Some(texts)) =
            (&self.plane, self.dialect, self.shelf.as_ref().map(|shelf| shelf.store.texts()))
        else {
            return unread.snapshot;
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
            let snapshot = Arc::make_mut(&mut unread.snapshot);
            for slot in snapshot.texts() {
                if let Some(reading) = read.get(&slot.place) {
                    *slot.reading = Some(*reading);
                }
            }
        }
        let snapshot = Arc::clone(&unread.snapshot);
        if !stopped && !unread.wanted.is_empty() {
            self.unread = Some(unread);
        }
        snapshot
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
        let wanted = index.recall(&mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(0));
        assert_eq!(ids(&wanted), ["1", "2"]);
        read_all(&mut index, wanted, at(0));
        assert!(index.recall(&mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(60)).is_empty());
        let mut changed = documents(&[("1", "x"), ("2", "z"), ("3", "new")]);
        let wanted = index.recall(&mut changed, AGAIN, at(120));
        assert_eq!(ids(&wanted), ["2", "3"]);
        assert_eq!(changed.texts().filter(|slot| slot.reading.is_some()).count(), 2, "the text before stays");
        read_all(&mut index, wanted, at(120));
        let week = i64::try_from(AGAIN.as_secs()).unwrap();
        let wanted = index.recall(&mut documents(&[("1", "x"), ("2", "z"), ("3", "old")]), AGAIN, at(week + 10));
        assert_eq!(ids(&wanted), ["3", "1"], "what changed comes before what is old");
    }

    #[test]
    fn what_failed_waits_and_what_is_gone_is_forgotten() {
        let mut index = TextIndex::default();
        let wanted = index.recall(&mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(0));
        index.failed.insert(wanted[0].place.clone(), (at(0), "no".into()));
        let again = index.recall(&mut documents(&[("1", "x"), ("2", "y")]), AGAIN, at(60));
        assert_eq!(ids(&again), ["2"]);
        assert_eq!(ids(&index.recall(&mut documents(&[("1", "x")]), AGAIN, at(3601))), ["1"]);
        assert!(index.trouble().is_some());
        index.recall(&mut documents(&[]), AGAIN, at(3700));
        assert!(index.trouble().is_none());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_wait_longer() {
        assert!(is_within(at(0), AGAIN, at(10)));
        assert!(!is_within(at(10), AGAIN, at(0)));
    }
}
