//! Whatever the plane says, in whatever order, readers have exactly the last of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::example::{Host, application, assert_same, bundle, files, snapshot};
use crate::output::Published;

type Bundles = BTreeMap<String, (String, String)>;
type Said = BTreeMap<String, (String, Bundles)>;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[xX ]{1,2}", 2 => "[y-z]", 1 => any::<String>()]
}

fn said() -> impl Strategy<Value = Said> {
    let bundles = prop::collection::btree_map("[1-3]", (name(), "[pq]|[\"$\n]{2}"), 0..3);
    prop::collection::btree_map("[a-e]", (name(), bundles), 0..5)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn folders(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a reader who comes through `current` and walks the folders learns.
fn learned(current: &Path) -> Said {
    let applications = current.join("applications");
    let mut said = Said::new();
    for folder in folders(&applications) {
        let path = applications.join(folder);
        let json = read(&path.join("application.json"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut bundles = Bundles::new();
        for folder in folders(&path.join("bundles")) {
            let path = path.join("bundles").join(folder);
            let (public, secret) = (read(&path.join("bundle.json")), read(&path.join("credentials.json")));
            assert_eq!(public["id"], secret["bundle"]["id"]);
            let password = text(&secret["credentials"]["password"]);
            bundles.insert(text(&public["id"]), (text(&public["name"]), password));
        }
        said.insert(text(&json["id"]), (text(&json["name"]), bundles));
    }
    said
}

/// What a reader of the one big file learns, with the passwords looked up through the folders that it names.
fn catalogued(current: &Path) -> Said {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let catalogue = read(&current.join("applications.json"));
    let application = |app: &Value| {
        let path = current.join("applications").join(text(&app["folder"])).join("bundles");
        let bundle = |bundle: &Value| {
            let secret = read(&path.join(text(&bundle["folder"])).join("credentials.json"));
            (text(&bundle["id"]), (text(&bundle["name"]), text(&secret["credentials"]["password"])))
        };
        let bundles = app["bundles"].as_array().unwrap().iter().map(bundle).collect();
        (text(&app["id"]), (text(&app["name"]), bundles))
    };
    catalogue["applications"].as_array().unwrap().iter().map(application).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn readers_have_the_last_snapshot_and_kept_generations_do_not_change(
        rounds in prop::collection::vec((said(), any::<bool>()), 1..7),
    ) {
        let keep = 3;
        let mut host = Host::keeping(keep);
        let mut published: Vec<(String, Said)> = Vec::new();
        for (said, restart) in rounds {
            if restart {
                host.reopen();
            }
            let applications = said.iter().map(|(id, (name, bundles))| {
                application(id, name, bundles.iter().map(|(id, (name, password))| bundle(id, name, password)))
            });
            let before = files_if_any(&host);
            match host.publish(&snapshot(applications)) {
                Published::Unchanged => {
                    prop_assert_eq!(Some(&said), published.last().map(|(_, said)| said));
                    assert_same(&before, &files_if_any(&host), "nothing was written");
                }
                Published::RolledBack(number) => prop_assert!(false, "{number} was never rolled back to"),
                Published::New { generation, changes } => {
                    let last = published.last().map(|(_, said)| said.clone()).unwrap_or_default();
                    prop_assert!(published.is_empty() || last != said);
                    let came = said.keys().filter(|id| !last.contains_key(*id)).count();
                    let went = last.keys().filter(|id| !said.contains_key(*id)).count();
                    let other = said.iter().filter(|(id, app)| last.get(*id).is_some_and(|old| old != *app)).count();
                    prop_assert_eq!(changes.added.len(), came);
                    prop_assert_eq!(changes.removed.len(), went);
                    prop_assert_eq!(changes.changed.len(), other);
                    published.push((generation.folder(), said.clone()));
                }
            }
            let current = host.root().join("current");
            prop_assert_eq!(&learned(&current), &said);
            prop_assert_eq!(&catalogued(&current), &said);
            let kept = &published[published.len().saturating_sub(keep)..];
            prop_assert_eq!(host.generations(), kept.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
            for (generation, said) in kept {
                prop_assert_eq!(&learned(&host.root().join(generation)), said);
            }
        }
    }

    #[test]
    fn what_is_remembered_between_two_polls_changes_no_byte(rounds in prop::collection::vec(said(), 1..7)) {
        let mut remembering = Host::new();
        let mut forgetful = Host::new();
        for host in [&remembering, &forgetful] {
            fs::write(host.root().parent().unwrap().join("digest.key"), [7; 32]).unwrap();
        }
        for said in rounds {
            let applications = || said.iter().map(|(id, (name, bundles))| {
                application(id, name, bundles.iter().map(|(id, (name, password))| bundle(id, name, password)))
            });
            remembering.publish(&snapshot(applications()));
            forgetful.reopen();
            forgetful.publish(&snapshot(applications()));
            assert_same(&files(&remembering.root()), &files(&forgetful.root()), "one rendering");
        }
    }

    #[test]
    fn the_same_snapshot_gives_the_same_bytes_on_every_host_with_the_same_key(said in said()) {
        let hosts = [Host::new(), Host::new()];
        let [first, second] = hosts.map(|mut host| {
            fs::write(host.root().parent().unwrap().join("digest.key"), [7; 32]).unwrap();
            let applications = said.iter().map(|(id, (name, bundles))| {
                application(id, name, bundles.iter().map(|(id, (name, password))| bundle(id, name, password)))
            });
            host.publish(&snapshot(applications));
            files(&host.root())
        });
        assert_same(&first, &second, "one rendering");
    }
}

fn files_if_any(host: &Host) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
    if host.root().exists() { files(&host.root()) } else { BTreeMap::new() }
}
