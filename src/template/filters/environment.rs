//! `env_quote`: a value for systemd's `EnvironmentFile=`, which a POSIX shell reads alike.

use minijinja::{Error, Value};

use super::super::output::refuse;
use super::text;

/// What stands after the `=`.
pub(super) fn quote(value: &Value) -> Result<String, Error> {
    crate::output::quoted(&text(value)?).map_err(|reason| refuse(format!("no environment can hold it: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::super::call;

    // What is read back from the quotes is tested where they are made.
    #[test]
    fn a_value_stands_in_its_quotes_and_one_that_no_environment_holds_is_refused() {
        assert_eq!(call("env_quote", "a\"b\\c$d`e\nf").unwrap(), "\"a\\\"b\\\\c\\$d\\`e\nf\"");
        assert_eq!(call("env_quote", 7).unwrap(), "\"7\"");
        for (text, reason) in
            [("a\0".to_owned(), "NUL"), ("\u{ffff}".into(), "noncharacter"), ("x".repeat(1 << 17), "long")]
        {
            assert!(call("env_quote", text).unwrap_err().contains(reason));
        }
    }
}
