//! Compiling templates, and rendering them one file after another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, Expression, UndefinedBehavior};
use zeroize::Zeroizing;

use super::destination::DestinationPattern;
use super::error::{Problem, RenderError, Spot, TemplateError, explain, line_and_column};
use super::filters;
use super::items::ItemPlace;
use super::landscape::{Item, Landscape, names_for};
use super::output::{Limited, print, refuse};
use super::references::named_in;
use super::source::Directory;
use super::view::last_miss;
use crate::config::{Source, SourceName, TemplateLimits, TemplateName, TemplateRule};

/// How deep includes, macros and blocks may go into each other.
const MAX_DEPTH: usize = 100;

/// The engine's name for an expression that belongs to no template.
const EXPRESSION: &str = "<expression>";

/// All templates of a configuration, compiled.
#[derive(Debug)]
pub struct Templates {
    rules: Vec<Compiled>,
    environment: Environment<'static>,
    directory: Arc<Directory>,
    limits: TemplateLimits,
}

#[derive(Debug)]
struct Compiled {
    rule: TemplateRule,
    /// The engine's name for its text.
    text: String,
    destination: DestinationPattern,
}

/// A file that was rendered.
#[derive(Debug)]
pub struct Rendered<'a> {
    /// The template's place in the configuration, from 0.
    pub index: usize,
    /// The template.
    pub rule: &'a TemplateRule,
    /// What it was rendered for.
    pub item: ItemPlace,
    /// Where it goes: absolute, or relative to the generation.
    pub destination: PathBuf,
    /// What is in it, credentials perhaps.
    pub content: Content,
}

