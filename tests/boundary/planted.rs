//! What the daemon's user can plant below the state directory: nothing of it leads the applier elsewhere, makes it wait, or
//! has it tell what it alone can read.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::site::{DAEMON, Site, end, is_root, own_site};

/// What is put in the place of something.
type Plant = fn(&Site, &Path);

/// Ways to put something else in the place of a file.
const IN_PLACE_OF_A_FILE: [(&str, Plant); 9] = [
    ("a link to a secret", |site, path| symlink(site.path("precious"), path).unwrap()),
    ("a link out by the way of dots", |_, path| symlink("../../../../precious", path).unwrap()),
    ("a link to an open file", |_, path| symlink("/proc/self/fd/0", path).unwrap()),
    // As root, the secret is somebody else's; otherwise it would be a file like any other, and no secret.
    ("a second name of a secret", |site, path| {
        if is_root() { fs::hard_link(site.path("precious"), path) } else { fs::create_dir(path) }.unwrap();
    }),
    ("a pipe", |_, path| mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap()),
    ("a socket", |site, path| {
        // A socket's address is short.
        drop(UnixListener::bind(site.path("s")).unwrap());
        fs::rename(site.path("s"), path).unwrap();
    }),
    ("a folder", |_, path| fs::create_dir(path).unwrap()),
    ("a huge hole", |_, path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
    ("a device that never ends", |_, path| {
        let zero = nix::sys::stat::makedev(1, 5);
        // Where the machine lets nobody make devices, nobody can plant them either.
        if mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, zero).is_err() {
            fs::create_dir(path).unwrap();
        }
    }),
];

/// Ways to put something else in the place of a folder, of which a copy with secrets lies elsewhere.
const IN_PLACE_OF_A_FOLDER: [(&str, Plant); 3] = [
    ("a link to another folder", |site, path| {
        fs::rename(path, site.path("elsewhere/moved")).unwrap();
        symlink(site.path("elsewhere/moved"), path).unwrap();
    }),
    ("a link to the root", |_, path| {
        fs::remove_dir_all(path).unwrap();
        symlink("/", path).unwrap();
    }),
    ("a file", |_, path| {
        fs::remove_dir_all(path).unwrap();
        fs::write(path, "{}").unwrap();
    }),
];

/// One with a file installed, and another generation published.
fn about_to_change() -> Site {
    let site = Site::new();
    site.publish(1, &[("web", "a", "a.conf", "one")]);
    assert_eq!(site.ask(1).result(), "done", "{}", site.read("log"));
    site.publish(2, &[("web", "a", "a.conf", "two"), ("web", "b", "b.conf", "new")]);
    site
}

fn blob(site: &Site, generation: u64) -> PathBuf {
    let list: Value =
        serde_json::from_str(&fs::read_to_string(site.generation(generation).join("outputs.json")).unwrap()).unwrap();
    site.path("state/config/blobs").join(list["outputs"][0]["blob"].as_str().unwrap())
}

/// Asks for what cannot be trusted: nothing is done, nothing is told, and a good generation goes through then.
#[track_caller]
fn is_refused(site: &Site, what: &str) {
    let outside = || (site.tree("etc"), site.tree("elsewhere"));
    let before = outside();
    let answer = site.ask(2);
    assert_eq!(answer.result(), "refused", "{what}: {answer:?}");
    let message = answer.message();
    assert!(message.len() < 2000 && !message.contains(char::is_control), "{what}: {message:?}");
    assert_eq!(outside(), before, "{what}");
    site.keeps_its_secret();
    // The daemon puts its folders right, and publishes anew.
    let _ = fs::remove_file(site.path("state/config"));
    let _ = fs::remove_file(site.path("state/config/blobs"));
    fs::create_dir_all(site.path("state/config/blobs")).unwrap();
    site.publish(3, &[("web", "c", "c.conf", "three")]);
    let answer = site.ask(3);
    assert_eq!(answer.result(), "done", "{what}: {answer:?}");
    assert_eq!(site.read("etc/conf.d/c.conf"), "three");
    site.keeps_its_secret();
}

#[test]
fn what_is_planted_in_the_place_of_a_file_is_refused() {
    type Place = fn(&Site) -> PathBuf;
    let places: [(&str, Place); 3] = [
        ("the manifest", |site| site.generation(2).join("manifest.json")),
        ("the list", |site| site.generation(2).join("outputs.json")),
        ("a file's content", |site| blob(site, 2)),
    ];
    for (place, path) in places {
        for (what, plant) in IN_PLACE_OF_A_FILE {
            let site = about_to_change();
            let path = path(&site);
            fs::remove_file(&path).unwrap();
            plant(&site, &path);
            site.give_away();
            is_refused(&site, &format!("{what} for {place}"));
        }
    }
}

