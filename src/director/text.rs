//! The text of a specification or document: from an answer that lies in a file to a file of its own, piece by piece.
//!
//! A text can be as large as an answer may be, so neither is ever in memory whole.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write};

use serde::Serialize;
use struson::reader::{JsonReader, JsonStreamReader, ReaderError, ValueType};

use super::{Dialect, Director};
use crate::ids::{ApplicationId, BundleId, DefinitionId};
use crate::snapshot::{TextKind, TextPlace};
use crate::transport::{CallError, Fault, Spooled};

/// An answer that holds a text, in a file without a name.
#[derive(Debug)]
pub struct TextAnswer {
    spooled: Spooled,
    kind: TextKind,
}

/// What an answer said of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is one, and it was written.
    Text,
    /// There is none.
    NoText,
    /// What it belongs to is not there any more.
    Gone,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The answer is not usable.
    #[error(transparent)]
    Answer(#[from] CallError),
    /// The text cannot be written, or the answer not be read again from its file.
    #[error("the file system does not take it: {0}")]
    Disk(io::Error),
}

#[derive(Serialize)]
struct TextVariables<'a> {
    application: &'a ApplicationId,
    bundle: &'a BundleId,
    id: &'a DefinitionId,
}

impl Director {
    /// Asks for the text that belongs to `place`. The answer goes to `spool`, an empty file.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn text(&self, dialect: Dialect, place: &TextPlace, spool: File) -> Result<TextAnswer, CallError> {
        let queries = dialect.queries();
        let operation = match place.kind {
            TextKind::Api => queries.api_text,
            TextKind::Event => queries.event_text,
            TextKind::Document => queries.document_text,
        };
        let variables = TextVariables { application: &place.application, bundle: &place.bundle, id: &place.id };
        let spooled = self.graphql.spool(operation, variables, spool).await?;
        Ok(TextAnswer { spooled, kind: place.kind })
    }
}

