//! What is wrong with a template, told without any value: where it is, what its text says there, and which names exist.

use std::fmt;
use std::path::PathBuf;

use minijinja::{Error, ErrorKind};

use super::items::ItemPlace;
use super::output::Refusal;
use super::source::SourceError;
use super::view::last_miss;
use crate::config::TemplateName;
use crate::disk;
use crate::transport::excerpt;

/// A template that cannot be used or rendered.
#[derive(Debug)]
pub struct TemplateError {
    /// Its name.
    pub rule: TemplateName,
    /// What it was rendered for; nothing, where it was not rendered yet.
    pub item: Option<Box<ItemPlace>>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, item, problem } = self;
        match item {
            Some(item) => write!(f, "the template {rule} cannot be rendered for {item}: {problem}"),
            None => write!(f, "the template {rule} cannot be used: {problem}"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl TemplateError {
    /// Whether it is the template that is wrong, and not what kept its text from being read at that moment.
    pub fn is_lasting(&self) -> bool {
        match &self.problem {
            Problem::Source(SourceError::Io { source, .. }) => disk::is_lasting(source),
            Problem::Source(_)
            | Problem::Missing(_)
            | Problem::Text { .. }
            | Problem::Destination { .. }
            | Problem::TooLarge { .. }
            | Problem::TooMany { .. }
            | Problem::Repeated { .. } => true,
        }
    }
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Its text cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no such file.
    #[error("there is no file {0}")]
    Missing(PathBuf),
    /// Something in its text.
    #[error("{spot}: {what}")]
    Text {
        /// Where.
        spot: Spot,
        /// What is wrong there.
        what: String,
    },
    /// Its destination leads nowhere where it may.
    #[error("its destination {pattern:?} does not give a path: {reason}")]
    Destination {
        /// The destination as it is configured.
        pattern: String,
        /// Why.
        reason: &'static str,
    },
    /// It is larger than allowed.
    #[error("it is larger than {limit} bytes; templates.max_output allows no more")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// There are more files than allowed.
    #[error("more than {limit} files are rendered by all templates together; templates.max_files allows no more")]
    TooMany {
        /// The limit.
        limit: u32,
    },
    /// Two files would have the same place, or one would lie below the other.
    #[error("its file {path} is in the way of {other}, which the template {rule} renders for {item}", path = path.display(), other = other.display())]
    Repeated {
        /// Where.
        path: PathBuf,
        /// Where the other one is: the same, or a path that only a directory allows.
        other: PathBuf,
        /// Who renders that.
        rule: TemplateName,
        /// And for what.
        item: Box<ItemPlace>,
    },
}

/// A place in the text of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file, or the key of the configuration.
    pub file: String,
    /// The line, from 1; 0 where nobody knows.
    pub line: usize,
    /// The column in characters, from 1; 0 where nobody knows.
    pub column: usize,
    /// What stands there, shortened.
    pub text: String,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ", column {}", self.column)?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, ", `{}`", self.text) }
    }
}

/// What ended a rendering.
#[derive(Debug, thiserror::Error)]
pub enum RenderError<E> {
    /// A template.
    #[error(transparent)]
    Template(Box<TemplateError>),
    /// The sink.
    #[error(transparent)]
    Sink(E),
}

impl<E> From<TemplateError> for RenderError<E> {
    fn from(error: TemplateError) -> Self {
        Self::Template(Box::new(error))
    }
}

/// How the text of a template is found again by the engine's name for it: what people call it, and the text.
pub(super) type Texts<'a> = &'a dyn Fn(&str) -> (String, Option<std::sync::Arc<str>>);

/// Turns the engine's error into one without values.
pub(super) fn explain(error: &Error, texts: Texts<'_>) -> Problem {
    let inner = innermost(error);
    let name = inner.name().or_else(|| error.name()).unwrap_or_default();
    let (file, text) = texts(name);
    let range = inner.range().unwrap_or_default();
    let text = text.as_deref().unwrap_or_default();
    let said = around(text, &range);
    let mut spot = Spot { file, line: inner.line().unwrap_or(0), column: 0, text: excerpt(said, &[]) };
    if let Some(before) = text.get(..range.start)
        && !range.is_empty()
    {
        (spot.line, spot.column) = line_and_column(before);
    }
    let what = reason(inner, said);
    Problem::Text { spot, what }
}

