//! Who may read what, and what everybody can see of a process.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use plane::{Endpoint, Fault};
use runtime_agent::agent::status::Status;

use crate::credential::key_in;
use crate::host::{Agent, PROGRAM, within};
use crate::scene::{Scene, is_settled};
use crate::tree::{Kind, everything};

/// The mode that a thing below the state directory must have; nothing for links, which have none of their own.
fn wanted(path: &Path, kind: &Kind) -> Option<u32> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let secret = path.starts_with("identity");
    match kind {
        Kind::Link(_) => None,
        Kind::Folder => Some(if secret { 0o700 } else { 0o755 }),
        Kind::File(_) | Kind::Other if secret => Some(0o600),
        Kind::File(_) | Kind::Other => Some(match name {
            "credentials.json" | "credentials.env" => 0o640,
            "digest.key" | "lock" | "token.json" | "pairing.json" | "snapshot.json" | "plane.json" => 0o600,
            _ => 0o644,
        }),
    }
}

fn check(scene: &Scene) {
    for (path, entry) in everything(&scene.host.path("state")) {
        if let Some(mode) = wanted(&path, &entry.kind) {
            assert_eq!(entry.mode, mode, "{} has {:o} and not {mode:o}", path.display(), entry.mode);
        }
    }
    let run = everything(&scene.host.path("run"));
    assert_eq!(run[Path::new("control.sock")].mode, 0o666);
}

#[tokio::test]
async fn every_file_has_its_mode_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let scene = Scene::new().await;
        scene.plane.fault(Fault::on(Endpoint::Connector).operation("signCertificateSigningRequest").reset());
        let mut command = tokio::process::Command::new("/bin/sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), PROGRAM, "run", "--config"]);
        command.arg(scene.host.path("agent.toml")).env_clear().kill_on_drop(true);
        let agent = scene.host.start_command(command).await;
        scene.host.drop_token(&scene.mint());
        let pending = |status: &Status| !status.problems.is_empty();
        agent.wait_for("a pairing that is pending", pending).await;
        assert!(scene.host.path("state/pairing.json").exists());
        check(&scene);
        scene.plane.clear_faults();
        agent.wait_for("the pairing", is_settled).await;
        check(&scene);
        let seen = everything(&scene.host.path("state"));
        let credentials = seen.keys().filter(|path| path.ends_with("credentials.env")).count();
        assert_eq!(credentials, 3, "umask {umask}");
    }
}

/// Opens the folder of identities to a group.
pub fn share(root: &Path) {
    // Only root may choose a foreign group; everybody may set the bit for a group of their own.
    let _ = chown(root, None, Some(54_321));
    fs::set_permissions(root, fs::Permissions::from_mode(0o2750)).unwrap();
}

/// Checks that all identities are for the group of their folder, and answers the number of the current one.
pub fn assert_shared(root: &Path) -> String {
    let group = fs::metadata(root).unwrap().gid();
    let mut keys = 0;
    for (path, entry) in everything(root) {
        let wanted = match entry.kind {
            Kind::Link(_) => continue,
            Kind::Folder => 0o2750,
            Kind::File(_) | Kind::Other => 0o640,
        };
        assert_eq!(entry.mode, wanted, "{} has {:o} and not {wanted:o}", path.display(), entry.mode);
        assert_eq!(fs::metadata(root.join(&path)).unwrap().gid(), group, "{}", path.display());
        keys += usize::from(path.ends_with("key.pem"));
    }
    key_in(&root.join("current"));
    let current = fs::read_link(root.join("current")).unwrap().to_str().unwrap().to_owned();
    assert!(keys == 1 || current != "0001", "the one before is kept");
    current
}

#[tokio::test]
async fn an_identity_is_for_the_group_of_its_folder_after_pairing_after_renewal_and_from_an_upgrade_on() {
    let scene = Scene::new().await;
    let root = scene.host.path("state/identity");
    fs::create_dir_all(&root).unwrap();
    share(&root);
    let agent = scene.paired().await;
    assert_eq!(assert_shared(&root), "0001");
    let renewed = async |agent: &Agent<'_>| {
        let before = agent.status().await.identity.unwrap().fingerprint;
        assert!(agent.renew().await.done);
        let other = |status: &Status| {
            status.endeavour.is_none() && status.identity.as_ref().is_some_and(|now| now.fingerprint != before)
        };
        agent.wait_for("another certificate", other).await;
    };
    renewed(&agent).await;
    assert_eq!(assert_shared(&root), "0002");

    // The administrator closes it, and a version that knows of no readers may have written it: the agent's alone.
    agent.terminate().await;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    let agent = scene.host.start().await;
    check(&scene);
    renewed(&agent).await;
    check(&scene);

    // And opens it again.
    agent.kill().await;
    share(&root);
    let agent = scene.host.start().await;
    assert_eq!(assert_shared(&root), "0003");
    assert!(agent.sync().await.done);
    assert!(scene.host.log().contains("is now for the group of readers, too"));
}

/// What everybody, or at least root, can see of a process without asking it.
fn visible(pid: u32) -> String {
    let read = |name: &str| match fs::read(format!("/proc/{pid}/{name}")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        // Not even the same user may look into the agent.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => String::new(),
        Err(error) => panic!("{name}: {error}"),
    };
    format!("{}\n{}", read("cmdline"), read("environ"))
}

#[tokio::test]
async fn arguments_and_environments_of_processes_hold_no_secret_and_no_core_is_dumped() {
    let scene = Scene::new().await;
    scene.host.hook("look", r#"cat >/dev/null; cat "/proc/$$/environ" "/proc/$PPID/cmdline" >>"$SPOOL/seen""#);
    let agent = scene.host.start().await;
    let slow = Fault::on(Endpoint::Connector).operation("configuration").delay(std::time::Duration::from_secs(1));
    scene.plane.fault(slow);
    let mut pair = scene.host.command(&["pair"]);
    pair.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut pair = pair.spawn().unwrap();
    let mut input = pair.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, scene.mint().as_bytes()).await.unwrap();
    drop(input);
    scene.asked("the token", |all| !all.is_empty()).await;
    let mut seen = vec![visible(pair.id().unwrap()), visible(agent.pid())];
    assert!(within("pair to end", pair.wait()).await.unwrap().success());
    agent.wait_for("the pairing", is_settled).await;
    seen.push(visible(agent.pid()));
    seen.push(scene.host.read("spool/seen"));
    assert!(seen[0].contains("pair") && seen[1].contains("run") && seen[3].contains("--stdio"), "{seen:?}");
    for secret in scene.plane.canaries() {
        assert!(seen.iter().all(|text| !text.contains(&secret)));
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
