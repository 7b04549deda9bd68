//! What happens to an output folder that somebody or something damaged.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::example::{Host, application, assert_same, bundle, files, snapshot};
use crate::output::Published;
use crate::output::manifest::GenerationNumber;
use crate::snapshot::Snapshot;

/// Damages the folder of a generation.
type Damage = fn(&Path);

fn said() -> std::sync::Arc<Snapshot> {
    snapshot([
        application("a", "Shop", [bundle("1", "Orders", "pw")]),
        application("b", "Shop", [bundle("2", "Orders", "pw")]),
    ])
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_damaged_generation_stays_for_its_readers_until_a_complete_one_takes_its_place() {
    let damages: [(&str, Damage); 11] = [
        ("a manifest that ends early", |current| {
            let path = current.join("manifest.json");
            fs::write(&path, &fs::read(&path).unwrap()[..50]).unwrap();
        }),
        ("an unknown version", |current| edit(&current.join("manifest.json"), "\"version\": 1", "\"version\": 99")),
        ("another generation's manifest", |current| {
            edit(&current.join("manifest.json"), "\"generation\": 2", "\"generation\": 1");
        }),
        ("no manifest", |current| fs::remove_file(current.join("manifest.json")).unwrap()),
        ("no list", |current| fs::remove_file(current.join("applications.json")).unwrap()),
        ("a link too few", |current| fs::remove_file(current.join("applications/shop")).unwrap()),
        ("a link too many", |current| symlink("shop", current.join("applications/more")).unwrap()),
        ("a link elsewhere", |current| {
            fs::remove_file(current.join("applications/shop")).unwrap();
            symlink("/etc", current.join("applications/shop")).unwrap();
        }),
        ("an edited file", |current| {
            edit(&current.join("applications/shop/application.json"), "what it is for", "what it is not for");
        }),
        ("a secret for everybody", |current| {
            let path = current.join("applications/shop/bundles/orders/credentials.json");
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("no object", |current| {
            fs::remove_dir_all(current.join("applications/shop").canonicalize().unwrap()).unwrap();
        }),
    ];
    for (damage, apply) in damages {
        let mut host = Host::new();
        host.publish(&snapshot([]));
        host.publish(&said());
        let whole = files(&host.root().join("objects"));
        apply(&host.root().join("current"));
        let damaged = files(&host.root());
        host.reopen();
        assert_eq!(host.store().current(), None, "{damage}");
        assert_same(&files(&host.root()), &damaged, &format!("{damage}: readers keep what is there"));
        let Published::New { generation, changes } = host.publish(&said()) else {
            panic!("{damage}: nothing was done")
        };
        assert_eq!(Some(generation), GenerationNumber::from_folder("0003"), "{damage}");
        assert_eq!(changes.added.len(), 2, "{damage}: all of it is new");
        assert_same(&files(&host.root().join("objects")), &whole, &format!("{damage}: the objects are whole again"));
        host.reopen();
        assert_eq!(host.publish(&said()), Published::Unchanged, "{damage}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_put_right_and_older_generations_stay() {
    for target in ["0009", "objects", "../../etc"] {
        let mut host = Host::new();
        host.publish(&said());
        fs::remove_file(host.root().join("current")).unwrap();
        symlink(target, host.root().join("current")).unwrap();
        host.reopen();
        assert_eq!(host.store().current(), None);
        assert_eq!(host.generations(), ["0001"]);
        let Published::New { generation, .. } = host.publish(&said()) else { panic!("nothing was done") };
        let expected = if target == "0009" { "0010" } else { "0002" };
        assert_eq!(Some(generation), GenerationNumber::from_folder(expected), "no number is given twice");
    }
}

#[test]
fn when_a_generation_cannot_be_read_no_object_is_removed() {
    let mut host = Host::new();
    host.publish(&said());
    host.publish(&snapshot([]));
    fs::remove_dir_all(host.root().join("0001/applications")).unwrap();
    let objects = files(&host.root().join("objects"));
    host.reopen();
    host.publish(&snapshot([application("c", "New", [])]));
    host.publish(&snapshot([]));
    let left = files(&host.root().join("objects"));
    assert!(objects.keys().all(|path| left.contains_key(path)));
}

#[test]
fn a_lost_key_means_new_names_and_nothing_else() {
    let mut host = Host::new();
    host.publish(&said());
    fs::remove_file(host.root().parent().unwrap().join("digest.key")).unwrap();
    host.reopen();
    assert!(matches!(host.publish(&said()), Published::New { .. }));
    host.reopen();
    assert_eq!(host.publish(&said()), Published::Unchanged);
}

#[test]
fn an_edit_of_the_list_of_applications_is_not_carried_on_to_the_next_generation() {
    let mut host = Host::new();
    host.publish(&said());
    let list = host.root().join("current/applications.json");
    let whole = fs::read_to_string(&list).unwrap();
    edit(&list, "what it is for", "WHAT IT IS FOR");
    host.publish(&snapshot([
        application("a", "Shop", [bundle("1", "Orders", "pw")]),
        application("b", "Shop", [bundle("2", "Orders", "another")]),
    ]));
    assert_eq!(fs::read_to_string(&list).unwrap(), whole.replace("\"generation\": 1", "\"generation\": 2"));
}