#[test]
fn what_is_planted_in_the_place_of_a_folder_is_refused() {
    for place in ["state/config", "state/config/blobs", "state/config/0002"] {
        for (what, plant) in IN_PLACE_OF_A_FOLDER {
            let site = about_to_change();
            plant(&site, &site.path(place));
            if is_root() {
                lchown(site.path(place), Some(DAEMON), Some(DAEMON)).unwrap();
            }
            is_refused(&site, &format!("{what} for {place}"));
        }
    }
}

#[test]
fn a_list_that_leads_elsewhere_is_refused() {
    let site = about_to_change();
    let good = site.entry(&("web", "a", "a.conf", "x"));
    let etc = site.path("etc").to_str().unwrap().to_owned();
    let with = |path: &[&str], value: Value| {
        let mut entry = good.clone();
        *path.iter().fold(&mut entry, |entry, name| &mut entry[*name]) = value;
        entry
    };
    let mut entries: Vec<Value> = [
        "/etc/cron.d/x",
        "../../etc/cron.d/x",
        "etc/cron.d/x",
        "",
        "/",
        "ETC/conf.d/../cron.d/x.conf",
        "ETC/conf.d",
        "ETC/conf.d/b.conf",
        "ETC/conf.d/a.conf/",
        "ETC/conf.d/a.conf\0.conf",
        "ETC/conf.d/a.conf\n",
        "ETC/conf.d/.conf",
    ]
    .map(|destination| with(&["destination"], destination.replace("ETC", &etc).into()))
    .into();
    for slug in ["../../cron.d/x", "..", ".", "", "/etc/passwd", "a/b", "a\0b", "a\nb", "A", "ä", &"a".repeat(300)] {
        let mut entry = with(&["item", "application", "slug"], slug.into());
        entry["destination"] = format!("{etc}/conf.d/{slug}.conf").into();
        entries.push(entry);
    }
    for blob in ["../../../../precious", "/etc/passwd", "", &"A".repeat(64), &"0".repeat(63), "0\0"] {
        entries.push(with(&["blob"], blob.into()));
    }
    for size in [json!(-1), json!(1.5), json!("1"), json!(u64::MAX), json!(1_u64 << 40), json!(0), json!(2)] {
        entries.push(with(&["size"], size));
    }
    entries.push(with(&["mode"], "07777777".into()));
    entries.push(with(&["template"], "unknown".into()));
    entries.push(with(&["template"], "../web".into()));
    entries.push(with(&["item"], json!({})));
    entries.push(with(&["item"], json!({"application": {"id": "a", "slug": "a"}, "path": "/etc/cron.d/x"})));
    entries.push(with(&["owner"], "root".into()));
    entries.push(json!([good.clone()]));
    let before = site.tree("etc");
    for entry in entries {
        site.publish_entries(2, std::slice::from_ref(&entry));
        let answer = site.ask(2);
        assert_eq!(answer.result(), "refused", "{entry}: {answer:?}");
        assert!(!answer.message().contains(char::is_control), "{:?}", answer.message());
        assert_eq!(site.tree("etc"), before, "{entry}");
    }
    // Its mode is that of the rule, whatever the list says; and one file is one file.
    site.publish_entries(2, &[with(&["mode"], "0644".into())]);
    assert_eq!(site.ask(2).result(), "done");
    assert_eq!(fs::metadata(site.path("etc/conf.d/a.conf")).unwrap().permissions().mode() & 0o7777, 0o640);
    site.publish_entries(2, &[good.clone(), good]);
    assert_eq!(site.ask(2).reason(), "install-refused");
    site.keeps_its_secret();
    is_refused_as_text(&site);
}

/// Lists and manifests that are far too long, too deep, or none.
fn is_refused_as_text(site: &Site) {
    let before = site.tree("etc");
    let entry = site.entry(&("web", "a", "a.conf", "x")).to_string();
    let repeated =
        |count: usize| format!("{{\"version\":1,\"outputs\":[{}{entry}]}}", format!("{entry},").repeat(count));
    let texts = [
        String::new(),
        "[".repeat(1_000_000),
        "{\"version\":1,\"outputs\":{}}".to_owned(),
        format!("{{\"version\":1,\"outputs\":[{}]}}", "{},".repeat(1_000_000)),
        repeated(200_000),
        repeated(1_000_000),
        "\0".repeat(1000),
    ];
    for name in ["outputs.json", "manifest.json"] {
        for text in &texts {
            site.publish(2, &[]);
            fs::write(site.generation(2).join(name), text).unwrap();
            let answer = site.ask(2);
            assert_eq!(answer.result(), "refused", "{name}: {} {answer:?}", &text[..text.len().min(60)]);
            assert!(answer.message().len() < 2000);
            assert_eq!(site.tree("etc"), before);
        }
    }
    site.publish(2, &[("web", "a", "a.conf", "x")]);
    assert_eq!(site.ask(2).result(), "done");
}

/// Holds a lease on the file that is named on the command line, so that who opens it is to wait; and says so.
const HOLD: &str = "use Fcntl; $| = 1; $SIG{IO} = 'IGNORE'; open(F, '+<', $ARGV[0]) or die $!; \
                    fcntl(F, 1024, F_WRLCK) or die $!; print qq(ready\\n); sleep 1000";

