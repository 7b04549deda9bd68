//! `runtime-agent config`: every setting with its value, and where that comes from.

use std::process::ExitCode;

use serde::Serialize;
use toml::{Table, Value};

use super::{complain, exit, say};
use crate::config::{self, Configuration, Location, Origin};

/// The version of the JSON; keys can be added within one.
const VERSION: u32 = 1;

/// What scripts get.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    /// The files, in the order in which they are laid over one another.
    files: Vec<String>,
    /// By their dotted keys.
    settings: serde_json::Map<String, serde_json::Value>,
    templates: Vec<Setting<'a>>,
}

#[derive(Debug, Serialize)]
struct Setting<'a> {
    value: &'a Value,
    origin: &'a Origin,
}

pub(super) fn execute(location: &Location, json: bool) -> ExitCode {
    let read = match config::gather(location) {
        Ok(read) => read,
        Err(error) => {
            complain(&error);
            return ExitCode::from(exit::CONFIG);
        }
    };
    let text = Table::try_from(&read.settings).map_err(|error| error.to_string()).and_then(|values| {
        let text = if json { document(&read, &values) } else { page(&read, &values) };
        text.map_err(|error| format!("the configuration cannot be shown: {error}"))
    });
    match text {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::FAILED)
        }
    }
}

/// A setting that has a value, or has none and no default.
struct Line<'a> {
    section: String,
    key: &'a str,
    value: Option<&'a Value>,
}

/// All settings in the order of the documentation; labels come after all else, in a section of their own.
fn lines<'a>(values: &'a Table) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for (section, keys) in config::sections() {
        let inner = values.get(section).and_then(Value::as_table);
        let mut tables = Vec::new();
        for key in keys {
            match inner.and_then(|inner| inner.get(*key)) {
                Some(Value::Table(table)) => tables.push((*key, table)),
                value => lines.push(Line { section: section.to_owned(), key, value }),
            }
        }
        for (key, table) in tables {
            let section = format!("{section}.{key}");
            lines.extend(table.iter().map(|(key, value)| Line { section: section.clone(), key, value: Some(value) }));
        }
    }
    lines
}

/// The value as it stands in a line.
fn inline(value: &impl Serialize) -> Result<String, String> {
    let mut text = String::new();
    value.serialize(toml::ser::ValueSerializer::new(&mut text)).map_err(|error| error.to_string())?;
    Ok(text)
}

/// A file that says the same by itself.
fn page(read: &Configuration, values: &Table) -> Result<String, String> {
    let mut page = String::new();
    for (number, path) in read.files.iter().enumerate() {
        let comes = if number == 0 { "read from" } else { "then from" };
        page.push_str(&format!("# {comes} {}\n", path.display()));
    }
    let mut section = String::new();
    for line in lines(values) {
        if line.section != section {
            page.push_str(&format!("{}[{}]\n", if page.is_empty() { "" } else { "\n" }, line.section));
            section.clone_from(&line.section);
        }
        match line.value {
            Some(value) => {
                let origin = read.origin(&format!("{section}.{}", line.key));
                page.push_str(&format!("{} = {} # {origin}\n", line.key, inline(value)?));
            }
            None => page.push_str(&format!("# {} is not set\n", line.key)),
        }
    }
    for (rule, origin) in templates(read, values) {
        page.push_str(&format!("\n[[template]] # {origin}\n"));
        for (key, value) in rule.as_table().into_iter().flatten() {
            page.push_str(&format!("{key} = {}\n", inline(value)?));
        }
    }
    Ok(page)
}

fn templates<'a>(read: &'a Configuration, values: &'a Table) -> impl Iterator<Item = (&'a Value, &'a Origin)> {
    let rules = values.get("template").and_then(Value::as_array).into_iter().flatten();
    rules.zip(read.template_origins())
}

fn document(read: &Configuration, values: &Table) -> Result<String, String> {
    let mut settings = serde_json::Map::new();
    for Line { section, key, value } in lines(values) {
        let dotted = format!("{section}.{key}");
        let origin = read.origin(&dotted);
        let setting = serde_json::json!({ "value": value, "origin": origin });
        settings.insert(dotted, setting);
    }
    let document = Document {
        version: VERSION,
        files: read.files.iter().map(|path| path.display().to_string()).collect(),
        settings,
        templates: templates(read, values).map(|(value, origin)| Setting { value, origin }).collect(),
    };
    serde_json::to_string_pretty(&document).map_err(|error| error.to_string())
}
