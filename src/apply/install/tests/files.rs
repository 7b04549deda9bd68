//! What becomes of files where all goes well.

use super::*;

#[tokio::test]
async fn files_come_change_and_go_with_what_is_wanted() {
    let mut site = Site::new(&rule("mode = \"0604\""));
    let report = site.install(&[A, B]).await;
    assert_eq!((report.written, report.removed), (2, 0));
    assert_eq!((site.read("etc/conf.d/a.conf"), site.read("etc/conf.d/b.conf")), (A.3.into(), B.3.into()));
    let a = fs::metadata(site.path("etc/conf.d/a.conf")).unwrap();
    assert_eq!(a.mode() & 0o7777, 0o604, "whatever the umask");
    assert_eq!((a.uid(), a.gid()), (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));

    let report = site.install(&[B2, C]).await;
    assert_eq!((report.written, report.removed), (2, 1));
    let names: Vec<_> = site.tree().into_keys().collect();
    assert_eq!(names, ["conf.d", "conf.d/b.conf", "conf.d/c.conf"].map(PathBuf::from));
    assert_eq!(site.read("etc/conf.d/b.conf"), B2.3);
    let report = site.install(&[]).await;
    assert_eq!((report.written, report.removed), (0, 2));
    assert_eq!(site.tree().len(), 1);
}

#[tokio::test]
async fn where_nothing_changes_nothing_is_written_and_nobody_is_told() {
    let mut site = Site::new(&rule("reload = [\"web.service\"]\non_change = [\"touch\", \"ROOT/followed\"]"));
    site.unit("web.service", "active");
    site.install(&[A]).await;
    assert_eq!(site.calls(), ["reload-or-restart web.service"]);
    fs::remove_file(site.path("followed")).unwrap();
    let before = site.tree();
    let state = site.host.settings.applier_state.join("installed.json");
    let record = fs::metadata(&state).unwrap().ino();
    assert_eq!(site.install(&[A]).await, InstallReport::default());
    assert_eq!(site.tree(), before);
    assert_eq!(fs::metadata(&state).unwrap().ino(), record);
    assert!(site.calls().is_empty() && !site.path("followed").exists());
}

#[tokio::test]
async fn a_host_without_templates_keeps_no_record_of_them() {
    let mut site = Site::new("");
    site.generation = 1;
    site.host.publish(1, &[]);
    assert_eq!(site.ask(Attempt::Ordinary).await.outcome, Outcome::Done);
    assert!(!site.remembered("installed.json"));
}

#[tokio::test]
async fn a_list_that_is_missing_takes_nothing_away_while_there_are_rules() {
    let mut site = Site::new(&rule(""));
    site.install(&[A]).await;
    site.generation += 1;
    site.host.publish(site.generation, &[]);
    let report = site.ask(Attempt::Ordinary).await;
    assert_eq!((&report.outcome, site.read("etc/conf.d/a.conf")), (&Outcome::Done, A.3.into()));
    assert!(report.install.unwrap().warnings[0].contains("stays"));
    // With the rules gone as well, there is no doubt.
    site.rules("");
    let report = site.ask(Attempt::Ordinary).await.install.unwrap();
    assert_eq!((report.removed, site.tree().len()), (1, 1));
    assert!(report.warnings[0].contains("nobody is told"), "{report:?}");
}

#[tokio::test]
async fn a_mode_that_changed_in_the_rule_changes_the_file() {
    let mut site = Site::new(&rule("mode = \"0640\""));
    site.install(&[A]).await;
    site.rules(&rule("mode = \"0600\""));
    site.install(&[A]).await;
    assert_eq!(mode_of(&site.path("etc/conf.d/a.conf")), 0o600);
    assert!(!site.path("etc/conf.d/a.conf.runtime-agent-backup").exists(), "nobody changed it");
}

#[tokio::test]
async fn directories_are_made_below_the_fixed_one_and_go_when_they_are_empty() {
    let rules = rule("").replace("{{ application.slug }}.conf", "{{ application.slug }}/in/env");
    let mut site = Site::new(&rules);
    let (a, b) = (("web", "a", "ROOT/etc/conf.d/a/in/env", "1"), ("web", "b", "ROOT/etc/conf.d/b/in/env", "1"));
    site.install(&[a, b]).await;
    assert_eq!(mode_of(&site.path("etc/conf.d/a/in")), 0o755);
    site.write("etc/conf.d/b/theirs", "x");
    site.install(&[]).await;
    let names: Vec<_> = site.tree().into_keys().collect();
    assert_eq!(names, ["conf.d", "conf.d/b", "conf.d/b/theirs"].map(PathBuf::from), "what others use stays");
}

