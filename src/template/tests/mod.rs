//! The promises of templates, held against a small landscape.

mod bindings;
mod bounds;
mod files;
mod landscape;
mod messages;
mod published;

use std::collections::BTreeMap;
use std::path::Path;

use super::{ItemPlace, Landscape, RenderError, TemplateError, Templates};
use crate::config::{Settings, parse};

/// What the sink never says.
type Never = std::convert::Infallible;

fn settings(text: &str) -> Settings {
    parse(text, Path::new("agent.toml")).unwrap()
}

/// A rule with this text and these further keys.
fn rule(name: &str, content: &str, more: &str) -> String {
    let destination = if more.contains("destination") { "" } else { "destination = \"out\"\n" };
    format!("[[template]]\nname = \"{name}\"\ncontent = '''{content}'''\n{destination}{more}\n")
}

fn load(text: &str, directory: &Path) -> Result<Templates, TemplateError> {
    let settings = settings(text);
    Templates::load(&settings.template, directory, &settings.templates)
}

/// Everything that a configuration renders, by its destination.
fn render(text: &str, landscape: &Landscape) -> Result<BTreeMap<String, (String, ItemPlace)>, String> {
    render_from(text, landscape, Path::new("/nonexistent"))
}

fn render_from(
    text: &str,
    landscape: &Landscape,
    directory: &Path,
) -> Result<BTreeMap<String, (String, ItemPlace)>, String> {
    let templates = load(text, directory).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::new();
    let result = templates.render::<Never>(landscape, &mut |rendered| {
        let text = String::from_utf8(rendered.content.to_vec()).unwrap();
        files.insert(rendered.destination.display().to_string(), (text, rendered.item));
        Ok(())
    });
    match result {
        Ok(()) => Ok(files),
        Err(RenderError::Template(error)) => Err(error.to_string()),
        Err(RenderError::Sink(never)) => match never {},
    }
}

/// What one template that is rendered once prints.
fn printed(content: &str) -> Result<String, String> {
    Ok(render(&rule("x", content, ""), &landscape::landscape())?.remove("out").unwrap().0)
}
