//! Hides credentials in what commands and hooks write, before it goes to the journal, the report or a record.
//!
//! The credentials are those of every generation that is kept, in the forms that `comparison` knows: a command that checks
//! files may well quote the old ones. They are read only once something was written that could hold one. Where not all of
//! them can be known, nothing of it is shown.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::foreign::{ForeignError, ForeignState};
use crate::comparison::{Mask, Secrets};

/// What stands for a line that cannot be shown.
const WITHHELD: &str = "[not shown: the credentials that it may hold cannot all be known]";

/// How much is read of one file of credentials: 32 KiB. Every notation of a secret is looked for, and an odd one has
/// hundreds.
const LARGEST_FILE: u64 = 32 * 1024;

/// How much is read of all of them: 2 MiB. What looks for them takes many times as much memory.
const LARGEST_SUM: usize = 2 * 1024 * 1024;

/// Knows the credentials below a state directory.
pub(super) struct Redaction {
    agent_state: PathBuf,
    mask: OnceCell<Option<Mask>>,
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redaction([redacted])")
    }
}

impl Redaction {
    /// Hides the credentials below the daemon's state directory.
    pub(super) fn new(agent_state: &Path) -> Self {
        Self { agent_state: agent_state.to_owned(), mask: OnceCell::new() }
    }

    /// A line without its credentials.
    pub(super) fn hide<'t>(&self, line: &'t str) -> Cow<'t, str> {
        if line.trim().is_empty() {
            return Cow::Borrowed(line);
        }
        match self.mask.get_or_init(|| self.learn()) {
            Some(mask) => mask.redact(line),
            None => Cow::Borrowed(WITHHELD),
        }
    }

    fn learn(&self) -> Option<Mask> {
        let mut secrets = Secrets::default();
        let learned = ForeignState::open(&self.agent_state)
            .map_err(|error| error.to_string())
            .and_then(|state| learn_all(&state, &mut secrets))
            .and_then(|()| secrets.into_mask().map_err(|error| error.to_string()));
        learned
            .inspect_err(|why| {
                tracing::warn!("what commands and hooks write is not shown, for credentials could be in it: {why}");
            })
            .ok()
    }
}

/// Learns the credentials of all generations, as far as nothing of them goes meanwhile.
fn learn_all(state: &ForeignState, secrets: &mut Secrets) -> Result<(), String> {
    let mut left = LARGEST_SUM;
    let objects = Path::new("config/objects");
    for object in names(state, objects)? {
        let bundles = objects.join(object).join("bundles");
        for bundle in names(state, &bundles)? {
            let bundle = bundles.join(bundle);
            let of_bindings = bundle.join("bindings");
            let bindings = names(state, &of_bindings)?.into_iter().map(|binding| of_bindings.join(binding));
            for path in std::iter::once(bundle.join("credentials.json")).chain(bindings) {
                let text = match state.read(&path, LARGEST_FILE) {
                    Ok(text) => Zeroizing::new(text),
                    Err(ForeignError::Missing) => continue,
                    Err(error) => return Err(format!("{} {error}", path.display())),
                };
                left = left.checked_sub(text.len()).ok_or_else(|| format!("they are more than {LARGEST_SUM} bytes"))?;
                secrets.learn(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
    }
    Ok(())
}

fn names(state: &ForeignState, folder: &Path) -> Result<Vec<PathBuf>, String> {
    match state.names(folder) {
        Ok(names) => Ok(names.iter().map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect()),
        // There is none yet, or a generation was removed meanwhile.
        Err(ForeignError::Missing) => Ok(Vec::new()),
        Err(error) => Err(format!("{} {error}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::apply::fixture::Host;

    fn credentials(host: &Host, text: &str) {
        let folder = host.settings.agent_state.join("config/objects/aa/bundles/orders");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("credentials.json"), text).unwrap();
    }

    const BASIC: &str = r#"{"version":1,"credentials":{"username":"demo","password":"pa ss/canary"},
        "headers":{"x-key":["canary-header"]},"query_parameters":{},"csrf":null,"target_urls":{}}"#;

    #[test]
    fn a_credential_is_hidden_in_the_forms_that_files_have_it_in() {
        let host = Host::new();
        credentials(&host, BASIC);
        let redaction = Redaction::new(&host.settings.agent_state);
        for line in ["pa ss/canary", "pa%20ss%2Fcanary", "cGEgc3MvY2FuYXJ5", "canary-header"] {
            assert_eq!(redaction.hide(&format!("bad: {line}!")), "bad: [redacted]!", "{line}");
        }
        assert_eq!(redaction.hide("ZGVtbzpwYSBzcy9jYW5hcnk="), "[redacted]", "as HTTP Basic has it");
        assert_eq!(redaction.hide("the user demo"), "the user demo");
    }

    #[test]
    fn those_of_bindings_are_hidden_as_those_of_their_bundle_are() {
        let host = Host::new();
        credentials(&host, BASIC);
        let folder = host.settings.agent_state.join("config/objects/aa/bundles/orders/bindings");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("till.json"), BASIC.replace("canary-header", "canary-till")).unwrap();
        let redaction = Redaction::new(&host.settings.agent_state);
        assert_eq!(redaction.hide("canary-header and canary-till"), "[redacted] and [redacted]");
        fs::write(folder.join("other.json"), "{}").unwrap();
        assert_eq!(Redaction::new(&host.settings.agent_state).hide("canary"), WITHHELD);
    }

    #[test]
    fn where_not_all_credentials_can_be_known_nothing_is_shown() {
        let host = Host::new();
        credentials(&host, "{}");
        assert_eq!(Redaction::new(&host.settings.agent_state).hide("canary"), WITHHELD);
        assert_eq!(Redaction::new(&host.path("nowhere")).hide("canary"), WITHHELD);
    }

    #[test]
    fn where_credentials_are_too_odd_to_be_looked_for_nothing_is_shown() {
        let host = Host::new();
        let odd: String = (0..1_000).map(|i| format!("w'$% {i:05}\u{e4} ")).collect();
        credentials(&host, &BASIC.replace("canary-header", &odd));
        assert_eq!(Redaction::new(&host.settings.agent_state).hide("pa ss/canary"), WITHHELD);
    }

    #[test]
    fn where_nothing_is_published_all_is_shown() {
        let host = Host::new();
        assert_eq!(Redaction::new(&host.settings.agent_state).hide("a line"), "a line");
    }
}
