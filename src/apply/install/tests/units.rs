//! How units are told.

use super::*;
use crate::apply::report::UnitResult;

#[tokio::test]
async fn each_unit_is_told_once_however_many_files_and_rules_name_it() {
    let second =
        rule("reload = [\"b.service\", \"c.service\"]").replace("\"web\"", "\"more\"").replace(".conf", ".more");
    let mut site = Site::new(&format!("{}{second}", rule("reload = [\"a.service\", \"b.service\"]")));
    for unit in ["a.service", "b.service", "c.service"] {
        site.unit(unit, "active");
    }
    site.install(&[A, B, ("more", "a", "ROOT/etc/conf.d/a.more", "1")]).await;
    assert_eq!(site.calls(), ["a.service", "b.service", "c.service"].map(|unit| format!("reload-or-restart {unit}")));
    site.install(&[A, B, ("more", "a", "ROOT/etc/conf.d/a.more", "2")]).await;
    assert_eq!(site.calls().len(), 2, "only those whose files changed");
}

#[tokio::test]
async fn what_becomes_of_a_unit_depends_on_how_it_is() {
    for (state, calls, said) in [
        ("active", vec!["reload-or-restart web.service"], "reloaded or restarted"),
        ("inactive", vec![], "does not run, and was left so"),
        ("failed", vec!["restart web.service"], "started again"),
        ("not-found", vec![], "no such unit"),
        ("masked", vec![], "masked"),
    ] {
        let mut site = Site::new(&rule("reload = [\"web.service\"]"));
        site.unit("web.service", state);
        let report = site.install(&[A]).await;
        assert_eq!(site.calls(), calls, "{state}");
        assert!(report.units[0].to_string().contains(said), "{report:?}");
        assert_eq!(site.read("etc/conf.d/a.conf"), A.3);
    }
}

#[tokio::test]
async fn a_unit_that_had_failed_before_and_still_fails_takes_nothing_back() {
    let mut site = Site::new(&rule("reload = [\"web.service\"]"));
    site.unit("web.service", "failed");
    site.write("units/web.service.restart", "exit 1");
    let report = site.install(&[A]).await;
    assert!(matches!(report.units[0].result, UnitResult::StillFailed { .. }), "{report:?}");
    assert_eq!(site.read("etc/conf.d/a.conf"), A.3);
}

#[tokio::test]
async fn a_unit_on_its_way_is_waited_for() {
    for (on_the_way, then, calls) in [
        ("activating", "active", vec!["reload-or-restart web.service"]),
        ("reloading", "active", vec!["reload-or-restart web.service"]),
        ("deactivating", "inactive", vec![]),
        ("activating", "failed", vec!["restart web.service"]),
    ] {
        let mut site = Site::new(&rule("reload = [\"web.service\"]"));
        site.unit("web.service", on_the_way);
        site.unit("web.service.after", then);
        site.install(&[A]).await;
        assert_eq!(site.calls(), calls, "{on_the_way}");
    }
}

#[tokio::test]
async fn a_unit_that_never_comes_to_rest_is_named_and_not_waited_for_without_end() {
    let mut site = Site::new(&rule("reload = [\"web.service\"]"));
    site.host.settings.timeout = std::time::Duration::from_millis(500);
    site.unit("web.service", "activating");
    let report = site.install(&[A]).await;
    assert!(report.units[0].to_string().contains("still starting"), "{report:?}");
    assert!(site.calls().is_empty());
}

#[tokio::test]
async fn where_units_cannot_be_told_at_all_nothing_is_installed() {
    let mut site = Site::new(&rule("reload = [\"web.service\"]"));
    fs::remove_file(&site.host.settings.systemctl).unwrap();
    site.publish(&[A]);
    assert!(site.refused(Attempt::Ordinary).await.contains("could not start"));
}
