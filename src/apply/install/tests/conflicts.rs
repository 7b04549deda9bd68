//! Files that somebody changed, or that were there before.

use super::*;

const BACKUP: &str = "etc/conf.d/a.conf.runtime-agent-backup";

#[tokio::test]
async fn a_changed_file_is_replaced_and_kept_beside_with_a_warning() {
    let mut site = Site::new(&rule(""));
    site.install(&[A]).await;
    for (edit, next) in [("by hand\n", A2), ("by hand again\n", A)] {
        site.write("etc/conf.d/a.conf", edit);
        set_mode(&site.path("etc/conf.d/a.conf"), 0o600);
        let report = site.install(&[next]).await;
        assert!(report.warnings[0].contains("was changed by somebody"), "{report:?}");
        assert_eq!((site.read("etc/conf.d/a.conf"), site.read(BACKUP)), (next.3.into(), edit.into()));
        assert_eq!(mode_of(&site.path(BACKUP)), 0o600, "nobody sees more of it than before");
        assert_eq!(mode_of(&site.path("etc/conf.d/a.conf")), 0o640);
    }
}

#[tokio::test]
async fn a_mode_that_somebody_changed_is_a_change() {
    let mut site = Site::new(&rule("on_conflict = \"fail\""));
    site.install(&[A]).await;
    set_mode(&site.path("etc/conf.d/a.conf"), 0o600);
    site.publish(&[A2]);
    assert!(site.refused(Attempt::Ordinary).await.contains("was changed by somebody"));
}

#[tokio::test]
async fn a_foreign_file_in_the_way_is_treated_as_a_changed_one() {
    for (policy, content, beside) in [("overwrite", A.3, "theirs"), ("keep", "theirs", "")] {
        let mut site = Site::new(&rule(&format!("on_conflict = \"{policy}\"")));
        site.write("etc/conf.d/a.conf", "theirs");
        let report = site.install(&[A]).await;
        assert_eq!(report.warnings.len(), 1, "{report:?}");
        assert_eq!((site.read("etc/conf.d/a.conf"), site.read(BACKUP)), (content.to_owned(), beside.to_owned()));
    }
    let mut site = Site::new(&rule("on_conflict = \"fail\""));
    site.write("etc/conf.d/a.conf", "theirs");
    site.publish(&[A, B]);
    assert!(site.refused(Attempt::Ordinary).await.contains("was not installed by the agent"));
}

#[tokio::test]
async fn a_file_that_is_kept_is_not_ours_until_it_is_the_same_or_gone() {
    let mut site = Site::new(&rule("on_conflict = \"keep\"\nreload = [\"web.service\"]"));
    site.unit("web.service", "active");
    site.install(&[A]).await;
    site.calls();
    site.write("etc/conf.d/a.conf", "theirs");
    let report = site.install(&[A2]).await;
    assert!(report.warnings[0].contains("on_conflict is \"keep\""), "{report:?}");
    site.install(&[]).await;
    assert_eq!((site.read("etc/conf.d/a.conf"), site.calls()), ("theirs".to_owned(), vec![]));

    site.install(&[A2]).await;
    fs::remove_file(site.path("etc/conf.d/a.conf")).unwrap();
    site.install(&[A2]).await;
    assert_eq!((site.read("etc/conf.d/a.conf"), site.calls().len()), (A2.3.to_owned(), 1));

    site.write("etc/conf.d/a.conf", A.3);
    site.install(&[A]).await;
    assert!(site.calls().is_empty(), "theirs is the same");
    site.install(&[]).await;
    assert!(!site.path("etc/conf.d/a.conf").exists(), "and so it was ours");
}

#[tokio::test]
async fn a_changed_file_of_an_application_that_is_gone_stays() {
    let mut site = Site::new(&rule(""));
    site.install(&[A, B]).await;
    site.write("etc/conf.d/a.conf", "by hand");
    let report = site.install(&[]).await;
    assert!(report.warnings[0].contains("not needed any more"), "{report:?}");
    assert_eq!((report.removed, site.read("etc/conf.d/a.conf")), (1, "by hand".to_owned()));
    assert!(site.install(&[]).await.is_empty(), "it is told once");
}

#[tokio::test]
async fn one_changed_file_fails_all_where_the_rule_says_so() {
    let mut site = Site::new(&rule("on_conflict = \"fail\""));
    site.install(&[A, B]).await;
    site.write("etc/conf.d/a.conf", "by hand");
    site.publish(&[A2, B2, C]);
    site.refused(Attempt::Ordinary).await;
    assert_eq!(site.read("etc/conf.d/b.conf"), B.3);
    fs::remove_file(site.path("etc/conf.d/a.conf")).unwrap();
    assert_eq!(site.ask(Attempt::Again).await.outcome, Outcome::Done);
    assert_eq!(site.read("etc/conf.d/a.conf"), A2.3);
}