#[test]
fn a_lease_on_a_file_does_not_make_the_applier_wait() {
    if Command::new("perl").arg("-v").output().is_err() {
        println!("perl is not here to take a lease: left out");
        return;
    }
    for place in ["manifest.json", "outputs.json"] {
        let site = about_to_change();
        let path = site.generation(2).join(place);
        let mut perl = Command::new("perl");
        perl.args(["-e", HOLD]).arg(&path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(site.log());
        let mut holder = perl.spawn().unwrap();
        let mut said = [0; 6];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said).unwrap_or_else(|error| {
            panic!("no lease is taken: {error}: {}", site.read("log"));
        });
        let began = std::time::Instant::now();
        let answer = site.ask(2);
        // The kernel takes a lease away after this many seconds, 45 unless somebody says otherwise.
        let limit = fs::read_to_string("/proc/sys/fs/lease-break-time").unwrap().trim().parse().unwrap();
        assert!(began.elapsed().as_secs() < limit, "it waited until the kernel took the lease away");
        assert_eq!(answer.reason(), "generation-unreadable", "{answer:?}");
        assert!(answer.message().contains("somebody holds it"), "{answer:?}");
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(site.ask(2).result(), "done");
    }
}

/// Swaps what lies in the state directory for something else and back, until it is killed. It does something only where
/// the test below starts it.
#[test]
#[ignore = "is the child process of another test"]
fn swapper() {
    let Some(root) = own_site() else { return };
    let files = ["0002/manifest.json", "0002/outputs.json", "blobs/BLOB"];
    let blob = fs::read_to_string(root.join("blob")).unwrap();
    let config = root.join("state/config");
    let (secret, good, bad) = (root.join("precious"), config.join(".good"), config.join(".bad"));
    println!("ready");
    std::io::stdout().flush().unwrap();
    // What cannot be done at a moment (for the other one is under way there) is done at the next.
    for turn in 0_usize.. {
        let file = config.join(files[turn % files.len()].replace("BLOB", &blob));
        match turn % 7 {
            0 => drop(symlink(&secret, &bad)),
            1 => drop(fs::hard_link(&secret, &bad)),
            2 => drop(mkfifo(&bad, Mode::S_IRUSR)),
            3 => drop(fs::write(&bad, vec![b'x'; 1 << 20])),
            4 => drop(fs::write(&bad, "tw")),
            5 => drop(fs::write(&bad, "")),
            _ => drop(File::create(&bad).and_then(|file| file.set_len(1 << 40))),
        }
        let _ = fs::hard_link(&file, &good);
        let _ = fs::rename(&bad, &file);
        let _ = fs::remove_file(&bad);
        std::thread::yield_now();
        let _ = fs::rename(&good, &file);
        let _ = fs::remove_file(&good);
        if turn % 5 == 0 {
            let _ = fs::rename(config.join("0002"), config.join(".away"));
            let _ = symlink(root.join("elsewhere"), config.join("0002"));
            std::thread::yield_now();
            let _ = fs::remove_file(config.join("0002"));
            let _ = fs::rename(config.join(".away"), config.join("0002"));
        }
    }
}

#[test]
fn files_that_are_swapped_while_they_are_read_are_installed_as_they_are_meant_or_not_at_all() {
    let site = about_to_change();
    let name = blob(&site, 2);
    fs::write(site.path("blob"), name.file_name().unwrap().to_str().unwrap()).unwrap();
    let swapping = site.as_daemon("planted::swapper");
    let (mut done, mut refused) = (0, 0);
    for _ in 0..150 {
        let before = site.tree("etc");
        let answer = site.ask_again(2);
        match answer.result() {
            "done" => done += 1,
            "failed" | "refused" => {
                assert_eq!(site.tree("etc"), before, "{answer:?}");
                refused += 1;
            }
            _ => panic!("{answer:?}"),
        }
        let a = site.read("etc/conf.d/a.conf");
        // The second is as long as the list says, for a moment: whose it is does not change, nor where it goes.
        assert!(["one", "two"].contains(&a.as_str()), "{a:?}");
        site.keeps_its_secret();
        // The old one again, so that there is something to install.
        fs::write(site.path("etc/conf.d/a.conf"), "one").unwrap();
    }
    end(swapping);
    println!("{done} were installed, {refused} were not");
    assert!(done + refused == 150 && refused > 0, "the swaps were met: {done} and {refused}");
    assert!(site.tree("elsewhere").is_empty());
    fs::remove_dir_all(site.path("state/config")).unwrap();
    fs::create_dir_all(site.path("state/config/blobs")).unwrap();
    site.publish(3, &[("web", "a", "a.conf", "three")]);
    assert_eq!(site.ask(3).result(), "done");
    assert_eq!(site.read("etc/conf.d/a.conf"), "three");
}
