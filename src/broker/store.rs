//! The broker's memory on disk: one file, in which every change is whole and durable once it is made.
//!
//! The file is a redb database, which holds only what is committed, whatever kills the process. All of it is read at the
//! start; afterwards it is only written. Records are JSON, so that a later version of the program can read what this one
//! wrote: a change of their form is another [`SCHEMA`], and a step in [`migrate`].

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::names::GivenNames;
use super::record::{Binding, BindingKey, Instance, Phase};
use crate::disk::{DiskError, Unpublished};
use crate::ids::ServiceInstanceId;

/// The form of what is written.
const SCHEMA: u64 = 1;

/// How much of the file is held in memory: 512 KiB. It is read once, and records are small.
const CACHE: usize = 512 * 1024;

/// What is known of the file itself, by name: the form of the records.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Instances, by their ids.
const INSTANCES: TableDefinition<&str, &[u8]> = TableDefinition::new("instances");

/// Bindings, by the ids of the instance and their own.
const BINDINGS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("bindings");

/// What is remembered besides, by name.
const REST: TableDefinition<&str, &[u8]> = TableDefinition::new("rest");

/// Where the schema's number stands in [`META`].
const SCHEMA_KEY: &str = "schema";

/// Where the names of services and plans stand in [`REST`].
const NAMES_KEY: &str = "names";

/// An open file. To close it writes to it, which of a damaged one may panic, too.
#[derive(Debug)]
struct Handle(Option<Database>);

impl Drop for Handle {
    fn drop(&mut self) {
        let database = self.0.take();
        // Of what could not be closed in good order, the next start makes sense, or says that it cannot.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(move || drop(database)));
    }
}

impl Handle {
    fn database(&self) -> Result<&Database, redb::Error> {
        self.0.as_ref().ok_or(redb::Error::DatabaseClosed)
    }
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub struct Records {
    /// The instances.
    pub instances: BTreeMap<ServiceInstanceId, Instance>,
    /// The bindings.
    pub bindings: BTreeMap<BindingKey, Binding>,
    /// The names that were given to services and plans.
    pub names: GivenNames,
}

impl Records {
    /// How many bytes clients and applications have put into the bindings.
    pub fn weight(&self) -> usize {
        self.bindings.values().map(Binding::weight).sum()
    }

    /// How many bindings there are, those left out that are only remembered.
    pub fn living(&self) -> usize {
        self.bindings.values().filter(|binding| !matches!(binding.phase, Phase::Gone { .. })).count()
    }

    /// Makes a change.
    pub fn take(&mut self, change: Change) {
        match change {
            Change::PutInstance(id, instance) => drop(self.instances.insert(id, instance)),
            Change::RemoveInstance(id) => drop(self.instances.remove(&id)),
            Change::PutBinding(key, binding) => drop(self.bindings.insert(key, binding)),
            Change::RemoveBinding(key) => drop(self.bindings.remove(&key)),
            Change::PutNames(names) => self.names = names,
        }
    }
}

/// One change of what is remembered.
#[derive(Debug, Clone)]
pub enum Change {
    /// There is a new instance, or another one of that id.
    PutInstance(ServiceInstanceId, Instance),
    /// An instance is gone.
    RemoveInstance(ServiceInstanceId),
    /// There is a new binding, or it has changed.
    PutBinding(BindingKey, Binding),
    /// A binding is gone.
    RemoveBinding(BindingKey),
    /// Names were given.
    PutNames(GivenNames),
}

/// Why nothing is remembered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be made.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file cannot be read or written.
    #[error("the broker's store {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: Box<redb::Error>,
    },
    /// The file is not what was written to it.
    #[error("the broker's store {0} is damaged")]
    Damaged(PathBuf),
    /// Another version of the program wrote it.
    #[error(
        "the broker's store {path} has the form {found}, and this program knows none later than {SCHEMA}: a later version \
         wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The form's number.
        found: u64,
    },
    /// A record does not say what one of its kind says.
    #[error("the broker's store {path} holds {what} that cannot be read: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record.
        what: String,
        /// Why it cannot be read.
        why: String,
    },
}

impl StoreError {
    /// Whether it is the system's answer to a call, which says nothing of what is in the file.
    pub fn is_of_the_system(&self) -> bool {
        match self {
            Self::Disk(_) => true,
            Self::Database { source, .. } => {
                matches!(&**source, redb::Error::Io(error) if error.raw_os_error().is_some())
            }
            Self::Damaged(_) | Self::Newer { .. } | Self::Record { .. } => false,
        }
    }
}

/// The store. Whatever is done with it blocks.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// Given up after a failure, for redb takes nothing more then until the file was opened anew.
    database: Option<Handle>,
}