#[tokio::test]
async fn files_inside_the_generation_are_told_of_and_not_installed() {
    let rules = "[[template]]\nname = \"list\"\ncontent = \"\"\ndestination = \"list.txt\"\n\
                 reload = [\"web.service\"]\non_change = [\"sh\", \"-c\", \"cat >ROOT/followed\"]";
    let mut site = Site::new(rules);
    site.unit("web.service", "active");
    site.install(&[("list", "", "list.txt", "one")]).await;
    assert_eq!(site.calls(), ["reload-or-restart web.service"]);
    let document: serde_json::Value = serde_json::from_str(&site.read("followed")).unwrap();
    let path = site.host.generation(1).join("list.txt");
    let expected = serde_json::json!({
        "version": 1, "event": "config-changed", "template": "list", "generation": 1,
        "changed": [path.to_str().unwrap()], "removed": [],
    });
    assert_eq!(document, expected);
    site.install(&[("list", "", "list.txt", "one")]).await;
    assert!(site.calls().is_empty());
    site.install(&[("list", "", "list.txt", "two")]).await;
    assert_eq!(site.calls(), ["reload-or-restart web.service"]);
    site.install(&[]).await;
    assert_eq!(site.calls(), ["reload-or-restart web.service"], "one that goes is a change, too");
}

#[tokio::test]
async fn a_command_follows_once_with_the_environment_of_hooks_and_the_paths_that_changed() {
    let mut site = Site::new(&rule("on_change = [\"sh\", \"-c\", \"cat >>ROOT/followed; env >ROOT/environment\"]"));
    site.install(&[A, B]).await;
    site.install(&[B2, C]).await;
    let documents: Vec<serde_json::Value> =
        site.read("followed").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2, "once, however many files changed");
    let path = |name: &str| site.path("etc/conf.d").join(name).to_str().unwrap().to_owned();
    assert_eq!(documents[1]["changed"], serde_json::json!([path("b.conf"), path("c.conf")]));
    assert_eq!(documents[1]["removed"], serde_json::json!([path("a.conf")]));
    let environment = site.read("environment");
    assert!(environment.contains("RUNTIME_AGENT_EVENT=config-changed\n"), "{environment}");
    assert!(environment.contains("RUNTIME_AGENT_GENERATION=2\n"), "{environment}");
}

#[tokio::test]
async fn attributes_of_users_outlive_a_replacement() {
    let mut site = Site::new(&rule(""));
    site.install(&[A]).await;
    let path = site.path("etc/conf.d/a.conf");
    let file = || fs::File::open(&path).unwrap();
    // Not every file system has them.
    if rustix::fs::fsetxattr(file(), "user.note", b"kept", rustix::fs::XattrFlags::empty()).is_ok() {
        site.install(&[A2]).await;
        let mut value = [0_u8; 16];
        let length = rustix::fs::fgetxattr(file(), "user.note", &mut value[..]).unwrap();
        assert_eq!((&value[..length], site.read("etc/conf.d/a.conf")), (&b"kept"[..], A2.3.into()));
    }
}

#[tokio::test]
async fn only_root_gives_files_away_and_anybody_else_is_told_so() {
    let mut site = Site::new(&rule("owner = \"nobody\""));
    site.publish(&[A]);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    let own = nix::unistd::geteuid();
    if own.is_root() {
        assert_eq!(site.ask(Attempt::Ordinary).await.outcome, Outcome::Done);
        assert_eq!(fs::metadata(site.path("etc/conf.d/a.conf")).unwrap().uid(), nobody.as_raw());
    } else if own != nobody {
        assert!(site.refused(Attempt::Ordinary).await.contains("only root can give files away"));
    }
    site.rules(&rule("group = \"no-such-group\""));
    assert!(site.refused(Attempt::Ordinary).await.contains("no-such-group, which does not exist"));
}
