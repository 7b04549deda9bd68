//! Whatever fails before the end leaves everything as it was.

use tokio::sync::watch;

use super::*;

/// Installs A and B, gives B a mark that only the very same file has, and publishes A2, C, and no B.
async fn about_to_change(keys: &str) -> Site {
    let mut site =
        Site::new(&rule(&format!("reload = [\"web.service\"]\n{}", keys.replace("KEY", "[ -e ROOT/well ]"))));
    site.unit("web.service", "active");
    site.write("well", "");
    site.install(&[A, B]).await;
    site.calls();
    fs::remove_file(site.path("well")).unwrap();
    site.publish(&[A2, C]);
    site
}

#[tokio::test]
async fn a_check_that_fails_leaves_every_file_as_it_was_and_is_not_run_again_by_itself() {
    for check in [
        "validate = [\"sh\", \"-c\", \"echo seen >>ROOT/checks; echo no good >&2; KEY\"]",
        "validate = [\"sh\", \"-c\", \"echo seen >>ROOT/checks; echo no good >&2; KEY\", \"{}\"]",
    ] {
        let mut site = about_to_change(check).await;
        fs::remove_file(site.path("checks")).unwrap();
        let said = site.refused(Attempt::Ordinary).await;
        assert!(said.contains("validate of the template web") && said.contains("exit code 1"), "{said}");
        assert!(said.contains("no good") && said.contains("all files are as they were"), "{said}");
        assert_eq!((site.read("checks"), site.calls()), ("seen\n".to_owned(), vec![]), "no unit was told");

        assert_eq!(site.refused(Attempt::Ordinary).await, said);
        assert_eq!(site.read("checks"), "seen\n", "nothing was run");
        site.refused(Attempt::Again).await;
        assert_eq!(site.read("checks"), "seen\nseen\n", "a person asked");

        site.write("well", "");
        assert_eq!(site.refused(Attempt::Ordinary).await, said, "nobody told us that it is well now");
        assert_eq!(site.ask(Attempt::Again).await.outcome, Outcome::Done);
        assert_eq!((site.read("etc/conf.d/a.conf"), site.remembered("refused.json")), (A2.3.into(), false));
        // And what changes is tried without being asked for.
        fs::remove_file(site.path("well")).unwrap();
        site.publish(&[A]);
        site.refused(Attempt::Ordinary).await;
        site.publish(&[A, B]);
        fs::remove_file(site.path("checks")).unwrap();
        site.refused(Attempt::Ordinary).await;
        assert!(site.path("checks").exists());
    }
}

#[tokio::test]
async fn a_check_of_one_file_sees_the_new_content_before_it_is_in_place() {
    let check = "validate = [\"sh\", \"-c\", \"cat $1 ROOT/etc/conf.d/a.conf >>ROOT/seen; KEY\", \"sh\", \"{}\"]";
    let site = about_to_change(check).await;
    fs::remove_file(site.path("seen")).unwrap();
    let said = site.refused(Attempt::Ordinary).await;
    assert!(said.contains("for what is to be") && said.contains("a.conf"), "{said}");
    assert_eq!(site.read("seen"), format!("{}{}", A2.3, A.3));
}

#[tokio::test]
async fn a_check_of_all_sees_the_new_files_in_place_and_runs_once() {
    let site = about_to_change("validate = [\"sh\", \"-c\", \"cat ROOT/etc/conf.d/*.conf >>ROOT/seen; KEY\"]").await;
    fs::remove_file(site.path("seen")).unwrap();
    site.refused(Attempt::Ordinary).await;
    assert_eq!(site.read("seen"), format!("{}{}", A2.3, C.3), "no temporary file is among them, and B is gone");
}

