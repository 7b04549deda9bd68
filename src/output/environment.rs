//! Files of variables that systemd's `EnvironmentFile=` and a POSIX shell's `.` read alike.

use std::io::{self, Write};

use super::credentials::Value;
use super::folder::{Content, measured};

/// The longest `NAME=value` that the kernel hands to a program, without the byte that ends it (`MAX_ARG_STRLEN`).
const MAX_ASSIGNMENT: usize = 128 * 1024 - 1;

/// Variables in the order in which they were set.
///
/// Every value stands in double quotes, with `\` before each `"`, `\`, `` ` `` and `$`; everything else, newlines too,
/// stands for itself. A value that no environment can hold is left out, and a comment says so: one with a NUL, one
/// with a Unicode noncharacter (for which systemd refuses the whole file), and one longer than the kernel allows.
#[derive(Default)]
pub(super) struct Environment<'a> {
    variables: Vec<(String, Value<'a>)>,
}

impl<'a> Environment<'a> {
    /// Adds a variable. `name` is made of `[A-Z0-9_]` and does not begin with a digit.
    pub(super) fn set(&mut self, name: &str, value: Value<'a>) {
        self.variables.push((name.to_owned(), value));
    }

    /// The file.
    pub(super) fn render(&self) -> Content {
        measured(|out| {
            for (name, value) in &self.variables {
                let value = value.expose();
                match unfit(name, value) {
                    None => assignment(out, name, value)?,
                    Some(reason) => writeln!(out, "# {name} is left out: {reason}")?,
                }
            }
            Ok(())
        })
    }
}

/// A part of a variable's name, from a slug or a word.
pub(super) fn key(slug: &str) -> String {
    slug.to_ascii_uppercase().replace('-', "_")
}

fn unfit(name: &str, value: &str) -> Option<&'static str> {
    let noncharacter = |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    if value.contains('\0') {
        Some("its value holds a NUL")
    } else if value.contains(noncharacter) {
        Some("its value holds a Unicode noncharacter")
    } else if name.len() + 1 + value.len() > MAX_ASSIGNMENT {
        Some("its value is too long for an environment")
    } else {
        None
    }
}

fn assignment(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    write!(out, "{name}=\"")?;
    // Each piece begins with what was escaped before it, so nothing is copied on the way.
    let mut rest = value;
    while let Some(at) = rest.find(['"', '\\', '`', '$']) {
        out.write_all(&rest.as_bytes()[..at])?;
        out.write_all(b"\\")?;
        out.write_all(&rest.as_bytes()[at..=at])?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\"\n")
}
