//! Reads the manifest of a generation, as the daemon left it: as data, through `foreign`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::foreign::{ForeignError, ForeignState};
use super::report::Refusal;
use crate::output::manifest::{GenerationNumber, MANIFEST_VERSION, Manifest};

/// The longest manifest that is read: 64 MiB, some 240,000 applications.
pub(super) const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Why a generation is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum GenerationError {
    /// There is none of this number.
    #[error("generation {0} is not there (any more); the daemon asks again for the one that is current")]
    Missing(GenerationNumber),
    /// The manifest cannot be read, or is not one that the daemon makes.
    #[error("the manifest of generation {0} {1}")]
    Foreign(GenerationNumber, ForeignError),
    /// It is not JSON, or not a manifest. The text is not quoted, for it may be anybody's.
    #[error("the manifest of generation {0} is not one: it goes wrong at line {1}, column {2}")]
    Malformed(GenerationNumber, usize, usize),
    /// It is of another version.
    #[error(
        "the manifest of generation {0} is of version {1} and this applier knows only version {MANIFEST_VERSION}; \
         restart the daemon, so that both come from the same package"
    )]
    Version(GenerationNumber, u32),
    /// It contradicts itself or the request.
    #[error("the manifest of generation {0} {1}")]
    Inconsistent(GenerationNumber, &'static str),
}

impl GenerationError {
    /// The word for the answer.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Missing(_) => Refusal::GenerationMissing,
            Self::Foreign(..) | Self::Malformed(..) | Self::Version(..) | Self::Inconsistent(..) => {
                Refusal::GenerationUnreadable
            }
        }
    }
}

/// Reads and checks the manifest of generation `number` below the daemon's state directory.
pub(super) fn read(agent_state: &Path, number: GenerationNumber) -> Result<Manifest, GenerationError> {
    let foreign = |error| match error {
        ForeignError::Missing => GenerationError::Missing(number),
        other => GenerationError::Foreign(number, other),
    };
    let state = ForeignState::open(agent_state).map_err(|error| foreign(error.into()))?;
    let path = Path::new("config").join(number.folder()).join("manifest.json");
    parse(&state.read(&path, MOST_BYTES).map_err(foreign)?, number)
}

fn parse(text: &[u8], number: GenerationNumber) -> Result<Manifest, GenerationError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed = |error: serde_json::Error| GenerationError::Malformed(number, error.line(), error.column());
    let Versioned { version } = serde_json::from_slice(text).map_err(malformed)?;
    if version != MANIFEST_VERSION {
        return Err(GenerationError::Version(number, version));
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(malformed)?;
    if manifest.generation != number {
        return Err(GenerationError::Inconsistent(number, "says that it is of another one"));
    }
    let folders: BTreeSet<_> = manifest.applications.values().map(|entry| &entry.folder).collect();
    if folders.len() != manifest.applications.len() {
        return Err(GenerationError::Inconsistent(number, "puts two applications into one folder"));
    }
    Ok(manifest)
}

/// Where the generation lies, for hooks to read.
pub(super) fn folder(agent_state: &Path, number: GenerationNumber) -> std::path::PathBuf {
    agent_state.join("config").join(number.folder())
}

