//! What templates see of a thing: fields that are looked up when they are asked for, and remembered when they are missed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

/// A thing with fields.
pub(super) trait Fields: Send + Sync + 'static {
    /// What it is called in messages, with its article.
    const KIND: &'static str;
    /// The fields that it is made of, also where the whole of it is written.
    const SHOWN: &'static [&'static str];
    /// Fields that are secrets, and so are there only for who names them.
    const BY_NAME: &'static [&'static str] = &[];

    /// The value of a field.
    fn field(&self, name: &str) -> Option<Value>;
}

/// A thing as templates have it.
pub(super) struct View<T>(pub(super) T);

impl<T: Fields> View<T> {
    pub(super) fn value(thing: T) -> Value {
        Value::from_object(Self(thing))
    }
}

impl<T: Fields> fmt::Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::KIND)
    }
}

impl<T: Fields> Object for View<T> {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let value = self.0.field(key);
        if value.is_none() {
            missed(T::KIND, key, || T::SHOWN.iter().chain(T::BY_NAME).map(ToString::to_string).collect());
        }
        value
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(T::SHOWN)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::KIND)
    }
}

/// A table whose keys are the plane's, such as labels and headers.
pub(super) struct Table {
    pub(super) kind: &'static str,
    pub(super) entries: BTreeMap<Arc<str>, Value>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

impl Object for Table {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let value = self.entries.get(key).cloned();
        if value.is_none() {
            missed(self.kind, key, || self.entries.keys().map(ToString::to_string).collect());
        }
        value
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.entries.keys().map(|key| Value::from(key.clone())).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

/// A list of things that are made when they are asked for.
pub(super) struct List<F> {
    pub(super) length: usize,
    pub(super) at: F,
}

impl<F: Fn(usize) -> Value + Send + Sync + 'static> List<F> {
    pub(super) fn value(length: usize, at: F) -> Value {
        Value::from_object(Self { length, at })
    }
}

impl<F> fmt::Debug for List<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
}

impl<F: Fn(usize) -> Value + Send + Sync + 'static> Object for List<F> {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize().filter(|index| *index < self.length)?;
        Some((self.at)(index))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
}

/// A name that was asked for and is not there.
pub(super) struct Miss {
    /// What was asked, with its article.
    pub(super) kind: &'static str,
    /// The name.
    pub(super) key: String,
    /// The names that are there.
    pub(super) names: Vec<String>,
}

thread_local! {
    /// The engine says that something is undefined, and not what there is: so the last miss is kept for that message.
    static LAST: RefCell<Option<Miss>> = const { RefCell::new(None) };
}

/// How many names a message lists.
const MOST_NAMES: usize = 40;

pub(super) fn missed(kind: &'static str, key: &str, names: impl FnOnce() -> Vec<String>) {
    let mut names = names();
    names.sort();
    names.truncate(MOST_NAMES);
    LAST.set(Some(Miss { kind, key: key.to_owned(), names }));
}

/// The last miss on this thread since this was last asked.
pub(super) fn last_miss() -> Option<Miss> {
    LAST.take()
}
