//! Tokens are noticed however they come, and none stays on disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use plane::{Endpoint, Fault, TokenForm};
use runtime_agent::agent::status::Area;
use runtime_agent::pairing::Verdict;
use tokio::process::Command;

use crate::host::{PROGRAM, finished, said};
use crate::scene::{Scene, is_settled, problem, verdict};

/// How soon a token is noticed, with what a busy machine adds to it.
const SOON: Duration = Duration::from_secs(3);

/// Whether this host lets a process have a user namespace of its own, in which limits of the kernel can be set.
async fn has_user_namespaces() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "test", "-w", "/proc/sys/user/max_inotify_watches"]);
    let output = finished(command, "").await;
    if !output.status.success() {
        println!("not tested: no user namespaces here: {}", said(&output));
    }
    output.status.success()
}

#[tokio::test]
async fn without_inotify_tokens_are_noticed_all_the_same_and_a_warning_is_given_once() {
    if !has_user_namespaces().await {
        return;
    }
    for (limit, raise) in [("instances", "fs.inotify.max_user_instances"), ("watches", "fs.inotify.max_user_watches")] {
        let scene = Scene::new().await;
        let mut command = Command::new("unshare");
        let script = format!("echo 0 >/proc/sys/user/max_inotify_{limit} && exec \"$0\" \"$@\"");
        command.args(["--user", "--map-root-user", "/bin/sh", "-c", &script, PROGRAM, "run", "--config"]);
        command.arg(scene.host.path("agent.toml")).env_clear().env("PATH", "/usr/bin:/bin").kill_on_drop(true);
        let agent = scene.host.start_command(command).await;
        let began = Instant::now();
        scene.host.drop_token(&scene.mint());
        agent.wait_for("the token to be noticed", |status| status.token.is_some()).await;
        assert!(began.elapsed() < SOON, "{limit}: {:?}", began.elapsed());
        agent.wait_for("the pairing", is_settled).await;
        // In place, and in a form that does not show its end.
        fs::write(scene.host.token(), scene.plane.mint_token(&scene.runtime, TokenForm::Url)).unwrap();
        agent.wait_for("the end of another token", |_| !scene.host.token().exists()).await;
        let log = scene.host.log();
        let warnings = log.lines().filter(|line| line.contains("looked into twice a second")).collect::<Vec<_>>();
        assert_eq!(warnings.len(), 1, "{log}");
        assert!(warnings[0].contains("WARN") && warnings[0].contains(raise), "{}", warnings[0]);
    }
}

/// Makes everything on a host somebody else's.
pub fn give_away(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path(), user);
        }
    }
}

#[tokio::test]
async fn a_token_that_the_agent_may_not_read_is_told_with_the_command_that_mends_it() {
    const NOBODY: u32 = 65_534;
    let is_root = nix::unistd::geteuid().is_root();
    let modes: &[u32] = if is_root { &[0o600, 0o000] } else { &[0o000] };
    for mode in modes {
        let scene = Scene::new().await;
        let mut command = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            give_away(&scene.host.path(""), NOBODY);
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.args([PROGRAM, "run", "--config"]).arg(scene.host.path("agent.toml")).env_clear().kill_on_drop(true);
        command.env("PATH", "/usr/bin:/bin");
        let agent = scene.host.start_command(command).await;
        fs::write(scene.host.path("pairing/.token"), scene.mint()).unwrap();
        fs::set_permissions(scene.host.path("pairing/.token"), fs::Permissions::from_mode(*mode)).unwrap();
        fs::rename(scene.host.path("pairing/.token"), scene.host.token()).unwrap();
        let status = agent.wait_for("the complaint", |status| !problem(status, Area::TokenFile).is_empty()).await;
        let what = problem(&status, Area::TokenFile);
        assert!(what.contains("the agent's user may not read it; run `"), "{what}");
        let command = what.split('`').nth(1).unwrap();
        let mended = finished(shell(command), "").await;
        assert!(mended.status.success(), "{command}: {}", said(&mended));
        let status = agent.wait_for("the pairing", is_settled).await;
        assert_eq!(problem(&status, Area::TokenFile), "");
        assert!(!scene.host.token().exists());
    }
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    command
}

#[tokio::test]
async fn a_token_that_is_dropped_twice_is_used_once_and_gone() {
    let scene = Scene::new().await;
    scene.plane.fault(Fault::on(Endpoint::Connector).refuse());
    let agent = scene.host.start().await;
    let token = scene.mint();
    scene.host.drop_token(&token);
    agent.wait_for("the first try", |status| !problem(status, Area::Pairing).is_empty()).await;
    // As another file, while the first waits for the plane.
    scene.host.drop_token(&token);
    scene.plane.clear_faults();
    agent.wait_for("the pairing", is_settled).await;
    assert!(!scene.host.token().exists());
    // And once more, by a host that is paired by it.
    scene.host.drop_token(&token);
    agent.wait_for("its end", |_| !scene.host.token().exists()).await;
    assert_eq!(scene.requests("configuration").len(), 1);
    assert_eq!(verdict(&agent.status().await), Some(Verdict::Paired));
}

#[tokio::test]
async fn a_token_that_lies_elsewhere_is_not_left_there() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    let elsewhere = scene.host.path("elsewhere");
    fs::write(&elsewhere, scene.mint()).unwrap();
    symlink(&elsewhere, scene.host.token()).unwrap();
    agent.wait_for("the pairing", is_settled).await;
    assert!(!scene.host.token().is_symlink() && !elsewhere.exists());
    // Where it can only be used, that is said.
    if nix::unistd::geteuid().is_root() {
        let closed = scene.host.path("closed");
        fs::create_dir(&closed).unwrap();
        let mount =
            shell(&format!("mount -t tmpfs tmpfs {0} && echo '{1}' >{0}/token", closed.display(), scene.mint()));
        assert!(finished(mount, "").await.status.success());
        let end = |what: &str| shell(&format!("mount -o remount,ro {0} && {what}", closed.display()));
        assert!(finished(end("true"), "").await.status.success());
        symlink(closed.join("token"), scene.host.token()).unwrap();
        let status = agent.wait_for("the complaint", |status| !problem(status, Area::TokenFile).is_empty()).await;
        assert!(finished(shell(&format!("umount {}", closed.display())), "").await.status.success());
        let what = problem(&status, Area::TokenFile);
        let said = format!("stays on disk: cannot remove {}", closed.join("token").display());
        assert!(what.contains(&said), "{what}");
        assert!(!scene.host.token().is_symlink());
    }
}
