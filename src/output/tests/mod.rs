//! The promises of the output folder, held against real folders.

mod bindings;
mod damage;
mod example;
mod property;
mod secrets;

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::manifest::GenerationNumber;
use super::{OutputError, Published};
use example::{Host, application, assert_same, bundle, files, snapshot};

#[test]
fn the_same_snapshot_writes_nothing_at_all() {
    let mut host = Host::new();
    let said = snapshot([application("a", "Shop", [bundle("1", "Orders", "pw")]), application("b", "Crm", [])]);
    assert!(matches!(host.publish(&said), Published::New { .. }));
    let stamp = |host: &Host| fs::metadata(host.root()).unwrap().ctime_nsec();
    let (before, stamped) = (files(&host.root()), stamp(&host));
    assert_eq!(host.publish(&said), Published::Unchanged);
    host.reopen();
    assert_eq!(host.publish(&said), Published::Unchanged);
    assert_same(&files(&host.root()), &before, "nothing was written");
    assert_eq!(stamp(&host), stamped);
}

#[test]
fn readers_find_everything_below_current_with_the_right_modes() {
    let mut host = Host::new();
    host.publish(&snapshot([application("a", "Shop 1", [bundle("1", "Orders", "pw")])]));
    assert_eq!(fs::read_link(host.root().join("current")).unwrap().to_str(), Some("0001"));
    for (path, mode) in [
        ("manifest.json", 0o644),
        ("applications.json", 0o644),
        ("applications/shop-1/application.json", 0o644),
        ("applications/shop-1/bundles/orders/bundle.json", 0o644),
        ("applications/shop-1/bundles/orders/credentials.json", 0o640),
        ("applications/shop-1/bundles/orders/credentials.env", 0o640),
    ] {
        let metadata = fs::metadata(host.root().join("current").join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{path}");
    }
}

#[test]
fn an_application_that_does_not_change_keeps_its_object_and_its_link() {
    let mut host = Host::new();
    let quiet = || application("a", "Shop", [bundle("1", "Orders", "pw")]);
    host.publish(&snapshot([quiet(), application("b", "Crm", [bundle("2", "People", "one")])]));
    let object = |host: &Host, app: &str| fs::read_link(host.root().join("current/applications").join(app)).unwrap();
    let inode =
        |host: &Host| fs::metadata(host.root().join("current/applications/shop/application.json")).unwrap().ino();
    // And its link: a change of one among thousands makes and frees one.
    let link = |host: &Host, app: &str| {
        fs::symlink_metadata(host.root().join("current/applications").join(app)).unwrap().ino()
    };
    let before = (object(&host, "shop"), inode(&host), link(&host, "shop"));
    let changed = link(&host, "crm");
    let Published::New { changes, .. } =
        host.publish(&snapshot([quiet(), application("b", "Crm", [bundle("2", "People", "two")])]))
    else {
        panic!("a new password is a change");
    };
    assert_eq!((object(&host, "shop"), inode(&host), link(&host, "shop")), before);
    assert_ne!(link(&host, "crm"), changed);
    assert_eq!((changes.added.len(), changes.changed.len(), changes.removed.len()), (0, 1, 0));
    assert_eq!(changes.changed[0].id.as_str(), "b");
}

#[test]
fn old_generations_and_their_objects_go_and_the_last_ones_stay() {
    let mut host = Host::keeping(2);
    for password in ["one", "two", "three", "four"] {
        host.publish(&snapshot([application("a", "Shop", [bundle("1", "Orders", password)])]));
    }
    assert_eq!(host.generations(), ["0003", "0004"]);
    assert_eq!(fs::read_dir(host.root().join("objects")).unwrap().count(), 2);
}

#[test]
fn an_empty_snapshot_is_a_generation_like_any_other() {
    let mut host = Host::new();
    host.publish(&snapshot([]));
    assert_eq!(fs::read_dir(host.root().join("current/applications")).unwrap().count(), 0);
    assert_eq!(host.publish(&snapshot([])), Published::Unchanged);
}

#[test]
fn names_survive_a_restart() {
    let mut host = Host::new();
    let twins = |first: &str| {
        snapshot([
            application(first, "Shop", [bundle(&format!("{first}1"), "Orders", "x")]),
            application("m", "Shop", [bundle("9", "Orders", "x"), bundle("5", "Orders", "x")]),
        ])
    };
    host.publish(&snapshot([application("m", "Shop", [bundle("9", "Orders", "x")])]));
    host.reopen();
    host.publish(&twins("a"));
    let manifest = host.store().current().unwrap().clone();
    assert_eq!(manifest.applications[&"m".parse().unwrap()].folder.as_str(), "shop", "the holder keeps it");
    let bundle = |folder: &str| {
        let path = host.root().join("current/applications/shop/bundles").join(folder).join("bundle.json");
        serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap()["id"].clone()
    };
    assert_eq!(bundle("orders"), "9", "and so does the bundle inside");
}

#[test]
fn a_snapshot_that_lists_a_bundle_twice_changes_nothing() {
    let mut host = Host::new();
    host.publish(&snapshot([application("a", "Shop", [bundle("1", "Orders", "pw")])]));
    let before = files(&host.root());
    let torn = snapshot([application("a", "Shop", [bundle("1", "Orders", "pw"), bundle("1", "People", "pw")])]);
    let error = host.store().publish(&torn, jiff::Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(matches!(error, OutputError::Repeated(_)));
    assert_eq!(error.to_string(), "the application a lists the bundle 1 twice, so nothing is published");
    assert_same(&files(&host.root()), &before, "nothing differs");
}

#[test]
fn a_failed_publication_names_the_place_and_leaves_the_old_one() {
    let mut host = Host::new();
    host.publish(&snapshot([application("a", "Shop", [])]));
    let before = files(&host.root());
    let in_the_way = host.root().join("0002");
    fs::create_dir_all(in_the_way.join("x")).unwrap();
    let next = snapshot([application("a", "Shop", [bundle("1", "Orders", "pw")])]);
    let error = host.store().publish(&next, jiff::Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(error.to_string().contains(in_the_way.to_str().unwrap()), "{error}");
    let mut after = files(&host.root());
    assert!(after.remove(".highest").is_some(), "the number counts as seen");
    assert_same(&after, &before, "what was begun is gone");
    let Published::New { generation, .. } = host.publish(&next) else { panic!("there is something new") };
    assert_eq!(Some(generation), GenerationNumber::from_folder("0003"));
}

#[test]
fn all_groups_come_from_the_folder_above() {
    let mut host = Host::keeping(1);
    fs::create_dir(host.root()).unwrap();
    // Only root may choose a foreign group; everybody may set the bit for a group of their own.
    let _ = std::os::unix::fs::chown(host.root(), None, Some(54_321));
    fs::set_permissions(host.root(), fs::Permissions::from_mode(0o2755)).unwrap();
    let group = fs::metadata(host.root()).unwrap().gid();
    host.reopen();
    host.publish(&snapshot([application("a", "Shop", [bundle("1", "Orders", "pw")])]));
    for (path, (mode, gid, _)) in files(&host.root()) {
        assert_eq!(gid, group, "{path}");
        assert_eq!(mode & 0o2000 != 0, mode & 0o170_000 == 0o040_000, "folders hand the group on: {path}");
    }
}

#[test]
fn a_generation_that_never_became_current_goes_and_its_number_is_not_given_again() {
    let mut host = Host::keeping(5);
    host.publish(&snapshot([application("a", "Shop", [])]));
    fs::create_dir_all(host.root().join("0007/applications")).unwrap();
    host.reopen();
    assert_eq!(host.generations(), ["0001"]);
    host.reopen();
    let Published::New { generation, .. } = host.publish(&snapshot([])) else { panic!("one application went") };
    assert_eq!(Some(generation), GenerationNumber::from_folder("0008"));
}

#[test]
fn leftovers_of_an_interrupted_run_are_swept_and_foreign_things_stay() {
    let mut host = Host::keeping(NonZeroUsize::MIN.get());
    host.publish(&snapshot([application("a", "Shop", [])]));
    let before = files(&host.root());
    fs::create_dir_all(host.root().join(".tmp-x/applications")).unwrap();
    fs::create_dir_all(host.root().join("objects/.tmp-y/bundles")).unwrap();
    fs::create_dir_all(host.root().join("objects").join("f".repeat(64))).unwrap();
    host.reopen();
    assert_same(&files(&host.root()), &before, "nothing differs");
    fs::create_dir(host.root().join("objects/lost+found")).unwrap();
    host.reopen();
    assert!(host.root().join("objects/lost+found").exists());
}

#[test]
fn the_names_of_what_the_plane_said_are_not_told_while_the_files_are_others() {
    let mut host = Host::new();
    let said = |password: &str| snapshot([application("a", "Shop", [bundle("1", "Orders", password)])]);
    assert!(host.store().names().is_none(), "nothing was said yet");
    host.publish(&said("one"));
    host.publish(&said("two"));
    assert!(host.store().names().is_some());
    host.store().roll_back(None).unwrap();
    host.publish(&said("three"));
    assert!(host.store().names().is_none());
    host.store().resume().unwrap();
    host.publish(&said("three"));
    assert!(host.store().names().is_some());
}
