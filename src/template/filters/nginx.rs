//! `nginx_quote`: one argument of a directive of nginx.

use minijinja::{Error, Value};

use super::super::output::refuse;
use super::text;

/// The text in double quotes. Nginx has no way to write a `$` that is not the beginning of a variable, and a control
/// character in an address or a header would begin another one.
pub(super) fn quote(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    if text.contains('$') {
        return Err(refuse("it holds a \"$\", which nginx always takes for a variable"));
    }
    if text.contains(char::is_control) {
        return Err(refuse("it holds a control character, which has no place in a directive of nginx"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::call;

    /// Reads a quoted argument as nginx does (`ngx_conf_read_token`).
    fn as_nginx_reads(quoted: &str) -> String {
        let inside = quoted.strip_prefix('"').unwrap();
        let mut read = String::new();
        let mut chars = inside.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    assert_eq!(chars.as_str(), "", "nothing follows the closing quote");
                    return read;
                }
                '\\' => match chars.next().unwrap() {
                    c @ ('"' | '\'' | '\\') => read.push(c),
                    't' => read.push('\t'),
                    'r' => read.push('\r'),
                    'n' => read.push('\n'),
                    other => read.extend(['\\', other]),
                },
                other => read.push(other),
            }
        }
        panic!("the quotes are not closed: {quoted}");
    }

    #[test]
    fn what_nginx_would_read_otherwise_is_refused() {
        for (text, reason) in [("a$b", "variable"), ("a\nb", "control"), ("a\r", "control"), ("\0", "control")] {
            assert!(call("nginx_quote", text).unwrap_err().contains(reason));
        }
    }

    proptest! {
        #[test]
        fn nginx_reads_what_was_quoted(text in prop_oneof!["[^$\\pC]{0,20}", "[\"\\\\'nrt;{} #]{0,12}"]) {
            prop_assert_eq!(as_nginx_reads(&call("nginx_quote", &*text).unwrap()), text);
        }
    }
}
