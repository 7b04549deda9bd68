//! Values from variables: `RUNTIME_AGENT_SYNC__INTERVAL=5m` stands above all files.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::error::{ConfigError, masked};
use super::fragment::{Fragment, TEMPLATE};
use super::keys::{closest, sections, with_suggestion};
use super::origin::Origin;
use super::settings::Settings;

/// What the names of these variables begin with.
const PREFIX: &str = "RUNTIME_AGENT_";

/// What comes after that in the names of the variables that hooks are given, and that override nothing: a hook may ask
/// the agent.
const OF_HOOKS: [&str; 4] = ["EVENT", "STATE", "CONFIG", "GENERATION"];

/// What the variables override, in the order of their names.
pub(super) fn overrides(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Fragment>, ConfigError> {
    let ours = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let rest = name.strip_prefix(PREFIX)?;
        (!OF_HOOKS.contains(&rest)).then_some((name, value))
    };
    let sorted: BTreeMap<String, OsString> = variables.into_iter().filter_map(ours).collect();
    sorted.into_iter().map(|(name, value)| one(name, value)).collect()
}

fn one(name: String, value: OsString) -> Result<Fragment, ConfigError> {
    let (section, key) = match known(&name) {
        Ok(place) => place,
        Err(explanation) => return Err(ConfigError::Variable { name, explanation }),
    };
    let Ok(text) = value.into_string() else {
        return Err(ConfigError::Variable { name, explanation: "its value is not UTF-8".to_owned() });
    };
    match fitting(section, key, text) {
        Ok(value) => Ok(fragment(section, key, value, &Origin::Environment { variable: name })),
        Err(explanation) => Err(ConfigError::Variable { name, explanation }),
    }
}

fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase())
}

/// The section and the key that a variable overrides.
fn known(name: &str) -> Result<(&'static str, &'static str), String> {
    let all = || sections().into_iter().flat_map(|(section, keys)| keys.iter().map(move |key| (section, *key)));
    if let Some(place) = all().find(|(section, key)| variable(section, key) == name) {
        return Ok(place);
    }
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    if rest == TEMPLATE.to_uppercase() || rest.starts_with(&format!("{}__", TEMPLATE.to_uppercase())) {
        return Err("templates cannot be set by variables; write them into a file".to_owned());
    }
    // Without what all begin with, which makes none of them alike.
    let names: Vec<String> = all().map(|(section, key)| variable(section, key).replacen(PREFIX, "", 1)).collect();
    let says = "variables that begin with RUNTIME_AGENT_ override the configuration, and there is no such key";
    Err(match closest(rest, names.iter().map(String::as_str)) {
        Some(word) => format!("{says}; did you mean {PREFIX}{word}?"),
        None => format!("{says}; one is named as in RUNTIME_AGENT_SYNC__INTERVAL"),
    })
}

/// The value as its key wants it: as TOML has it, where that fits, else as a text.
fn fitting(section: &str, key: &str, text: String) -> Result<Value, String> {
    let refusal = |value: &Value| {
        let inner = Table::from_iter([(key.to_owned(), value.clone())]);
        let outer = Table::from_iter([(section.to_owned(), Value::Table(inner))]);
        let error = Settings::deserialize(outer).err()?;
        // Its second line names the key, which is in the name of the variable.
        let message = error.to_string();
        Some(with_suggestion(&masked(message.lines().next().unwrap_or_default())))
    };
    // A line feed could begin another key.
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|table| table.len() == 1);
    let as_written = parsed.and_then(|mut table| table.remove("value"));
    let as_text = Value::String(text);
    match as_written {
        Some(value) if refusal(&value).is_none() => Ok(value),
        // What is wrong with it as TOML says more than that a text is none.
        Some(value) => match refusal(&as_text) {
            None => Ok(as_text),
            Some(_) => Err(refusal(&value).unwrap_or_default()),
        },
        None => match refusal(&as_text) {
            None => Ok(as_text),
            Some(refusal) => Err(refusal),
        },
    }
}

