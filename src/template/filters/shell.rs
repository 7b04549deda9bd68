//! `shell_quote`: one word for a POSIX shell.

use minijinja::{Error, Value};

use super::super::output::refuse;
use super::text;

/// A word that a shell reads as exactly this text.
pub(super) fn quote(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let quoted = shlex::try_quote(&text).map_err(|_| refuse("it holds a NUL, which no shell can hold in a word"))?;
    Ok(quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::super::call;

    fn as_a_shell_reads(word: &str) -> String {
        let output = Command::new("sh").args(["-c", &format!("printf %s {word}")]).env_clear().output().unwrap();
        assert!(output.status.success(), "{word}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_shell_reads_what_was_quoted_and_runs_nothing_of_it() {
        for text in
            ["", "a b", "$(id)`id`", "it's \"q\"", "\\", "a\nb\n", "!x", "*?[a]~", "-n", "ünï🦀", "{a,b}", "^|&;<>"]
        {
            assert_eq!(as_a_shell_reads(&call("shell_quote", text).unwrap()), text);
        }
        assert!(call("shell_quote", "a\0b").unwrap_err().contains("NUL"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_it_is_a_shell_reads_the_same(text in prop_oneof!["[^\0]{0,20}", "[$`'\"\\\\ \n!x]{0,12}"]) {
            prop_assert_eq!(as_a_shell_reads(&call("shell_quote", &*text).unwrap()), text);
        }
    }
}
