//! Where a file goes, computed from ids and slugs alone: so the applier comes to the same path as the daemon.

use std::path::PathBuf;
use std::sync::Arc;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, Output, State, escape_formatter};

use super::engine::environment;
use super::error::{Problem, TemplateError, explain};
use super::items::{ItemPlace, Named};
use super::output::refuse;
use super::view::{Fields, View, last_miss, missed};
use crate::config::{Destination, TemplateName, TemplateRule};
use crate::ids::RuntimeId;

/// The pattern of a destination, compiled.
#[derive(Debug)]
pub struct DestinationPattern {
    rule: TemplateName,
    destination: Destination,
    environment: Environment<'static>,
}

/// The engine's name for the pattern.
const NAME: &str = "destination";

/// How much work a path may take.
const WORK: u64 = 10_000;

impl DestinationPattern {
    /// Compiles the destination of a rule.
    ///
    /// # Errors
    /// When it is not written as templates are.
    pub fn compile(rule: &TemplateRule) -> Result<Self, TemplateError> {
        let mut environment = environment(WORK);
        environment.set_formatter(print_name);
        let destination = rule.destination.clone();
        let pattern = Self { rule: rule.name.clone(), destination, environment };
        pattern.compiled()
    }

    fn compiled(mut self) -> Result<Self, TemplateError> {
        let text = self.destination.pattern().to_owned();
        match self.environment.add_template_owned(NAME, text) {
            Ok(()) => Ok(self),
            Err(error) => Err(TemplateError { rule: self.rule.clone(), item: None, problem: self.explain(&error) }),
        }
    }

    /// The destination as it is configured.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The path for an item of a runtime: absolute where the destination is, else relative to the generation.
    ///
    /// # Errors
    /// When the pattern asks for what the item has not, or leads out of the directory that it begins with.
    pub fn compute(&self, runtime: &RuntimeId, item: &ItemPlace) -> Result<PathBuf, TemplateError> {
        last_miss();
        let failed = |problem| TemplateError { rule: self.rule.clone(), item: Some(Box::new(item.clone())), problem };
        let context = Value::from_object(Root { runtime: runtime.clone(), item: item.clone() });
        let path = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(context))
            .map_err(|error| failed(self.explain(&error)))?;
        self.destination
            .admits(&path)
            .map_err(|reason| failed(Problem::Destination { pattern: self.destination.pattern().to_owned(), reason }))
    }

    fn explain(&self, error: &Error) -> Problem {
        explain(error, &|_| ("its destination".to_owned(), Some(Arc::from(self.destination.pattern()))))
    }
}

/// Prints what can be a part of a name. Directories are made by the pattern's own text only.
fn print_name(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => {}
        // What an `if` without `else` leaves is nothing; what is missing was refused before.
        ValueKind::Undefined => return Ok(()),
        _ => return Err(refuse("it is not text that could be a part of a path")),
    }
    let text = value.as_str().unwrap_or_default();
    if text.contains('/') {
        Err(refuse("it holds a \"/\", and a value must not lead into another directory"))
    } else if text.contains(char::is_control) {
        Err(refuse("it holds a control character, which has no place in a path"))
    } else {
        escape_formatter(out, state, value)
    }
}

/// What a destination may use.
struct Root {
    runtime: RuntimeId,
    item: ItemPlace,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the place of an item")
    }
}

impl minijinja::value::Object for Root {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let ItemPlace { application, bundle, api, event, binding } = &self.item;
        let value = match key {
            "runtime" => Some(View::value(Id(self.runtime.as_str().into()))),
            "application" => application.as_ref().map(place),
            "bundle" => bundle.as_ref().map(place),
            "api" => api.as_ref().map(place),
            "event" => event.as_ref().map(place),
            "binding" => binding.as_ref().map(place),
            _ => None,
        };
        if value.is_none() {
            let there = [
                ("application", application.is_some()),
                ("bundle", bundle.is_some()),
                ("api", api.is_some()),
                ("event", event.is_some()),
                ("binding", binding.is_some()),
                ("runtime", true),
            ];
            let names = || there.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()).collect();
            missed("", key, names);
        }
        value
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }
}

struct Id(Box<str>);

impl Fields for Id {
    const KIND: &'static str = "the runtime, for a destination,";
    const SHOWN: &'static [&'static str] = &["id"];

    fn field(&self, name: &str) -> Option<Value> {
        (name == "id").then(|| Value::from(&*self.0))
    }
}

struct Place {
    id: Box<str>,
    slug: Box<str>,
}

fn place<T: std::fmt::Display>(named: &Named<T>) -> Value {
    View::value(Place { id: named.id.to_string().into(), slug: named.slug.as_str().into() })
}

impl Fields for Place {
    const KIND: &'static str = "an item, for a destination,";
    const SHOWN: &'static [&'static str] = &["id", "slug"];
    const BY_NAME: &'static [&'static str] = &["key"];

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "id" => Some(Value::from(&*self.id)),
            "slug" | "key" => Some(Value::from(&*self.slug)),
            _ => None,
        }
    }
}
