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

/// A value as it stands after the `=`, in its quotes.
///
/// # Errors
/// Why no environment can hold it.
pub(crate) fn quoted(value: &str) -> Result<String, &'static str> {
    if let Some(reason) = unfit("", value) {
        return Err(reason);
    }
    let mut out = Vec::with_capacity(value.len() + 2);
    // Writing to memory does not fail, and only ASCII was put between.
    quote(&mut out, value).map_err(|_| "its value cannot be written")?;
    String::from_utf8(out).map_err(|_| "its value is not text")
}

fn assignment(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    write!(out, "{name}=")?;
    quote(out, value)?;
    out.write_all(b"\n")
}

fn quote(out: &mut dyn Write, value: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    // Each piece begins with what was escaped before it, so nothing is copied on the way.
    let mut rest = value;
    while let Some(at) = rest.find(['"', '\\', '`', '$']) {
        out.write_all(&rest.as_bytes()[..at])?;
        out.write_all(b"\\")?;
        out.write_all(&rest.as_bytes()[at..=at])?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn rendered(value: &str) -> String {
        let mut environment = Environment::default();
        environment.set("BEFORE", Value::Plain("x".into()));
        environment.set("VALUE", Value::Plain(value.into()));
        environment.set("AFTER", Value::Plain("y".into()));
        String::from_utf8(environment.render().to_vec()).unwrap()
    }

    /// Reads assignments as systemd does (`src/basic/env-file.c`), as far as quoted values go; anything else panics.
    fn as_systemd_reads(text: &str) -> Vec<(String, String)> {
        let mut chars = text.chars();
        let mut found = Vec::new();
        while !chars.as_str().is_empty() {
            let name: String = chars.by_ref().take_while(|c| *c != '=').collect();
            assert_eq!(chars.next(), Some('"'));
            let mut value = String::new();
            loop {
                match chars.next().expect("the quotes are closed") {
                    '"' => break,
                    '\\' => match chars.next().unwrap() {
                        c @ ('"' | '\\' | '`' | '$') => value.push(c),
                        '\n' => {}
                        other => value.extend(['\\', other]),
                    },
                    other => value.push(other),
                }
            }
            assert_eq!(chars.next(), Some('\n'));
            found.push((name, value));
        }
        found
    }

    #[test]
    fn a_shell_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        for value in [
            "",
            " two  spaces ",
            "a'b\"c",
            "$HOME ${x} $(id) `id` $",
            "\\ \\n \\\\ \\\"",
            "one\ntwo\n\nthree\n",
            "\ttab\r\nend\\",
            "# no comment; not = a name",
            "ünïcödé 🦀 \u{1b}[0m\u{7f}",
            "!history *?[a]",
        ] {
            std::fs::write(&path, rendered(value)).unwrap();
            let script = r#". "$1"; printf '%s|%s|%s' "$BEFORE" "$VALUE" "$AFTER""#;
            let output = Command::new("sh").args(["-c", script, "sh"]).arg(&path).env_clear().output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("x|{value}|y"));
        }
    }

    #[test]
    fn what_no_environment_can_hold_is_left_out_and_said() {
        for value in ["a\0b", "a\u{fdd0}", "a\u{ffff}", "\u{10fffe}", &"x".repeat(MAX_ASSIGNMENT)] {
            let text = rendered(value);
            assert!(!text.contains("VALUE="), "{text}");
            assert!(text.contains("\n# VALUE is left out: its value "), "{text}");
        }
        assert!(rendered(&"x".repeat(MAX_ASSIGNMENT - "VALUE=".len())).contains("VALUE="));
    }

    proptest! {
        #[test]
        fn systemd_reads_what_was_written(value in prop_oneof![any::<String>(), "[\"\\\\`$\n'x]{0,12}"]) {
            prop_assume!(unfit("VALUE", &value).is_none());
            let expected = [("BEFORE", "x"), ("VALUE", &value), ("AFTER", "y")];
            let expected: Vec<_> = expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            prop_assert_eq!(as_systemd_reads(&rendered(&value)), expected);
        }
    }
}
