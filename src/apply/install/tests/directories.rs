//! Links, foreign directories, and what lies at a destination that is no file.

use std::os::unix::fs::{chown, symlink};

use super::*;

#[tokio::test]
async fn a_link_at_the_destination_is_refused_and_what_it_leads_to_untouched() {
    let mut site = Site::new(&rule(""));
    site.write("precious", "precious");
    symlink(site.path("precious"), site.path("etc/conf.d/a.conf")).unwrap();
    site.publish(&[A]);
    assert!(site.refused(Attempt::Ordinary).await.contains("a symbolic link"));
    fs::remove_file(site.path("etc/conf.d/a.conf")).unwrap();
    fs::create_dir(site.path("etc/conf.d/a.conf")).unwrap();
    assert!(site.refused(Attempt::Again).await.contains("a directory"));
    fs::remove_dir(site.path("etc/conf.d/a.conf")).unwrap();
    nix::unistd::mkfifo(&site.path("etc/conf.d/a.conf"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(site.refused(Attempt::Again).await.contains("a pipe"));
    assert_eq!(site.read("precious"), "precious");
}

#[tokio::test]
async fn a_link_below_the_fixed_directory_is_not_followed_whoever_made_it() {
    let mut site = Site::new(&rule("").replace("{{ application.slug }}.conf", "{{ application.slug }}/env"));
    fs::create_dir(site.path("elsewhere")).unwrap();
    symlink(site.path("elsewhere"), site.path("etc/conf.d/a")).unwrap();
    site.publish(&[("web", "a", "ROOT/etc/conf.d/a/env", "1")]);
    assert!(site.refused(Attempt::Ordinary).await.contains("symbolic link"));
    assert_eq!(fs::read_dir(site.path("elsewhere")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_link_on_the_way_to_the_fixed_directory_is_followed_only_where_nobody_else_can_turn_it() {
    let mut site = Site::new(&rule("").replace("etc/conf.d", "way/conf.d"));
    let a = ("web", "a", "ROOT/way/conf.d/a.conf", "1");
    symlink("etc", site.path("way")).unwrap();
    site.install(&[a]).await;
    assert_eq!(site.read("etc/conf.d/a.conf"), "1");

    // In a directory that everybody can write, anybody could have made it.
    let mut site = Site::new(&rule("").replace("etc/conf.d", "etc/open/way/conf.d"));
    fs::create_dir(site.path("etc/open")).unwrap();
    set_mode(&site.path("etc/open"), 0o777);
    symlink("..", site.path("etc/open/way")).unwrap();
    site.publish(&[("web", "a", "ROOT/etc/open/way/conf.d/a.conf", "1")]);
    assert!(site.refused(Attempt::Ordinary).await.contains("symbolic link"));
    assert!(!site.path("etc/conf.d/a.conf").exists());
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_written_into_without_links() {
    let mut site = Site::new(&rule("").replace("{{ application.slug }}.conf", "{{ application.slug }}/env"));
    // Only root can give a directory away; one that everybody can write is the same to the applier.
    if chown(site.path("etc/conf.d"), Some(1), None).is_err() {
        set_mode(&site.path("etc/conf.d"), 0o777);
    }
    site.install(&[("web", "a", "ROOT/etc/conf.d/a/env", "1")]).await;
    assert_eq!(site.read("etc/conf.d/a/env"), "1");
    fs::rename(site.path("etc/conf.d/a"), site.path("moved")).unwrap();
    symlink(site.path("moved"), site.path("etc/conf.d/a")).unwrap();
    site.publish(&[("web", "a", "ROOT/etc/conf.d/a/env", "2")]);
    site.refused(Attempt::Ordinary).await;
    site.publish(&[]);
    let report = site.ask(Attempt::Ordinary).await;
    assert_eq!((report.outcome, site.read("moved/env")), (Outcome::Done, "1".to_owned()), "nor is it removed there");
}

#[tokio::test]
async fn the_fixed_directory_is_never_made() {
    let mut site = Site::new(&rule("").replace("etc/conf.d", "etc/absent"));
    site.publish(&[("web", "a", "ROOT/etc/absent/a.conf", "1")]);
    let said = site.refused(Attempt::Ordinary).await;
    assert!(said.contains("is not there; make it"), "{said}");
    fs::create_dir(site.path("etc/absent")).unwrap();
    assert_eq!(site.ask(Attempt::Again).await.outcome, Outcome::Done);
    // And when it goes with all that is in it, nothing is left to be removed.
    fs::remove_dir_all(site.path("etc/absent")).unwrap();
    assert_eq!(site.install(&[]).await.removed, 0);
}

#[tokio::test]
async fn two_paths_to_one_place_are_refused() {
    let second = rule("").replace("\"web\"", "\"alias\"").replace("etc/conf.d", "etc/alias");
    let mut site = Site::new(&format!("{}{second}", rule("")));
    symlink("conf.d", site.path("etc/alias")).unwrap();
    site.publish(&[A, ("alias", "a", "ROOT/etc/alias/a.conf", "2")]);
    assert!(site.refused(Attempt::Ordinary).await.contains("the same place"));
}
