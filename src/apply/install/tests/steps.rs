//! The plan, as a function of every host there can be.

use proptest::prelude::*;

use super::*;
use crate::apply::install::found::{Found, Identity, Shape};
use crate::apply::install::plan::{Kept, Step, Wanted, Whose, plan};
use crate::apply::install::record::{Installed, InstalledFile};
use crate::config::OnConflict;

const NAMES: [&str; 3] = ["/etc/x/a", "/etc/x/b", "/etc/x/c"];

/// A file's shape, made from a digit.
fn shape(content: u8) -> Shape {
    Shape { sha256: sum(&[content]), size: 1, mode: 0o640, uid: 0, gid: 0 }
}

fn identity() -> Identity {
    Identity::of(&nix::sys::stat::stat("/").unwrap())
}

/// What lies on a host: the digit of a file, or a link.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lies {
    File(u8),
    Link,
}

type Disk = BTreeMap<PathBuf, Lies>;
type Wish = BTreeMap<PathBuf, u8>;

fn wanted(wish: &Wish, on_conflict: OnConflict) -> BTreeMap<PathBuf, Wanted> {
    wish.iter().map(|(path, content)| (path.clone(), Wanted { shape: shape(*content), on_conflict })).collect()
}

fn found(disk: &Disk, path: &Path) -> Found {
    match disk.get(path) {
        None => Found::Absent,
        Some(Lies::File(content)) => Found::File { shape: Some(shape(*content)), identity: identity() },
        Some(Lies::Link) => Found::Other("a symbolic link"),
    }
}

/// Does what the plan says. Nothing, where it refuses.
fn carry_out(steps: &BTreeMap<PathBuf, Step>, wish: &Wish, disk: &mut Disk, installed: &mut Installed) -> bool {
    if steps.values().any(|step| matches!(step, Step::Refuse(_))) {
        return false;
    }
    for (path, step) in steps {
        match step {
            Step::Nothing | Step::Create | Step::Replace { .. } => {
                let file = InstalledFile {
                    template: "web".parse().unwrap(),
                    item: crate::template::ItemPlace::default(),
                    fixed: "/etc/x".into(),
                    shape: shape(wish[path]),
                };
                installed.files.insert(path.clone(), file);
                disk.insert(path.clone(), Lies::File(wish[path]));
            }
            Step::Remove { .. } => {
                installed.files.remove(path);
                disk.remove(path);
            }
            Step::Keep(_) | Step::Forget | Step::Refuse(_) => {
                installed.files.remove(path);
            }
        }
    }
    true
}

fn wishes() -> impl Strategy<Value = Wish> {
    proptest::collection::btree_map(proptest::sample::select(&NAMES[..]).prop_map(PathBuf::from), 0..3_u8, 0..4)
}

fn edits() -> impl Strategy<Value = BTreeMap<PathBuf, Option<Lies>>> {
    let lies = prop_oneof![
        3 => (0..5_u8).prop_map(|content| Some(Lies::File(content))),
        1 => Just(None),
        1 => Just(Some(Lies::Link)),
    ];
    proptest::collection::btree_map(proptest::sample::select(&NAMES[..]).prop_map(PathBuf::from), lies, 0..3)
}

fn policies() -> impl Strategy<Value = OnConflict> {
    proptest::sample::select(&[OnConflict::Overwrite, OnConflict::Keep, OnConflict::Fail][..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever people do between: what is wanted is there, or refused, or kept as asked; nothing of theirs is lost
    /// without a copy; and a second look finds nothing to do.
    #[test]
    fn whatever_people_do_their_files_are_not_lost_and_ours_are_there(
        rounds in proptest::collection::vec((edits(), wishes(), policies()), 1..6)
    ) {
        let (mut disk, mut installed) = (Disk::new(), Installed::default());
        let mut ours = Disk::new();
        for (edits, wish, policy) in rounds {
            for (path, lies) in edits {
                match lies {
                    Some(lies) => disk.insert(path, lies),
                    None => disk.remove(&path),
                };
            }
            let before = disk.clone();
            let steps = plan(&wanted(&wish, policy), &installed, |path| found(&before, path));
            for (path, step) in &steps {
                let theirs = before.contains_key(path) && before.get(path) != ours.get(path);
                match step {
                    Step::Replace { of: Whose::Ours, .. } | Step::Remove { .. } => prop_assert!(!theirs, "{path:?}"),
                    Step::Replace { .. } => prop_assert!(policy == OnConflict::Overwrite),
                    Step::Create | Step::Forget => prop_assert!(!before.contains_key(path)),
                    Step::Keep(Kept::Asked(_)) => prop_assert!(policy == OnConflict::Keep),
                    Step::Keep(Kept::EditedAndGone) => prop_assert!(!wish.contains_key(path)),
                    Step::Nothing => prop_assert_eq!(before.get(path), Some(&Lies::File(wish[path]))),
                    Step::Refuse(_) => prop_assert!(wish.contains_key(path)),
                }
            }
            if !carry_out(&steps, &wish, &mut disk, &mut installed) {
                prop_assert_eq!(&disk, &before);
                continue;
            }
            ours = installed.files.keys().map(|path| (path.clone(), disk[path])).collect();
            for (path, content) in &wish {
                let kept = matches!(steps[path], Step::Keep(_));
                prop_assert!(kept || disk.get(path) == Some(&Lies::File(*content)));
            }
            let again = plan(&wanted(&wish, policy), &installed, |path| found(&disk, path));
            prop_assert!(again.values().all(|step| !step.acts()), "{again:?}");
        }
    }
}
