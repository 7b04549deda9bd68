//! `systemd_escape`: any text as a part of a unit's name, as `systemd-escape(1)` makes it.

use std::fmt::Write as _;

use minijinja::value::Kwargs;
use minijinja::{Error, Value};

use super::super::output::refuse;
use super::text;

/// The part of a unit's name; of a path with `path=true`, as in the names of mount units.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands named arguments over by value")]
pub(super) fn escape(value: &Value, options: Kwargs) -> Result<String, Error> {
    let path: Option<bool> = options.get("path")?;
    options.assert_all_used()?;
    let text = text(value)?;
    if text.contains('\0') {
        return Err(refuse("it holds a NUL, which no name of a unit can hold"));
    }
    if path != Some(true) {
        return if text.is_empty() { Err(refuse("it is empty, and a unit's name is not")) } else { Ok(escaped(&text)) };
    }
    let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if names.contains(&"..") {
        return Err(refuse("it holds \"..\", which no name of a unit is made of"));
    }
    match (names.is_empty(), text.starts_with('/')) {
        (true, true) => Ok("-".to_owned()),
        (true, false) => Err(refuse("it is not a path")),
        (false, _) => Ok(escaped(&names.join("/"))),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if at == 0 => out.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => out.push(byte.into()),
            // Writing to a String does not fail.
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::call;

    fn systemd(arguments: &[&str]) -> String {
        let output = Command::new("systemd-escape").args(arguments).output().expect("systemd-escape is there");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    #[test]
    fn names_are_those_that_systemd_makes() {
        for text in ["orders", "a b", ".hidden", "a/b-c", "Größe", "x\\y", "a:b_c.d", "50%@x", "/", "//a"] {
            assert_eq!(call("systemd_escape", text).unwrap(), systemd(&["--", text]), "{text}");
        }
        for path in ["/", "/a/b", "//a///b/", "/.a/b-c", "a/b", "/a/./b", "/var/lib/x y"] {
            assert_eq!(call("systemd_escape(path=true)", path).unwrap(), systemd(&["--path", "--", path]), "{path}");
        }
    }

    #[test]
    fn what_makes_no_name_is_refused() {
        assert!(call("systemd_escape", "").unwrap_err().contains("empty"));
        assert!(call("systemd_escape(path=true)", "/a/../b").unwrap_err().contains("\"..\""));
        assert!(call("systemd_escape(path=true)", "").unwrap_err().contains("not a path"));
        assert!(call("systemd_escape(paths=true)", "a").is_err());
    }
}