fn fragment(section: &str, key: &str, value: Value, origin: &Origin) -> Fragment {
    let dotted = format!("{section}.{key}");
    let origins = match &value {
        Value::Table(inner) => inner.keys().map(|name| (format!("{dotted}.{name}"), origin.clone())).collect(),
        _ => [(dotted, origin.clone())].into(),
    };
    let inner = Table::from_iter([(key.to_owned(), value)]);
    Fragment { table: Table::from_iter([(section.to_owned(), Value::Table(inner))]), origins, templates: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Value, String> {
        let variables = [(OsString::from(name), OsString::from(value)), ("HOME".into(), "/root".into())];
        let fragments = overrides(variables).map_err(|error| error.to_string())?;
        let [fragment] = &fragments[..] else { return Err("nothing is overridden".into()) };
        let (_, inner) = fragment.table.iter().next().unwrap();
        Ok(inner.as_table().unwrap().values().next().unwrap().clone())
    }

    #[test]
    fn a_value_is_what_its_key_wants() {
        for (name, value, meant) in [
            ("SYNC__INTERVAL", "5m", Value::String("5m".into())),
            ("SYNC__INTERVAL", "\"5m\"", Value::String("5m".into())),
            ("SYNC__PAGE_SIZE", "7", Value::Integer(7)),
            ("SYNC__JITTER", "0.25", Value::Float(0.25)),
            ("SYNC__SPECIFICATIONS", "true", Value::Boolean(true)),
            ("LOG__LEVEL", "debug", Value::String("debug".into())),
            ("PLANE__ALLOWED_HOSTS", "[\"a.example.org\"]", Value::Array(vec!["a.example.org".into()])),
            ("PATHS__STATE", "/srv/1", Value::String("/srv/1".into())),
        ] {
            assert_eq!(read(&format!("RUNTIME_AGENT_{name}"), value), Ok(meant), "{name}={value}");
        }
        let labels = read("RUNTIME_AGENT_REPORT__LABELS", "{ site = \"fra\" }").unwrap();
        assert_eq!(labels["site"].as_str(), Some("fra"));
    }

    #[test]
    fn what_names_no_key_or_does_not_fit_is_refused_with_what_may_be_meant() {
        for (name, value, said) in [
            ("SYNC__INTERVALL", "5m", "did you mean RUNTIME_AGENT_SYNC__INTERVAL?"),
            ("SYNC_INTERVAL", "5m", "did you mean RUNTIME_AGENT_SYNC__INTERVAL?"),
            ("LOGLEVEL", "debug", "did you mean RUNTIME_AGENT_LOG__LEVEL?"),
            ("SOMETHING", "x", "as in RUNTIME_AGENT_SYNC__INTERVAL"),
            ("TEMPLATE__X", "x", "write them into a file"),
            ("SYNC__INTERVAL", "1s", "from 5s to 7days"),
            ("SYNC__PAGE_SIZE", "0", "200"),
            ("LOG__LEVEL", "debugg", "did you mean `debug`?"),
            ("SYNC__INTERVAL", "\"5m\"\nother = 1", "not a duration"),
        ] {
            let refusal = read(&format!("RUNTIME_AGENT_{name}"), value).unwrap_err();
            assert!(refusal.contains(said) && refusal.contains(&format!("RUNTIME_AGENT_{name}")), "{name}: {refusal}");
        }
        let refusal = read("RUNTIME_AGENT_PLANE__PROXY", "http://u:canary@proxy.example.com").unwrap_err();
        assert!(!refusal.contains("canary"), "{refusal}");
    }

    #[test]
    fn what_hooks_are_told_overrides_nothing() {
        for name in OF_HOOKS {
            assert_eq!(read(&format!("RUNTIME_AGENT_{name}"), "x"), Err("nothing is overridden".into()));
        }
    }
}