impl Store {
    /// Opens the store at `path`, or makes an empty one that only this user can read, and reads all that is in it.
    ///
    /// # Errors
    /// When it cannot be opened or read; nothing is changed then.
    pub fn open(path: &Path) -> Result<(Self, Records), StoreError> {
        guarded(path, || {
            // What cannot be looked at, a link to a disk that is not there included, is not replaced by an empty one.
            match std::fs::symlink_metadata(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path)?,
                Ok(_) | Err(_) => {}
            }
            let database = open(path)?;
            let mut store = Self { path: path.to_owned(), database: None };
            let records = store.read(&database)?;
            store.database = Some(database);
            Ok((store, records))
        })
    }

    /// Makes all of these changes, or none; they are durable when this returns.
    ///
    /// # Errors
    /// When they are not made, or that is not known.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => guarded(&self.path, || open(&self.path))?,
        };
        let path = &self.path;
        let database = guarded(path, move || {
            let written = || -> Result<(), redb::Error> {
                let transaction = database.database()?.begin_write()?;
                apply(&transaction, changes)?;
                Ok(transaction.commit()?)
            };
            written().map_err(|error| failed(path, error))?;
            Ok(database)
        })?;
        self.database = Some(database);
        Ok(())
    }

    fn read(&self, handle: &Handle) -> Result<Records, StoreError> {
        let path = &self.path;
        let failed = |error: redb::Error| failed(path, error);
        let database = handle.database().map_err(failed)?;
        let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
        let mut records = Records::default();
        let instances = transaction.open_table(INSTANCES).map_err(|error| failed(error.into()))?;
        for row in instances.iter().map_err(|error| failed(error.into()))? {
            let (id, record) = row.map_err(|error| failed(error.into()))?;
            let what = || format!("an instance {:?}", id.value());
            let key = id.value().parse().map_err(|error| unreadable(path, &what(), &error))?;
            records.instances.insert(key, decode(record.value(), path, what)?);
        }
        let bindings = transaction.open_table(BINDINGS).map_err(|error| failed(error.into()))?;
        for row in bindings.iter().map_err(|error| failed(error.into()))? {
            let (id, record) = row.map_err(|error| failed(error.into()))?;
            let (instance, binding) = id.value();
            let what = || format!("a binding {binding:?} of {instance:?}");
            let key = BindingKey {
                instance: instance.parse().map_err(|error| unreadable(path, &what(), &error))?,
                binding: binding.parse().map_err(|error| unreadable(path, &what(), &error))?,
            };
            records.bindings.insert(key, decode(record.value(), path, what)?);
        }
        let rest = transaction.open_table(REST).map_err(|error| failed(error.into()))?;
        if let Some(names) = rest.get(NAMES_KEY).map_err(|error| failed(error.into()))? {
            records.names = decode(names.value(), path, || "names".to_owned())?;
        }
        Ok(records)
    }
}

/// Does something with the database. Of a damaged file, redb sometimes says so by a panic, which must not end more than
/// what was tried.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // Whatever the work had is dropped by then, and nothing of it is looked at again.
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreError::Damaged(path.to_owned())))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn open(path: &Path) -> Result<Handle, StoreError> {
    let handle = Handle(Some(builder().open(path).map_err(|error| failed(path, error))?));
    migrate(handle.database().map_err(|error| failed(path, error))?, path)?;
    Ok(handle)
}

/// Makes an empty store. It has its name only once all of it is there: redb does not open one that is half made.
fn make(path: &Path) -> Result<(), StoreError> {
    let file = Unpublished::new_in(path.parent().unwrap_or(Path::new(".")))?;
    let database = builder().create(file.path()).map_err(|error| failed(path, error))?;
    let made = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
        transaction.open_table(INSTANCES)?;
        transaction.open_table(BINDINGS)?;
        transaction.open_table(REST)?;
        Ok(transaction.commit()?)
    };
    made().map_err(|error| failed(path, error))?;
    drop(database);
    Ok(file.publish(path, 0o600)?)
}

/// Brings an older store to the form of this version; nothing is to be done yet, for there is only one.
fn migrate(database: &Database, path: &Path) -> Result<(), StoreError> {
    let found = || -> Result<Option<u64>, redb::Error> {
        let transaction = database.begin_read()?;
        Ok(transaction.open_table(META)?.get(SCHEMA_KEY)?.map(|number| number.value()))
    };
    match found().map_err(|error| failed(path, error))? {
        Some(SCHEMA) => Ok(()),
        Some(found) if found > SCHEMA => Err(StoreError::Newer { path: path.to_owned(), found }),
        Some(_) | None => Err(unreadable(path, "a form", &"its number is none that was ever written")),
    }
}