/// The bytes of a file, wiped when they are dropped and never shown.
pub struct Content(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl std::ops::Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An engine as all templates have it: strict, without a way out, and at work for so long at the most.
pub(super) fn environment(work: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_recursion_limit(MAX_DEPTH);
    environment.set_fuel(Some(work));
    // So that errors know which expression was undefined. What they also know is never shown.
    environment.set_debug(true);
    environment.set_formatter(print);
    // The default syntax with these is always consistent.
    if let Ok(syntax) =
        SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build()
    {
        environment.set_syntax(syntax);
    }
    // They print values in a form that is for developers of templates only, secrets included.
    environment.remove_global("debug");
    environment.remove_filter("pprint");
    filters::add_to(&mut environment);
    environment
}

impl Templates {
    /// Compiles templates, whose files lie below `directory`: the text, the destination and the expression of each, and
    /// the files that they name. Blocks; what is read here is not read again.
    ///
    /// # Errors
    /// At the first template with something that cannot be.
    pub fn load(rules: &[TemplateRule], directory: &Path, limits: &TemplateLimits) -> Result<Self, TemplateError> {
        let directory = Arc::new(Directory::open(directory));
        let mut environment = environment(limits.max_work.get().into());
        let files = directory.clone();
        environment.set_auto_reload(false);
        environment.set_loader(move |name| load(&files, name));
        let mut templates = Self { rules: Vec::new(), environment, directory, limits: limits.clone() };
        for rule in rules {
            let destination = DestinationPattern::compile(rule)?;
            let text = templates.compile(rule)?;
            templates.rules.push(Compiled { rule: rule.clone(), text, destination });
        }
        Ok(templates)
    }

    /// The rules that were compiled, each with its destination.
    pub fn rules(&self) -> impl Iterator<Item = (&TemplateRule, &DestinationPattern)> {
        self.rules.iter().map(|compiled| (&compiled.rule, &compiled.destination))
    }

    /// Whether there is nothing to render at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Compiles the text and the expression of a rule, and gives the engine's name for the text.
    fn compile(&mut self, rule: &TemplateRule) -> Result<String, TemplateError> {
        let failed = |problem| TemplateError { rule: rule.name.clone(), item: None, problem };
        let name = match &rule.source {
            Source::Inline(text) => {
                // No file can have that name.
                let name = inline(&rule.name);
                self.environment
                    .add_template_owned(name.clone(), text.to_string())
                    .map_err(|error| failed(self.explain_text(rule, &error, text)))?;
                self.compile_named(rule, text)?;
                name
            }
            Source::File(file) => {
                let text = self.directory.text(file).map_err(|error| failed(error.into()))?;
                let text = text.ok_or_else(|| failed(Problem::Missing(self.directory.path_of(file.as_str()))))?;
                self.environment
                    .get_template(file.as_str())
                    .map_err(|error| failed(self.explain_text(rule, &error, &text)))?;
                self.compile_named(rule, &text)?;
                file.as_str().to_owned()
            }
        };
        self.check_names(rule, &name)?;
        self.condition(rule)?;
        Ok(name)
    }

    /// Compiles the files that a text names, and those that these name. One that is not there may be meant so.
    fn compile_named(&self, rule: &TemplateRule, text: &str) -> Result<(), TemplateError> {
        let failed = |problem| TemplateError { rule: rule.name.clone(), item: None, problem };
        let mut seen: Vec<SourceName> = Vec::new();
        let mut wanted: Vec<String> = named_in(text).into_iter().map(ToOwned::to_owned).collect();
        while let Some(name) = wanted.pop() {
            let Ok(name) = name.parse::<SourceName>() else { continue };
            if seen.contains(&name) {
                continue;
            }
            let Some(text) = self.directory.text(&name).map_err(|error| failed(error.into()))? else { continue };
            self.environment
                .get_template(name.as_str())
                .map_err(|error| failed(self.explain_text(rule, &error, &text)))?;
            wanted.extend(named_in(&text).into_iter().map(ToOwned::to_owned));
            seen.push(name);
        }
        Ok(())
    }

    /// Finds names that no rendering will have, as far as a template stands for itself.
    fn check_names(&self, rule: &TemplateRule, name: &str) -> Result<(), TemplateError> {
        let Ok(template) = self.environment.get_template(name) else { return Ok(()) };
        let text = template.source();
        if !named_in(text).is_empty() {
            return Ok(());
        }
        let unknown = self.unknown(rule, template.undeclared_variables(false));
        self.complain_of(rule, unknown, &self.texts(rule, name).0, text)
    }

    /// The first of the names that neither the engine nor the rule has.
    fn unknown(&self, rule: &TemplateRule, used: impl IntoIterator<Item = String>) -> Option<String> {
        let known = |name: &str| {
            names_for(rule.for_each).any(|own| own == name)
                || self.environment.globals().any(|(global, _)| global == name)
        };
        used.into_iter().filter(|name| !known(name)).min()
    }

    fn complain_of(
        &self,
        rule: &TemplateRule,
        unknown: Option<String>,
        file: &str,
        text: &str,
    ) -> Result<(), TemplateError> {
        let Some(unknown) = unknown else { return Ok(()) };
        let (line, column) = word_in(text, &unknown).map_or((0, 0), |at| line_and_column(&text[..at]));
        let spot = Spot { file: file.to_owned(), line, column, text: unknown.clone() };
        let mut names: Vec<_> = names_for(rule.for_each).collect();
        names.sort_unstable();
        let what = format!("`{unknown}` is undefined; for_each = \"{}\" has: {}", rule.for_each, names.join(", "));
        Err(TemplateError { rule: rule.name.clone(), item: None, problem: Problem::Text { spot, what } })
    }

    /// The expression that a rule has, compiled.
    fn condition(&self, rule: &TemplateRule) -> Result<Option<Expression<'_, 'static>>, TemplateError> {
        let Some(when) = &rule.when else { return Ok(None) };
        let condition = self.environment.compile_expression_owned(when.to_string()).map_err(|error| TemplateError {
            rule: rule.name.clone(),
            item: None,
            problem: self.explain_text(rule, &error, when),
        })?;
        let unknown = self.unknown(rule, condition.undeclared_variables(false));
        self.complain_of(rule, unknown, WHEN, when)?;
        Ok(Some(condition))
    }

    /// Renders every template for everything that it is for, and gives the files to `sink`, always in the same order.
    /// Blocks; reads nothing but files whose names templates compute.
    ///
    /// # Errors
    /// At the first template that cannot be rendered, and at the first error of `sink`. What was given to it before is
    /// then not to be used: all, or nothing.
    pub fn render<E>(
        &self,
        landscape: &Landscape,
        sink: &mut dyn FnMut(Rendered<'_>) -> Result<(), E>,
    ) -> Result<(), RenderError<E>> {
        let mut taken = BTreeMap::new();
        for (index, compiled) in self.rules.iter().enumerate() {
            let condition = self.condition(&compiled.rule)?;
            for item in landscape.items(compiled.rule.for_each) {
                let Some(rendered) = self.render_one(landscape, index, compiled, condition.as_ref(), item)? else {
                    continue;
                };
                let failed = |problem| TemplateError {
                    rule: compiled.rule.name.clone(),
                    item: Some(Box::new(rendered.item.clone())),
                    problem,
                };
                if taken.len() >= self.limits.max_files.get() as usize {
                    return Err(failed(Problem::TooMany { limit: self.limits.max_files.get() }).into());
                }
                if let Some((other, (rule, item))) = in_the_way(&taken, &rendered.destination) {
                    let (rule, item): (&TemplateName, Box<ItemPlace>) = (*rule, Box::new(Clone::clone(item)));
                    let (path, other) = (rendered.destination.clone(), other.clone());
                    return Err(failed(Problem::Repeated { path, other, rule: rule.clone(), item }).into());
                }
                taken.insert(rendered.destination.clone(), (&compiled.rule.name, rendered.item.clone()));
                sink(rendered).map_err(RenderError::Sink)?;
            }
        }
        Ok(())
    }

    /// One file; nothing, where the rule's expression does not hold.
    fn render_one<'a>(
        &'a self,
        landscape: &Landscape,
        index: usize,
        compiled: &'a Compiled,
        condition: Option<&Expression<'_, '_>>,
        item: Item,
    ) -> Result<Option<Rendered<'a>>, TemplateError> {
        let rule = &compiled.rule;
        let place = landscape.place(item);
        let failed = |problem| TemplateError { rule: rule.name.clone(), item: Some(Box::new(place.clone())), problem };
        last_miss();
        if let Some(condition) = condition {
            let holds = condition.eval(landscape.context(item)).map_err(|error| failed(self.explain(rule, &error)))?;
            if holds.is_undefined() {
                return Err(failed(undefined_condition(rule)));
            }
            if !holds.is_true() {
                return Ok(None);
            }
        }
        let destination = compiled.destination.compute(landscape.runtime(), &place)?;
        last_miss();
        let limit = self.limits.max_output.get();
        let mut out = Limited::new(usize::try_from(limit).unwrap_or(usize::MAX));
        let result = self
            .environment
            .get_template(&compiled.text)
            .and_then(|template| template.render_captured_to(landscape.context(item), &mut out).map(drop));
        match result {
            Ok(()) => {}
            Err(_) if out.full => return Err(failed(Problem::TooLarge { limit })),
            Err(error) => return Err(failed(self.explain(rule, &error))),
        }
        Ok(Some(Rendered { index, rule, item: place, destination, content: Content(out.content) }))
    }

    fn explain(&self, rule: &TemplateRule, error: &Error) -> Problem {
        explain(error, &|name| self.texts(rule, name))
    }

    /// Explains an error in a text that the engine did not take, and so does not know.
    fn explain_text(&self, rule: &TemplateRule, error: &Error, text: &str) -> Problem {
        explain(error, &|name| (self.texts(rule, name).0, Some(text.into())))
    }

    /// What people call a text, and the text itself, by the engine's name for it.
    fn texts(&self, rule: &TemplateRule, name: &str) -> (String, Option<Arc<str>>) {
        if name == EXPRESSION {
            (WHEN.to_owned(), rule.when.as_deref().map(Arc::from))
        } else if name == inline(&rule.name) {
            let text = match &rule.source {
                Source::Inline(text) => Some(Arc::from(&**text)),
                Source::File(_) => None,
            };
            ("its content".to_owned(), text)
        } else {
            (self.directory.path_of(name).display().to_string(), self.directory.known(name))
        }
    }
}

