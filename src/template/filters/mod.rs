//! Filters that turn a value into what the reader of a file understands, or refuse what it could not.

mod documents;
mod environment;
mod http;
mod nginx;
mod shell;
mod slug;
mod systemd;
mod url;

use std::borrow::Cow;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::output::refuse;

/// The filters that the agent adds to those of the language.
pub const FILTERS: [&str; 11] = [
    "basic_auth",
    "default",
    "env_quote",
    "nginx_quote",
    "shell_quote",
    "slug",
    "systemd_escape",
    "tojson",
    "totoml",
    "toyaml",
    "url",
];

pub(crate) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("basic_auth", http::basic_auth);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("env_quote", environment::quote);
    environment.add_filter("nginx_quote", nginx::quote);
    environment.add_filter("shell_quote", shell::quote);
    environment.add_filter("slug", slug::slug);
    environment.add_filter("systemd_escape", systemd::escape);
    environment.add_filter("tojson", documents::json);
    environment.add_filter("totoml", documents::toml);
    environment.add_filter("toyaml", documents::yaml);
    environment.add_filter("url", url::url);
}

/// As the filter of the language, where `none` counts as nothing, too: that is how what the plane does not say comes.
fn default(value: &Value, other: Option<Value>, lax: Option<Value>) -> Result<Value, Error> {
    let lax = match lax {
        Some(lax) if lax.is_undefined() => return Err(Error::from(ErrorKind::UndefinedError)),
        Some(lax) => lax.is_true(),
        None => false,
    };
    if value.is_undefined() || value.is_none() || (lax && !value.is_true()) {
        Ok(other.unwrap_or_else(|| Value::from("")))
    } else {
        Ok(value.clone())
    }
}

/// The text of a value that is one, or a number, or a flag.
fn text(value: &Value) -> Result<Cow<'_, str>, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().into()),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => Ok(value.to_string().into()),
        ValueKind::Undefined => Err(undefined(value)),
        ValueKind::None => Err(refuse("the filter needs a text, and this is none, for the plane says nothing here")),
        _ => Err(refuse("the filter needs a text, and this is a list or a table")),
    }
}

/// The engine's own refusal of a value that is undefined, which alone knows the expression.
fn undefined(value: &Value) -> Error {
    i64::try_from(value.clone()).err().unwrap_or_else(|| Error::from(ErrorKind::UndefinedError))
}

#[cfg(test)]
fn call(filter: &str, value: impl Into<Value>) -> Result<String, String> {
    rendered(&format!("{{{{ value | {filter} }}}}"), value)
}

/// What a template prints for a value, or the reason of the refusal.
#[cfg(test)]
fn rendered(template: &str, value: impl Into<Value>) -> Result<String, String> {
    let environment = super::engine::environment(1_000_000);
    environment.render_str(template, minijinja::context! { value => value.into() }).map_err(|error| {
        std::error::Error::source(&error).map_or_else(|| error.kind().to_string(), ToString::to_string)
    })
}
