//! Owners and modes: nobody else can write what the agent trusts, or read what is secret.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

use super::{Finding, Patient, Rights};
use crate::config::{ApplyMode, Paths};

const CHECK: &str = "permissions";

/// What others than the owner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Nothing; the group may read.
    SecretToGroup,
    /// Nothing at all.
    Secret,
    /// They may not write.
    Readable,
    /// The group may write, others do nothing.
    Shared,
}

impl Rule {
    /// The bits that must not be set.
    fn forbidden(self) -> u32 {
        match self {
            Self::SecretToGroup => 0o037,
            Self::Secret => 0o077,
            Self::Readable => 0o022,
            Self::Shared => 0o007,
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::SecretToGroup => "chmod g-wx,o=",
            Self::Secret => "chmod go=",
            Self::Readable => "chmod go-w",
            Self::Shared => "chmod o=",
        }
    }
}

/// Looks at what belongs to the agent. Blocks.
pub(super) fn look(paths: &Paths, rights: Rights) -> Vec<Finding> {
    let state = &paths.state;
    let owner = match fs::metadata(state) {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::failure(
                CHECK,
                format!("the state directory {} is not there", state.display()),
                "start the agent, or run `systemd-tmpfiles --create`",
            )];
        }
        Err(error) => {
            return vec![Finding::skipped(CHECK, format!("{} cannot be looked at: {error}", state.display()))];
        }
    };
    let identity = state.join("identity");
    let mut wrong = Vec::new();
    let mut unseen = Vec::new();
    let mut check = |path: PathBuf, rule: Rule| match fs::metadata(&path) {
        Ok(metadata) => wrong.extend(judge(&path, rule, &metadata, owner)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => unseen.push(path),
    };
    check(state.clone(), Rule::Readable);
    for name in ["pairing.json", "snapshot.json", "plane.json", "digest.key"] {
        check(state.join(name), Rule::Secret);
    }
    check(identity.clone(), Rule::Shared);
    for entry in fs::read_dir(&identity).into_iter().flatten().flatten() {
        // The link leads to one of the others.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            check(entry.path().join("key.pem"), Rule::SecretToGroup);
        }
    }
    check(paths.config(), Rule::Readable);
    // Whoever may write there could answer in the agent's place; the socket itself is for everybody to knock at.
    check(paths.runtime.clone(), Rule::Readable);
    wrong.extend(pairing(paths, rights));
    if !unseen.is_empty() {
        let first = unseen[0].display();
        wrong.push(Finding::skipped(CHECK, format!("{first} and what is like it can be seen only by root")));
    }
    if wrong.is_empty() {
        wrong.push(Finding::ok(CHECK, "owners and modes are as they should be"));
    }
    wrong
}

fn judge(path: &Path, rule: Rule, metadata: &Metadata, owner: u32) -> Option<Finding> {
    let shown = path.display();
    if metadata.uid() != owner {
        let what = format!("{shown} belongs to the user {}, and not to the agent's user {owner}", metadata.uid());
        return Some(Finding::failure(CHECK, what, format!("`chown {owner} {shown}`")));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & rule.forbidden() == 0 {
        return None;
    }
    let what = format!("{shown} has the mode {mode:04o}: others can read or write what is not theirs");
    Some(Finding::failure(CHECK, what, format!("`{} {shown}`", rule.command())))
}

/// The folder for tokens: a used token is removed from it.
fn pairing(paths: &Paths, rights: Rights) -> Option<Finding> {
    let folder = &paths.pairing;
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Some(Finding::failure(
                CHECK,
                format!("the folder for tokens {shown} cannot be looked at: {error}"),
                "make it (`systemd-tmpfiles --create`)",
            ));
        }
    };
    if metadata.mode() & 0o002 != 0 {
        let what = format!("everybody can put a token into {shown}");
        return Some(Finding::failure(CHECK, what, format!("`chmod o-w {shown}`")));
    }
    let usable = access(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK);
    if rights == Rights::Owner && usable.is_err() {
        let what = format!("the agent's user may not read and write {shown}, and a used token is removed from there");
        return Some(Finding::failure(CHECK, what, format!("`chgrp runtime-agent {shown} && chmod 2770 {shown}`")));
    }
    None
}

/// Looks at what the applier remembers. Blocks.
pub(super) fn of_the_applier(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "applier";
    let Ok(settings) = &patient.settings else {
        return Finding::skipped(CHECK, "the configuration cannot be used");
    };
    let state = &settings.apply.state;
    let shown = state.display();
    match (settings.apply.mode, fs::metadata(state)) {
        (ApplyMode::Off, _) => Finding::skipped(CHECK, "apply.mode is \"off\""),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("{shown} is not there yet: nothing was applied"))
        }
        (_, Err(_)) => Finding::skipped(CHECK, "needs root"),
        (ApplyMode::Socket, Ok(metadata)) if metadata.uid() != 0 => Finding::failure(
            CHECK,
            format!("{shown} belongs to the user {}, and the applier trusts root alone", metadata.uid()),
            format!("`chown -R root:root {shown}`"),
        ),
        (ApplyMode::Inline, Ok(metadata)) if !matches!(metadata.uid(), 0) && metadata.uid() != geteuid().as_raw() => {
            Finding::skipped(CHECK, "needs the agent's user")
        }
        (_, Ok(metadata)) if metadata.mode() & 0o022 != 0 => {
            Finding::failure(CHECK, format!("others can write {shown}"), format!("`chmod go-w {shown}`"))
        }
        (ApplyMode::Socket | ApplyMode::Inline, Ok(_)) => Finding::ok(CHECK, format!("{shown} is its own")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_told_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        fs::write(&key, "").unwrap();
        let found = |mode, rule, owner_offset| {
            fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            let metadata = fs::metadata(&key).unwrap();
            judge(&key, rule, &metadata, metadata.uid() + owner_offset)
        };
        assert_eq!(found(0o640, Rule::SecretToGroup, 0), None);
        let remedy = found(0o644, Rule::SecretToGroup, 0).unwrap().remedy.unwrap();
        assert!(remedy.contains("chmod g-wx,o="), "{remedy}");
        assert!(found(0o640, Rule::Secret, 0).is_some());
        assert!(found(0o600, Rule::Secret, 1).unwrap().remedy.unwrap().contains("chown"));
        assert!(found(0o664, Rule::Readable, 0).is_some());
    }
}