impl TextAnswer {
    /// Writes the text to `out`. Blocks.
    ///
    /// # Errors
    /// When the answer holds errors or is not what it should be, or a file cannot be read or written. What was written
    /// until then is not to be used.
    pub fn write_to(self, out: &mut impl Write) -> Result<Found, Unreadable> {
        let path = path_to(self.kind);
        let mut file = &self.spooled.file;
        file.rewind().map_err(Unreadable::Disk)?;
        match extract(BufReader::new(file), path, out) {
            Ok(Extracted { found: Some(found), errors: Errors::None }) => Ok(found),
            // What was read says less than the errors that came with it.
            Ok(Extracted { errors: Errors::Some, .. }) => Err(self.spooled.why_refused()?.into()),
            Ok(Extracted { found: None, .. }) => {
                Err(self.spooled.failed(Fault::NotGraphql("it has neither data nor errors".into())).into())
            }
            Err(Trouble::Disk(error)) => Err(Unreadable::Disk(error)),
            Err(Trouble::Answer(fault)) => Err(self.spooled.failed(fault).into()),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// How long the text in an answer is; see [`probe`](super::probe).
pub(super) fn probe(kind: TextKind, answer: &[u8]) -> Result<usize, String> {
    let mut out = Vec::new();
    match extract(answer, path_to(kind), &mut out) {
        Ok(Extracted { errors: Errors::None, .. }) => Ok(out.len()),
        Ok(Extracted { errors: Errors::Some, .. }) => Err("it holds errors".into()),
        Err(Trouble::Answer(fault)) => Err(fault.to_string()),
        Err(Trouble::Disk(error)) => Err(error.to_string()),
    }
}

/// The names that lead to the text in an answer's `data`. What is null on the way is gone, but for the last two: those
/// are the specification or document, and its text.
fn path_to(kind: TextKind) -> &'static [&'static str] {
    match kind {
        TextKind::Api | TextKind::Event => &["application", "bundle", "item", "owner", "data"],
        TextKind::Document => &["application", "bundle", "owner", "data"],
    }
}

/// What an answer holds.
#[derive(Debug, PartialEq, Eq)]
struct Extracted {
    found: Option<Found>,
    errors: Errors,
}

#[derive(Debug, PartialEq, Eq)]
enum Errors {
    None,
    Some,
}

enum Trouble {
    Answer(Fault),
    Disk(io::Error),
}

fn extract(answer: impl Read, path: &[&'static str], out: &mut impl Write) -> Result<Extracted, Trouble> {
    let mut reader = JsonStreamReader::new(answer);
    let mut extracted = Extracted { found: None, errors: Errors::None };
    let mut walk = || -> Result<(), Stop> {
        reader.begin_object()?;
        while reader.has_next()? {
            let name = reader.next_name_owned()?;
            if reader.peek()? == ValueType::Null {
                reader.skip_value()?;
            } else if name == "errors" {
                if holds_something(&mut reader)? {
                    extracted.errors = Errors::Some;
                }
            } else if name == "data" && extracted.found.is_none() {
                extracted.found = Some(descend(&mut reader, path, out)?);
            } else {
                reader.skip_value()?;
            }
        }
        reader.end_object()?;
        Ok(())
    };
    match walk() {
        Ok(()) => {}
        Err(Stop::Reader(error)) => return Err(trouble(error)),
        Err(Stop::Disk(error)) => return Err(Trouble::Disk(error)),
        Err(Stop::NotJson) => return Err(not_json()),
        Err(Stop::Missing(name)) => {
            return Err(Trouble::Answer(Fault::Shape(format!("{name} is not there, although it was asked for"))));
        }
    }
    reader.consume_trailing_whitespace().map_err(trouble)?;
    Ok(extracted)
}

/// Why a walk through an answer ended early.
enum Stop {
    Reader(ReaderError),
    /// A name that was asked for did not come.
    Missing(&'static str),
    NotJson,
    Disk(io::Error),
}

impl From<ReaderError> for Stop {
    fn from(error: ReaderError) -> Self {
        Self::Reader(error)
    }
}

/// Whether a list has anything in it; it is skipped.
fn holds_something(reader: &mut impl JsonReader) -> Result<bool, ReaderError> {
    reader.begin_array()?;
    let holds = reader.has_next()?;
    while reader.has_next()? {
        reader.skip_value()?;
    }
    reader.end_array()?;
    Ok(holds)
}

/// Goes down an object to the text at the end of `path`.
fn descend(reader: &mut impl JsonReader, path: &[&'static str], out: &mut impl Write) -> Result<Found, Stop> {
    let (name, rest) = match path {
        [] => return text(reader, out),
        [name, rest @ ..] => (*name, rest),
    };
    let mut found = None;
    reader.begin_object()?;
    while reader.has_next()? {
        if reader.next_name()? != name || found.is_some() {
            reader.skip_value()?;
        } else if reader.peek()? == ValueType::Null {
            reader.skip_value()?;
            found = Some(if matches!(name, "owner" | "data") { Found::NoText } else { Found::Gone });
        } else {
            found = Some(descend(reader, rest, out)?);
        }
    }
    reader.end_object()?;
    found.ok_or(Stop::Missing(name))
}

fn text(reader: &mut impl JsonReader, out: &mut impl Write) -> Result<Found, Stop> {
    let mut text = reader.next_string_reader()?;
    let mut buffer = [0; 8192];
    loop {
        match text.read(&mut buffer) {
            Ok(0) => return Ok(Found::Text),
            Ok(count) => out.write_all(&buffer[..count]).map_err(Stop::Disk)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_of_the_system(&error) => return Err(Stop::Disk(error)),
            Err(_) => return Err(Stop::NotJson),
        }
    }
}

/// What went wrong, without a word of the answer: the library's own words quote what they stumble over.
fn trouble(error: ReaderError) -> Trouble {
    match error {
        ReaderError::IoError { error, .. } if is_of_the_system(&error) => Trouble::Disk(error),
        ReaderError::UnexpectedValueType { expected, actual, .. } => {
            Trouble::Answer(Fault::Shape(format!("where {} belongs, there is {}", word(expected), word(actual))))
        }
        _ => not_json(),
    }
}

fn word(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Array => "a list",
        ValueType::Object => "an object",
        ValueType::String => "a text",
        ValueType::Number => "a number",
        ValueType::Boolean => "true or false",
        ValueType::Null => "null",
    }
}

fn not_json() -> Trouble {
    Trouble::Answer(Fault::NotGraphql("it is not JSON".into()))
}

/// Whether the system said it. What is not JSON, the library tells in errors of the same type.
fn is_of_the_system(error: &io::Error) -> bool {
    error.raw_os_error().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(answer: &str) -> Result<(Extracted, String), String> {
        let mut out = Vec::new();
        match extract(answer.as_bytes(), path_to(TextKind::Api), &mut out) {
            Ok(extracted) => Ok((extracted, String::from_utf8(out).unwrap())),
            Err(Trouble::Answer(fault)) => Err(fault.to_string()),
            Err(Trouble::Disk(error)) => Err(error.to_string()),
        }
    }
    fn answer(owner: &str) -> String {
        format!(r#"{{"data":{{"application":{{"bundle":{{"item":{{"owner":{owner}}}}}}}}}}}"#)
    }

    #[test]
    fn a_text_comes_out_as_the_plane_holds_it() {
        let text = "openapi: 3.0.0\n\"quoted\" \\ \u{0} \u{1f600} \u{e9}";
        let (extracted, out) = extracted(&answer(&serde_json::json!({ "data": text }).to_string())).unwrap();
        assert_eq!(extracted, Extracted { found: Some(Found::Text), errors: Errors::None });
        assert_eq!(out, text);
    }

    #[test]
    fn no_text_and_nothing_that_could_have_one_are_told_apart() {
        let found = |answer: &str| extracted(answer).unwrap().0.found;
        assert_eq!(found(&answer("null")), Some(Found::NoText));
        assert_eq!(found(&answer(r#"{"data":null}"#)), Some(Found::NoText));
        assert_eq!(found(r#"{"data":{"application":null}}"#), Some(Found::Gone));
        assert_eq!(found(r#"{"data":{"application":{"bundle":{"item":null}}}}"#), Some(Found::Gone));
        assert_eq!(found(r#"{"data":null,"errors":[]}"#), None);
    }

    #[test]
    fn errors_beside_a_text_are_seen_wherever_they_stand() {
        let data = answer(r#"{"data":"x"}"#);
        let before = data.replacen('{', r#"{"errors":[{"message":"no"}],"#, 1);
        let after = format!("{},\"errors\":[{{\"message\":\"no\"}}]}}", &data[..data.len() - 1]);
        for answer in [before, after] {
            assert_eq!(extracted(&answer).unwrap().0.errors, Errors::Some, "{answer}");
        }
        assert_eq!(extracted(&data.replacen('{', r#"{"errors":null,"#, 1)).unwrap().0.errors, Errors::None);
    }

    #[test]
    fn an_answer_of_another_shape_is_refused_without_quoting_it() {
        for (answer, why) in [
            (answer(r#"{"data":7}"#), "where a text belongs, there is a number"),
            (answer(r#"{"date":"canary"}"#), "is not there"),
            (answer(r#"{"data":"canary"#), "it is not JSON"),
            (r#"{"data":["canary"]}"#.to_owned(), "where an object belongs, there is a list"),
            (format!("{} canary", answer("null")), "it is not JSON"),
            ("canary".to_owned(), "it is not JSON"),
        ] {
            let error = extracted(&answer).unwrap_err();
            assert!(error.contains(why) && !error.contains("canary"), "{answer}: {error}");
        }
    }
}