/// What the expression of a rule is called.
const WHEN: &str = "its expression `when`";

fn inline(name: &TemplateName) -> String {
    format!("<{name}>")
}

fn undefined_condition(rule: &TemplateRule) -> Problem {
    let text = rule.when.as_deref().unwrap_or_default();
    let spot = Spot { file: WHEN.to_owned(), line: 1, column: 1, text: crate::transport::excerpt(text, &[]) };
    let names = last_miss().filter(|miss| text.contains(&*miss.key));
    let names = names.map(|miss| format!("; the names in {} are: {}", miss.kind, miss.names.join(", ")));
    Problem::Text { spot, what: format!("it is undefined{}", names.unwrap_or_default()) }
}

/// The engine's loader: files below the directory, under names that may be values.
fn load(files: &Directory, name: &str) -> Result<Option<String>, Error> {
    let Ok(name) = name.parse::<SourceName>() else {
        return Err(refuse("what is included is a file below the directory of templates, named without \"..\""));
    };
    match files.text(&name) {
        Ok(text) => Ok(text.map(|text| text.to_string())),
        Err(error) => Err(refuse(format!("what is included cannot be had: {}", error.without_name()))),
    }
}

/// Where a name stands by itself in a text.
fn word_in(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !text[..*at].ends_with(|c| part(c) || c == '.') && !text[at + word.len()..].starts_with(part))
}

/// What is at a path already, or makes a directory of it, or would be a directory on the way to it.
fn in_the_way<'a, T>(taken: &'a BTreeMap<PathBuf, T>, path: &Path) -> Option<(&'a PathBuf, &'a T)> {
    let above = path.ancestors().find_map(|path| taken.get_key_value(path));
    let below = || taken.range(path.to_owned()..).next().filter(|(other, _)| other.starts_with(path));
    above.or_else(below)
}
