//! What a template prints: text only, and not more than is allowed.

use std::borrow::Cow;
use std::io;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, escape_formatter};
use zeroize::Zeroizing;

/// A reason of our own that something in a template does not work; it never holds a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) Cow<'static, str>);

pub(super) fn refuse(reason: impl Into<Cow<'static, str>>) -> Error {
    Error::from(ErrorKind::InvalidOperation).with_source(Refusal(reason.into()))
}

/// Prints a value that is text, a number or a flag.
pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => Err(refuse(
            "it is none, for the plane says nothing here; ask with `if` before, or give another text with `default`",
        )),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain | ValueKind::Bytes => Err(refuse(
            "it is not text, but a list or a table; say how it is written, for example with `tojson` or `join`",
        )),
        // As nearly every notation has it, and not as Python does.
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => escape_formatter(out, state, value),
    }
}

/// Takes what is printed, up to a limit. The allocator of the program wipes what is outgrown on the way.
pub(super) struct Limited {
    pub(super) content: Zeroizing<Vec<u8>>,
    limit: usize,
    pub(super) full: bool,
}

impl Limited {
    pub(super) fn new(limit: usize) -> Self {
        Self { content: Zeroizing::default(), limit, full: false }
    }
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.content.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.content.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
