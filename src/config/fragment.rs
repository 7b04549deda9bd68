//! One file of the configuration: valid by itself, and with the line of every value.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, masked};
use super::keys::with_suggestion;
use super::location::Text;
use super::origin::Origin;
use super::settings::Settings;

/// The name of the section that is a list of tables.
pub(super) const TEMPLATE: &str = "template";

/// What one file, or one variable, says.
pub(super) struct Fragment {
    /// Its values, without those of templates.
    pub table: Table,
    /// Where each of them stands, by its dotted key.
    pub origins: BTreeMap<String, Origin>,
    /// Its templates, each with its name and where it stands.
    pub templates: Vec<(String, Value, Origin)>,
}

impl Fragment {
    /// Parses a file. Every key has a default, so what is no valid configuration by itself is valid nowhere; and here
    /// the line is known.
    pub(super) fn parse(file: &Text) -> Result<Self, ConfigError> {
        let Text { path, text } = file;
        let invalid = |error: &toml::de::Error| {
            let explanation = with_suggestion(&masked(&error.to_string()));
            ConfigError::Invalid { path: path.clone(), explanation }
        };
        let _: Settings = toml::from_str(text).map_err(|error| invalid(&error))?;
        let spanned = DeTable::parse(text).map_err(|error| invalid(&error))?;
        let mut table: Table = toml::from_str(text).map_err(|error| invalid(&error))?;
        let mut places = Places { path, text, origins: BTreeMap::new() };
        let mut rules = Vec::new();
        for (key, value) in spanned.get_ref() {
            if key.get_ref() == TEMPLATE {
                rules.extend(
                    value.get_ref().as_array().into_iter().flat_map(|rules| rules.iter()).map(|rule| places.rule(rule)),
                );
            } else {
                places.note(key.get_ref(), key.span().start, value);
            }
        }
        let values = match table.remove(TEMPLATE) {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        let templates: Vec<_> =
            rules.into_iter().zip(values).map(|((name, origin), value)| (name, value, origin)).collect();
        unique(path, &templates)?;
        Ok(Self { table, origins: places.origins, templates })
    }
}

/// Within one file, a second template of a name is a mistake.
fn unique(path: &Path, templates: &[(String, Value, Origin)]) -> Result<(), ConfigError> {
    let mut known = BTreeMap::new();
    for (name, _, origin) in templates {
        if let Some(first) = known.insert(name, origin) {
            let explanation = format!(
                "two templates have the name {name}; give each its own (one is set in {first}, the other in {origin})"
            );
            return Err(ConfigError::Contradiction { path: path.to_owned(), explanation });
        }
    }
    Ok(())
}

/// Where the values of one file stand.
struct Places<'a> {
    path: &'a Path,
    text: &'a str,
    origins: BTreeMap<String, Origin>,
}

impl Places<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }

    /// Notes a value, or all values in a table, the `at`th byte being where it begins.
    fn note(&mut self, key: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        match value.get_ref().as_table() {
            Some(table) => {
                for (name, value) in table {
                    self.note(&format!("{key}.{}", name.get_ref()), name.span().start, value);
                }
            }
            None => {
                self.origins.insert(key.to_owned(), self.origin(at));
            }
        }
    }

    /// The name of a template, which is where people would look for it.
    fn rule(&self, rule: &Spanned<DeValue<'_>>) -> (String, Origin) {
        let name = rule.get_ref().as_table().and_then(|table| table.iter().find(|(key, _)| key.get_ref() == "name"));
        match name {
            Some((key, value)) => {
                (value.get_ref().as_str().unwrap_or_default().to_owned(), self.origin(key.span().start))
            }
            None => (String::new(), self.origin(rule.span().start)),
        }
    }
}
