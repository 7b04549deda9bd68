//! Room on the disks that are written to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::Finding;
use crate::config::{Paths, Place, TemplateRule};
use crate::template::DestinationPattern;

const CHECK: &str = "space";

const MIB: u64 = 1024 * 1024;

/// With less room than this, files are about to fail: 16 MiB, and 100 inodes.
const TOO_LITTLE: Room = Room { bytes: 16 * MIB, inodes: Some(100) };

/// With less room than this, it is time to look: 128 MiB, and 2000 inodes.
const LITTLE: Room = Room { bytes: 128 * MIB, inodes: Some(2000) };

/// What is free for an ordinary user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    bytes: u64,
    /// Nothing, where the file system does not count them.
    inodes: Option<u64>,
}

impl Room {
    fn is_below(self, limit: Self) -> bool {
        self.bytes < limit.bytes || self.inodes.zip(limit.inodes).is_some_and(|(inodes, limit)| inodes < limit)
    }
}

/// Looks at the state directory, and at the directories that templates write to. Blocks.
pub(super) fn look(paths: &Paths, rules: &[TemplateRule]) -> Vec<Finding> {
    let mut places = BTreeSet::from([paths.state.clone()]);
    for pattern in rules.iter().filter_map(|rule| DestinationPattern::compile(rule).ok()) {
        if let Place::Installed(fixed) = pattern.destination().place() {
            places.insert(PathBuf::from(fixed));
        }
    }
    places.iter().map(|place| look_at(place)).collect()
}

fn look_at(place: &Path) -> Finding {
    // What is not there yet is made on the disk of what is.
    let Some(there) = place.ancestors().find(|folder| folder.exists()) else {
        return Finding::skipped(CHECK, format!("{} cannot be reached", place.display()));
    };
    match statvfs(there) {
        Ok(found) if found.flags().contains(FsFlags::ST_RDONLY) => Finding::failure(
            CHECK,
            format!("the file system of {} is mounted read-only", place.display()),
            "see in `dmesg` why, and mount it for writing",
        ),
        Ok(found) => {
            let inodes = (found.files() > 0).then(|| found.files_available());
            let bytes = found.blocks_available().saturating_mul(found.fragment_size());
            judge(place, Room { bytes, inodes })
        }
        Err(error) => Finding::skipped(CHECK, format!("{} cannot be looked at: {error}", place.display())),
    }
}

fn judge(place: &Path, room: Room) -> Finding {
    let what = format!(
        "{} MiB{} are free for {}",
        room.bytes / MIB,
        room.inodes.map(|inodes| format!(" and {inodes} inodes")).unwrap_or_default(),
        place.display()
    );
    let remedy = "make room, or fewer generations (output.keep_generations)";
    if room.is_below(TOO_LITTLE) {
        Finding::failure(CHECK, format!("only {what}"), remedy)
    } else if room.is_below(LITTLE) {
        Finding::warning(CHECK, format!("only {what}"), remedy)
    } else {
        Finding::ok(CHECK, what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_bytes_and_by_inodes() {
        let verdict = |bytes, inodes| judge(Path::new("/x"), Room { bytes, inodes }).verdict;
        assert_eq!(verdict(MIB, None), Verdict::Failure);
        assert_eq!(verdict(1 << 40, Some(0)), Verdict::Failure);
        assert_eq!(verdict(100 * MIB, None), Verdict::Warning);
        assert_eq!(verdict(1 << 40, Some(1000)), Verdict::Warning);
        assert_eq!(verdict(1 << 40, None), Verdict::Ok, "a file system without a number of inodes has enough");
    }
}