/// Whose the state directory is, if it is there.
pub(super) fn owner(agent_state: &Path) -> Option<u32> {
    fs::metadata(agent_state).ok().map(|metadata| metadata.uid())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::apply::fixture::{Host, manifest, number};

    fn refused(host: &Host, generation: u64) -> (Refusal, String) {
        let error = read(&host.settings.agent_state, number(generation)).unwrap_err();
        (error.refusal(), error.to_string())
    }

    #[test]
    fn a_published_generation_is_read() {
        let host = Host::new();
        host.publish(7, &[("x", '1')]);
        assert_eq!(read(&host.settings.agent_state, number(7)).unwrap(), manifest(7, &[("x", '1')]));
    }

    #[test]
    fn a_generation_that_is_not_there_is_missing() {
        let host = Host::new();
        assert_eq!(refused(&host, 7).0, Refusal::GenerationMissing);
        host.generation(7);
        assert_eq!(refused(&host, 7).0, Refusal::GenerationMissing);
    }

    #[test]
    fn a_link_anywhere_on_the_way_is_refused() {
        let host = Host::new();
        host.publish(1, &[]);
        let config = host.settings.agent_state.join("config");
        symlink("0001", config.join("0002")).unwrap();
        symlink("../0001/manifest.json", host.generation(3).join("manifest.json")).unwrap();
        symlink("/etc/passwd", host.generation(4).join("manifest.json")).unwrap();
        symlink("/proc/self/fd/0", host.generation(5).join("manifest.json")).unwrap();
        for generation in 2..=5 {
            let (reason, message) = refused(&host, generation);
            assert_eq!(reason, Refusal::GenerationUnreadable);
            assert!(message.contains("link"), "{message}");
        }
        fs::rename(&config, host.path("elsewhere")).unwrap();
        symlink("../elsewhere", &config).unwrap();
        assert_eq!(refused(&host, 1).0, Refusal::GenerationUnreadable);
    }

    #[test]
    fn what_is_not_a_file_is_refused_without_waiting_for_it() {
        let host = Host::new();
        mkfifo(&host.generation(1).join("manifest.json"), Mode::from_bits_truncate(0o600)).unwrap();
        fs::create_dir(host.generation(2).join("manifest.json")).unwrap();
        // A socket's address is too short for a long TMPDIR; from the folder itself it always fits.
        let listening = UnixListener::bind(host.path("s")).unwrap();
        fs::rename(host.path("s"), host.generation(3).join("manifest.json")).unwrap();
        for generation in 1..=3 {
            let (reason, message) = refused(&host, generation);
            assert_eq!(reason, Refusal::GenerationUnreadable);
            assert!(message.contains("not a regular file"), "{message}");
        }
        drop(listening);
    }

    #[test]
    fn a_huge_manifest_is_refused_unread() {
        let host = Host::new();
        // A hole: to read it all would take longer than anybody waits.
        let huge = File::create(host.generation(1).join("manifest.json")).unwrap();
        huge.set_len(1 << 40).unwrap();
        assert!(refused(&host, 1).1.contains("longer"));
    }

    #[test]
    fn a_manifest_that_is_none_is_refused_and_not_quoted() {
        let host = Host::new();
        let texts = [
            "",
            "garbage",
            "canary:$6$hash:19000:0:99999:7:::",
            r#""canary""#,
            r#"{"version":1}"#,
            r#"{"version":"canary"}"#,
            r#"{"version":9,"canary":1}"#,
            r#"{"version":1,"generation":2,"published_at":"2026-11-22T12:00:00Z","runtime":"r","applications":{}}"#,
            r#"{"version":1,"generation":1,"published_at":"canary","runtime":"r","applications":{}}"#,
            r#"{"version":1,"generation":1,"published_at":"2026-11-22T12:00:00Z","runtime":"a\nb","applications":{}}"#,
        ];
        let path = host.generation(1).join("manifest.json");
        for text in texts {
            fs::write(&path, text).unwrap();
            let (reason, message) = refused(&host, 1);
            assert_eq!(reason, Refusal::GenerationUnreadable, "{text}");
            assert!(!message.contains("canary"), "{message}");
        }
        fs::write(&path, "[".repeat(1_000_000)).unwrap();
        assert_eq!(refused(&host, 1).0, Refusal::GenerationUnreadable, "nested without end");
    }

    #[test]
    fn an_application_cannot_leave_its_folder_or_share_another_s() {
        let host = Host::new();
        let path = host.generation(1).join("manifest.json");
        let with = |x: &str, y: &str| {
            let text = serde_json::to_string(&manifest(1, &[("x", '1'), ("y", '1')])).unwrap();
            let text = text.replace(r#""folder":"x""#, &format!(r#""folder":"{x}""#));
            fs::write(&path, text.replace(r#""folder":"y""#, &format!(r#""folder":"{y}""#))).unwrap();
            read(&host.settings.agent_state, number(1)).map(drop)
        };
        with("x", "y").unwrap();
        for folder in ["..", "../x", "/etc", "a/b", ""] {
            assert!(matches!(with(folder, "y"), Err(GenerationError::Malformed(..))), "{folder}");
        }
        assert!(matches!(with("x", "x"), Err(GenerationError::Inconsistent(..))));
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        let host = Host::new();
        host.publish(1, &[]);
        // Only root can give a file away, so only as root can it be seen here.
        let path = host.generation(1).join("manifest.json");
        if std::os::unix::fs::chown(&path, Some(1), None).is_ok() {
            assert!(matches!(
                read(&host.settings.agent_state, number(1)),
                Err(GenerationError::Foreign(_, ForeignError::Owner(1)))
            ));
        }
    }
}
