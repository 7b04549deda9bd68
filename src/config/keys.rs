//! Which keys there are, and which of them a misspelt one may have been meant to be.

use serde::Deserialize;
use serde::de::value::Error as AnyError;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::broker::Broker;
use super::metrics::Metrics;
use super::settings::{Apply, Control, Hooks, Log, Output, Paths, Plane, Renewal, Report, Settings, Sync};
use super::templates::TemplateLimits;

/// How alike two words must be for one to be taken for the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// Every section, and its keys, in the order of the documentation.
pub fn sections() -> Vec<(&'static str, &'static [&'static str])> {
    // By name rather than by position: the order is that of `Settings`.
    names::<Settings>()
        .iter()
        .filter_map(|section| {
            let keys = match *section {
                "plane" => names::<Plane>(),
                "sync" => names::<Sync>(),
                "renewal" => names::<Renewal>(),
                "report" => names::<Report>(),
                "output" => names::<Output>(),
                "hooks" => names::<Hooks>(),
                "templates" => names::<TemplateLimits>(),
                "apply" => names::<Apply>(),
                "control" => names::<Control>(),
                "broker" => names::<Broker>(),
                "paths" => names::<Paths>(),
                "log" => names::<Log>(),
                "metrics" => names::<Metrics>(),
                // A list of tables.
                _ => return None,
            };
            Some((*section, keys))
        })
        .collect()
}

/// Adds to an error about a word that is not known which one may have been meant.
pub(super) fn with_suggestion(error: &str) -> String {
    let trimmed = error.trim_end();
    match suggestion(trimmed) {
        Some(word) => format!("{trimmed}; did you mean `{word}`?"),
        None => trimmed.to_owned(),
    }
}

fn suggestion(error: &str) -> Option<String> {
    let start = ["unknown field `", "unknown variant `"].iter().filter_map(|start| error.rfind(start)).max()?;
    let mut words = error[start..].split('`').skip(1).step_by(2);
    let wrong = words.next()?;
    let elsewhere = || {
        let mut all = sections().into_iter().flat_map(|(section, keys)| keys.iter().map(move |key| (section, *key)));
        all.find(|(_, key)| *key == wrong).map(|(section, key)| format!("{section}.{key}"))
    };
    closest(wrong, words).map(str::to_owned).or_else(elsewhere)
}

/// The word that is most like this one, if any is.
pub(super) fn closest<'a>(wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |word: &'a str| (strsim::jaro_winkler(wrong, word), word);
    let best = words.into_iter().map(alike).max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, word)| word)
}

/// The names that a type of the configuration has for its fields.
fn names<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It fails in any case, once it has said what it wants.
    let _ = T::deserialize(Listener(&mut names));
    names
}

/// Hears which fields a type asks for, and gives it nothing.
struct Listener<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = AnyError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, AnyError> {
        Err(AnyError::custom("there is nothing here"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, AnyError> {
        *self.0 = fields;
        Err(AnyError::custom("there is nothing here"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_every_key_of_the_defaults_is_known() {
        let known = sections();
        let mut names: Vec<_> = known.iter().map(|(section, _)| *section).collect();
        names.push("template");
        assert!(super::names::<Settings>().iter().all(|section| names.contains(section)), "{names:?}");
        for (section, values) in &toml::Table::try_from(Settings::default()).unwrap() {
            let (_, keys) = known.iter().find(|(known, _)| known == section).unwrap();
            for key in values.as_table().unwrap().keys() {
                assert!(keys.contains(&key.as_str()), "{section}.{key}");
            }
        }
    }

    #[test]
    fn a_misspelt_word_is_taken_for_the_closest_one_and_a_strange_one_for_none() {
        for (error, meant) in [
            ("unknown field `intervall`, expected one of `interval`, `jitter`", Some("interval")),
            ("unknown field `synk`, expected one of `plane`, `sync`, `renewal`", Some("sync")),
            ("unknown variant `onlin`, expected one of `socket`, `inline`, `off`", Some("inline")),
            ("unknown field `interval`, expected one of `plane`, `sync`", Some("sync.interval")),
            ("unknown field `xyz`, expected one of `plane`, `sync`", None),
            ("invalid type: string \"x\", expected a boolean", None),
        ] {
            assert_eq!(suggestion(error).as_deref(), meant, "{error}");
        }
    }
}