/// The line and the column of what comes after this text.
pub(super) fn line_and_column(before: &str) -> (usize, usize) {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The expression or statement that a range of a text lies in, or all of it where it has no marks of such.
fn around<'a>(text: &'a str, range: &std::ops::Range<usize>) -> &'a str {
    let (Some(before), Some(after)) = (text.get(..range.start), text.get(range.end..)) else { return "" };
    let begin = before.rfind("{{").max(before.rfind("{%")).map(|at| at + 2);
    let end = ["}}", "%}"].iter().filter_map(|mark| after.find(mark)).min().map(|at| range.end + at);
    let whole = text.get(begin.unwrap_or(range.start)..end.unwrap_or(range.end)).unwrap_or_default();
    whole.trim_matches(['-', '+']).trim()
}

/// The error behind those that only say in which file it was.
fn innermost(error: &Error) -> &Error {
    let mut inner = error;
    while let Some(next) = std::error::Error::source(inner).and_then(|source| source.downcast_ref::<Error>()) {
        inner = next;
    }
    inner
}

/// The engine's details can hold values: they are told only where they are known to be about kinds and names.
fn reason(error: &Error, said: &str) -> String {
    if let Some(Refusal(reason)) = std::error::Error::source(error).and_then(|source| source.downcast_ref()) {
        return reason.to_string();
    }
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::SyntaxError => format!("it is not written as templates are: {}", excerpt(detail, &[])),
        ErrorKind::UndefinedError => undefined(detail, said),
        ErrorKind::OutOfFuel => "it takes more work than templates.max_work allows".into(),
        ErrorKind::TemplateNotFound => "there is no such file below the directory of templates".into(),
        ErrorKind::UnknownFilter => {
            "there is no such filter; runtime-agent-templates(7) lists those that there are".into()
        }
        ErrorKind::UnknownTest => "there is no such test".into(),
        ErrorKind::UnknownFunction => "there is no such function".into(),
        ErrorKind::UnknownMethod => "there is no such method; filters are written with `|`".into(),
        ErrorKind::TooManyArguments => "there are too many arguments, or one that is not known".into(),
        ErrorKind::MissingArgument => "an argument is missing".into(),
        _ if detail.starts_with("cannot convert undefined to") => undefined(detail, said),
        kind if SAFE_DETAILS.iter().any(|safe| detail.starts_with(safe)) => format!("{kind}: {}", excerpt(detail, &[])),
        kind => kind.to_string(),
    }
}

/// How the engine's details begin that name kinds of values only.
const SAFE_DETAILS: [&str; 7] = [
    "tried to use ",
    "cannot convert ",
    "value of type ",
    "cannot calculate length of value of type ",
    "cannot join value of type ",
    "recursion limit exceeded",
    "template exceeds maximum recursion limits",
];

/// Says which expression is undefined, and which names there are instead.
fn undefined(detail: &str, said: &str) -> String {
    // The engine writes the expression as the template has it, at the beginning or, in parentheses, at the end.
    let named = detail.split_once('`').and_then(|(_, rest)| rest.split_once("` is undefined")).map(|(named, _)| named);
    let expression = named.map(|named| excerpt(named, &[]));
    let mut what = match &expression {
        Some(expression) => format!("`{expression}` is undefined"),
        None => "a value in it is undefined".to_owned(),
    };
    if let Some(miss) = last_miss().filter(|miss| expression.as_deref().unwrap_or(said).contains(&*miss.key)) {
        let names: Vec<String> = miss.names.iter().map(|name| excerpt(name, &[])).collect();
        match (names.is_empty(), miss.kind) {
            (true, kind) => what.push_str(&format!("; there is nothing in {kind}")),
            (false, "") => what.push_str(&format!("; there are: {}", names.join(", "))),
            (false, kind) => what.push_str(&format!("; the names in {kind} are: {}", names.join(", "))),
        }
    }
    what
}