fn apply(transaction: &WriteTransaction, changes: &[Change]) -> Result<(), redb::Error> {
    let mut instances = transaction.open_table(INSTANCES)?;
    let mut bindings = transaction.open_table(BINDINGS)?;
    let mut rest = transaction.open_table(REST)?;
    for change in changes {
        match change {
            Change::PutInstance(id, record) => drop(instances.insert(id.as_str(), encode(record)?.as_slice())?),
            Change::RemoveInstance(id) => drop(instances.remove(id.as_str())?),
            Change::PutBinding(key, record) => {
                drop(bindings.insert((key.instance.as_str(), key.binding.as_str()), encode(record)?.as_slice())?);
            }
            Change::RemoveBinding(key) => drop(bindings.remove((key.instance.as_str(), key.binding.as_str()))?),
            Change::PutNames(names) => drop(rest.insert(NAMES_KEY, encode(names)?.as_slice())?),
        }
    }
    Ok(())
}

fn encode(record: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, redb::Error> {
    // These types serialise into memory without fail; what cannot happen is told like what cannot be written.
    serde_json::to_vec(record).map(Zeroizing::new).map_err(|error| redb::Error::Io(std::io::Error::other(error)))
}

fn decode<T: DeserializeOwned>(bytes: &[u8], path: &Path, what: impl Fn() -> String) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| {
        // An error of serde may quote a value; of a record with secrets, only the place is told.
        unreadable(path, &what(), &format!("line {}, column {}", error.line(), error.column()))
    })
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database { path: path.to_owned(), source: Box::new(error.into()) }
}

fn unreadable(path: &Path, what: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Record { path: path.to_owned(), what: what.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::broker::fixture::{binding, instance, key};

    #[test]
    fn what_was_committed_is_there_after_a_new_start_and_only_for_this_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        let (mut store, records) = Store::open(&path).unwrap();
        assert!(records.instances.is_empty() && records.bindings.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (first, second) = (key("i", "b"), key("i", "c"));
        store
            .commit(&[
                Change::PutInstance(first.instance.clone(), instance()),
                Change::PutBinding(first.clone(), binding()),
                Change::PutBinding(second.clone(), binding()),
            ])
            .unwrap();
        store.commit(&[Change::RemoveBinding(first)]).unwrap();
        drop(store);
        let (_, records) = Store::open(&path).unwrap();
        assert_eq!(records.instances.values().collect::<Vec<_>>(), [&instance()]);
        assert_eq!(records.bindings.keys().collect::<Vec<_>>(), [&second]);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["broker.redb"], "nothing is left beside");
    }

    #[test]
    fn a_store_of_a_later_version_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        drop(Store::open(&path).unwrap());
        let database = builder().open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(SCHEMA_KEY, SCHEMA + 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found, .. } if found == SCHEMA + 1), "{error}");
    }

    #[test]
    fn what_is_no_store_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        for content in [&b"not a store"[..], b""] {
            std::fs::write(&path, content).unwrap();
            assert!(Store::open(&path).is_err());
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn what_the_system_does_not_let_be_read_is_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(Store::open(&path).unwrap_err().is_of_the_system(), "a loop of links");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "not a store").unwrap();
        assert!(!Store::open(&path).unwrap_err().is_of_the_system());
        std::fs::write(&path, "").unwrap();
        assert!(!Store::open(&path).unwrap_err().is_of_the_system());
    }

    #[test]
    fn a_store_that_was_cut_or_has_rotted_is_an_error_and_no_end_of_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        let (mut store, _) = Store::open(&path).unwrap();
        for number in 0..200 {
            store.commit(&[Change::PutBinding(key("i", &format!("b-{number}")), binding())]).unwrap();
        }
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        for length in [whole.len() / 2, whole.len() - 1, 1000, 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Store::open(&path).is_err(), "{length} of {} bytes", whole.len());
        }
        for place in (0..whole.len()).step_by(509) {
            let mut rotten = whole.clone();
            rotten[place] ^= 0x5a;
            std::fs::write(&path, &rotten).unwrap();
            // It may have hit nothing that matters; what it must not do is end this process.
            if let Ok((mut store, _)) = Store::open(&path) {
                let _ = store.commit(&[Change::RemoveBinding(key("i", "b-1"))]);
            }
        }
    }

    #[test]
    fn a_link_to_what_is_not_there_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        std::os::unix::fs::symlink("/nowhere/broker.redb", &path).unwrap();
        assert!(Store::open(&path).is_err());
        assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_damaged_record_is_named_without_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        drop(Store::open(&path).unwrap());
        let database = builder().open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let damaged = br#"{"service":"a","credentials":"canary-secret"}"#;
        transaction.open_table(BINDINGS).unwrap().insert(("i", "b"), damaged.as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.contains("a binding \"b\"") && !error.contains("canary"), "{error}");
    }
}
