//! `runtime-agent unpair`: gives the identity up, by the agent where it runs, else by itself.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use super::{complain, exit, on_runtime, order, say};
use crate::agent::{Files, Shelf, give_up};
use crate::clock::{Clock as _, Wall};
use crate::config::Settings;
use crate::control::{Client, ControlError};
use crate::disk::StateLock;
use crate::identity::IdentityStore;
use crate::kept::{PlaneFile, SnapshotFile};
use crate::output::{DigestKey, Store};
use crate::pairing::{PairingFiles, TokenOutcome, Verdict};

pub(super) fn execute(settings: &Settings, files: Files) -> ExitCode {
    let runs = on_runtime(async { Client::new(&settings.paths.control())?.status(None).await });
    match runs {
        Ok(Err(ControlError::NotRunning(_))) => {}
        Ok(_) => return order(&settings.paths, async |client| client.unpair(files).await),
        Err(code) => return code,
    }
    match become_the_owner(&settings.paths.state).and_then(|()| alone(settings, files)) {
        Ok(sentence) => {
            say(&sentence);
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(&format_args!("this host is not unpaired: {why}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

/// What root makes, the agent's user could not change later; and the network is no place for root.
pub(super) fn become_the_owner(state: &Path) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let metadata = std::fs::metadata(state).map_err(|error| format!("cannot look at {}: {error}", state.display()))?;
    let (user, group) = (metadata.uid().into(), metadata.gid().into());
    nix::unistd::setgroups(&[group])
        .and_then(|()| nix::unistd::setgid(group))
        .and_then(|()| nix::unistd::setuid(user))
        .map_err(|error| format!("cannot act as the owner of {}: {error}", state.display()))
}

/// Does what the agent would do.
fn alone(settings: &Settings, files: Files) -> Result<String, String> {
    // After the change of user, which would undo a part of it.
    crate::agent::harden();
    let state = &settings.paths.state;
    let _lock = StateLock::take(state).map_err(|error| error.to_string())?;
    let store = IdentityStore::open(state).map_err(|error| error.to_string())?;
    let pairing = PairingFiles::new(state);
    let identity = store.current();
    let revoked = match &identity {
        Ok(Some(identity)) => on_runtime(give_up::revoke(settings, identity))
            .unwrap_or_else(|_| Err("the plane cannot be asked".to_owned())),
        Ok(None) => Err("there is no certificate here to revoke".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    if files == Files::Empty {
        empty(settings, identity.ok().flatten().and_then(|identity| identity.record.runtime))?;
    }
    let outcome = TokenOutcome {
        fingerprint: pairing.outcome().and_then(|outcome| outcome.fingerprint),
        at: Wall.now(),
        verdict: Verdict::Unpaired,
        detail: "this host was unpaired".to_owned(),
    };
    pairing.conclude(&outcome).map_err(|error| error.to_string())?;
    store.clear().map_err(|error| error.to_string())?;
    pairing.forget().map_err(|error| error.to_string())?;
    Ok(give_up::sentence(&revoked, files))
}

fn empty(settings: &Settings, runtime: Option<crate::ids::RuntimeId>) -> Result<(), String> {
    let state = &settings.paths.state;
    let key = DigestKey::load_or_create(&state.join("digest.key")).map_err(|error| error.to_string())?;
    let keep = settings.output.keep_generations.into();
    let store = Store::open(&settings.paths.config(), key, keep).map_err(|error| error.to_string())?;
    Shelf { store, kept: SnapshotFile::new(state) }.empty(runtime, Wall.now())?;
    PlaneFile::open(state).remove().map_err(|error| error.to_string())
}