#[tokio::test]
async fn a_unit_that_does_not_take_the_new_files_gets_the_old_ones_again() {
    let mut site = about_to_change("").await;
    let reload = "cat $ROOT/etc/conf.d/a.conf >>$ROOT/loaded; ! grep -q two $ROOT/etc/conf.d/a.conf || exit 1";
    site.write("units/web.service.reload-or-restart", reload);
    let said = site.refused(Attempt::Ordinary).await;
    assert!(said.contains("systemctl reload-or-restart web.service"), "{said}");
    assert_eq!(site.calls(), ["reload-or-restart web.service"; 2]);
    assert_eq!(site.read("loaded"), format!("{}{}", A2.3, A.3));
    site.publish(&[A]);
    assert_eq!(site.ask(Attempt::Ordinary).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_unit_that_fails_after_it_was_told_is_brought_back_with_the_old_files() {
    let site = about_to_change("").await;
    site.write(
        "units/web.service.reload-or-restart",
        "if grep -q two $ROOT/etc/conf.d/a.conf; then echo failed >$ROOT/units/web.service; fi",
    );
    site.write("units/web.service.restart", "echo active >$ROOT/units/web.service");
    let before = site.tree();
    let report = site.ask(Attempt::Ordinary).await;
    assert!(matches!(report.outcome, Outcome::Refused { .. }), "{report:?}");
    assert_eq!(site.tree(), before);
    assert_eq!(site.calls(), ["reload-or-restart web.service", "restart web.service"]);
    assert_eq!(site.read("units/web.service"), "active\n");
    let units = report.install.unwrap().units;
    assert!(units[0].to_string().contains("started again"), "{units:?}");
}

#[tokio::test]
async fn a_command_that_fails_takes_all_back_and_does_not_run_for_that() {
    let site = about_to_change("on_change = [\"sh\", \"-c\", \"echo ran >>ROOT/followed; KEY\"]").await;
    fs::remove_file(site.path("followed")).unwrap();
    let said = site.refused(Attempt::Ordinary).await;
    assert!(said.contains("on_change of the template web"), "{said}");
    assert_eq!((site.read("followed"), site.calls().len()), ("ran\n".to_owned(), 2));
}

#[tokio::test]
async fn files_that_a_command_changed_in_place_or_replaced_are_taken_back_too() {
    let command = "on_change = [\"sh\", \"-c\", \"KEY && exit; cd ROOT/etc/conf.d; echo x >>a.conf; echo x >>c.conf; \
                   sed -i s/c/d/ c.conf; sed -i s/a/b/ a.conf; exit 1\"]";
    let site = about_to_change(command).await;
    let before = site.tree();
    let report = site.ask(Attempt::Ordinary).await;
    let mut after = site.tree();
    // What is neither the old nor the new file could be somebody's: it is not lost.
    for name in ["conf.d/a.conf.runtime-agent-backup", "conf.d/c.conf.runtime-agent-backup"] {
        assert!(after.remove(Path::new(name)).is_some(), "{name}: {report:?}");
    }
    assert_eq!(after, before);
    assert_eq!(report.install.unwrap().warnings.len(), 2);
}

#[tokio::test]
async fn directories_that_were_made_are_taken_back() {
    let rules = rule("validate = [\"false\"]").replace("{{ application.slug }}.conf", "{{ application.slug }}/in/env");
    let mut site = Site::new(&rules);
    site.publish(&[("web", "a", "ROOT/etc/conf.d/a/in/env", "1")]);
    site.refused(Attempt::Ordinary).await;
    assert_eq!(site.tree().len(), 1);
}

#[tokio::test]
async fn hooks_are_told_once_that_an_installation_was_refused_and_nothing_else() {
    let mut site = about_to_change("validate = [\"sh\", \"-c\", \"KEY\"]").await;
    site.host.hook("a", "echo $1 >>$ROOT/told");
    assert_eq!(site.ask(Attempt::Ordinary).await.hooks.len(), 1);
    assert_eq!(site.ask(Attempt::Ordinary).await.hooks.len(), 0);
    assert_eq!(site.read("told"), "apply-failed\n");
    site.publish(&[A, B]);
    site.ask(Attempt::Ordinary).await;
    assert_eq!(site.read("told"), "apply-failed\nconfig-changed\n");
}

#[tokio::test]
async fn a_stop_takes_back_what_has_begun_and_is_no_refusal() {
    let site =
        about_to_change("on_change = [\"sh\", \"-c\", \"[ -e ROOT/well ] || { touch ROOT/runs; sleep 1000; }\"]").await;
    let before = site.tree();
    let (tell, told) = watch::channel(false);
    let stop = Stop::when(told);
    let asked = site.ask_with(Attempt::Ordinary, &stop);
    let stopped = async {
        while !site.path("runs").exists() {
            tokio::task::yield_now().await;
        }
        tell.send_replace(true);
    };
    let (report, ()) = tokio::join!(asked, stopped);
    assert!(matches!(report.outcome, Outcome::Failed { .. }), "{report:?}");
    assert_eq!(site.tree(), before);
    assert_eq!(site.calls(), ["reload-or-restart web.service"; 2]);
    site.write("well", "");
    assert_eq!(site.ask(Attempt::Ordinary).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn what_the_list_says_is_checked_against_the_configuration() {
    let mut site = Site::new(&rule(""));
    for (file, said) in [
        (("other", "a", "ROOT/etc/conf.d/a.conf", "x"), "does not have"),
        (("web", "a", "ROOT/etc/conf.d/b.conf", "x"), "goes elsewhere"),
        (("web", "a", "ROOT/etc/passwd", "x"), "goes elsewhere"),
        (("web", "a", "conf.d/a.conf", "x"), "goes elsewhere"),
        (("web", "", "ROOT/etc/conf.d/a.conf", "x"), "application"),
    ] {
        site.publish(&[file]);
        let message = site.refused(Attempt::Ordinary).await;
        assert!(message.contains(said), "{message}");
    }
    site.publish(&[A, A]);
    assert!(site.refused(Attempt::Ordinary).await.contains("two files"));
    site.host.settings.limits.max_files = std::num::NonZeroU32::MIN;
    site.publish(&[A, B]);
    assert!(site.refused(Attempt::Ordinary).await.contains("templates.max_files"));
}

#[tokio::test]
async fn what_is_planted_below_the_state_directory_is_refused_and_installs_nothing() {
    type Plant = fn(&Site, &Path);
    let plants: [(&str, Refusal, Plant); 6] = [
        ("no content", Refusal::GenerationMissing, |_, blob| fs::remove_file(blob).unwrap()),
        ("a link", Refusal::GenerationUnreadable, |_, blob| {
            fs::remove_file(blob).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", blob).unwrap();
        }),
        ("a pipe", Refusal::GenerationUnreadable, |_, blob| {
            fs::remove_file(blob).unwrap();
            nix::unistd::mkfifo(blob, nix::sys::stat::Mode::S_IRUSR).unwrap();
        }),
        ("other content", Refusal::GenerationUnreadable, |_, blob| fs::write(blob, "longer than it was").unwrap()),
        ("no list", Refusal::GenerationUnreadable, |site, _| site.publish_list("canary")),
        ("another version", Refusal::GenerationUnreadable, |site, _| {
            site.publish_list(r#"{"version":2,"x":"canary"}"#);
        }),
    ];
    for (what, reason, plant) in plants {
        let mut site = Site::new(&rule(""));
        site.publish(&[A]);
        let blob = site.host.settings.agent_state.join("config/blobs").join(sum(A.3.as_bytes()).to_string());
        plant(&site, &blob);
        let report = site.ask(Attempt::Ordinary).await;
        let Outcome::Refused { reason: said, message } = report.outcome else { panic!("{what}: {report:?}") };
        assert_eq!(said, reason, "{what}");
        assert!(!message.contains("canary"), "{message}");
        assert_eq!(site.tree().len(), 1, "{what}");
        assert!(!site.remembered("refused.json"), "{what}: the daemon is to publish anew, not a person to mend");
    }
}

#[tokio::test]
async fn a_journal_that_nobody_understands_stops_installations_and_no_notice() {
    let mut site = Site::new(&rule(""));
    site.host.hook("a", "echo $1 >>$ROOT/told");
    site.install(&[A]).await;
    let journal = site.host.settings.applier_state.join("transaction.json");
    fs::write(&journal, "garbage").unwrap();
    site.publish(&[A2]);
    let report = site.ask(Attempt::Ordinary).await;
    let Outcome::Failed { message } = report.outcome else { panic!("{report:?}") };
    assert!(message.contains("remove that journal"), "{message}");
    assert_eq!(site.read("etc/conf.d/a.conf"), A.3);
    let renewed = Request::Notice(crate::apply::request::Notice::Renewed);
    let outcome = serve_stream(&site.host.settings, &renewed.to_line()[..], &mut Vec::new(), &Stop::never()).await;
    assert_eq!((outcome, site.read("told")), (Outcome::Done, "config-changed\nrenewed\n".to_owned()));
    fs::remove_file(journal).unwrap();
    assert_eq!(site.ask(Attempt::Ordinary).await.outcome, Outcome::Done);
}
