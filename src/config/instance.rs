//! Several runtimes on one host: the name of an instance, and what is called after it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::system::{Unfit, checked_text};

checked_text! {
    /// The name of one of several runtimes on a host: 1 to 64 letters, digits, `-` and `_`, the first no `-`.
    InstanceName, name
}

fn name(text: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=64).contains(&text.len()) && !text.starts_with('-') && text.chars().all(plain) {
        Ok(())
    } else {
        Err("the name of an instance: 1 to 64 letters, digits, \"-\" and \"_\", the first of them no \"-\"")
    }
}

/// What a thing is called that every instance has for itself: `runtime-agent`, or `runtime-agent@NAME`.
pub(super) fn called(thing: &str, instance: Option<&InstanceName>) -> String {
    instance.map_or_else(|| thing.to_owned(), |instance| format!("{thing}@{instance}"))
}

/// The folder below `parent` that the agent has for itself.
pub(super) fn home(parent: &str, instance: Option<&InstanceName>) -> PathBuf {
    Path::new(parent).join(called("runtime-agent", instance))
}

/// The same for the applier.
pub(super) fn applier_home(parent: &str, instance: Option<&InstanceName>) -> PathBuf {
    Path::new(parent).join(called("runtime-agent-apply", instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_a_name_that_no_path_and_no_unit_takes_for_something_else() {
        for (text, good) in [
            ("blue", true),
            ("a", true),
            ("Team_2-eu", true),
            (&*"x".repeat(64), true),
            ("", false),
            ("-x", false),
            ("a.b", false),
            ("a/b", false),
            ("..", false),
            ("a@b", false),
            ("a b", false),
            ("a\\x2db", false),
            ("ä", false),
            (&*"x".repeat(65), false),
        ] {
            assert_eq!(text.parse::<InstanceName>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn what_an_instance_has_lies_beside_what_the_plain_agent_has() {
        let blue = "blue".parse().unwrap();
        assert_eq!(home("/etc", None), Path::new("/etc/runtime-agent"));
        assert_eq!(home("/etc", Some(&blue)), Path::new("/etc/runtime-agent@blue"));
        assert_eq!(applier_home("/var/lib", Some(&blue)), Path::new("/var/lib/runtime-agent-apply@blue"));
    }
}
