//! Templates on a real host: files for its own services, installed by root, with real units that are told; and taken back,
//! files and units, where the new ones are not taken.

use plane::Plane;

use crate::host::Host;
use crate::life::{PATIENCE, World};
use crate::packages::{Format, installed};
use crate::promises::SERVICE;

const APPLIER: &str = "runtime-agent-apply.service";

/// A service that refuses a configuration with the word `broken` in it, and tells what it has read.
const UNIT: &str = "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/usr/local/bin/demo\n\
                    ExecReload=/usr/local/bin/demo-reload\n";

const PROGRAM: &str =
    "#!/bin/sh\ncat /etc/demo/*.conf >/run/demo-read 2>/dev/null\nsystemd-notify --ready\nexec sleep infinity\n";

const RELOAD: &str = "#!/bin/sh\n! grep -q unloadable /etc/demo/*.conf || exit 1\necho reload >>/run/demo-reloads\n\
                      cat /etc/demo/*.conf >/run/demo-read\n";

const CHECK: &str = "#!/bin/sh\nif grep -l broken /etc/demo/*.conf; then echo 'demo: a broken line'; exit 1; fi\n";

const TEMPLATES: &str = r#"
[[template]]
name        = "demo"
for_each    = "application"
destination = "/etc/demo/{{ application.slug }}.conf"
content     = "name = {{ application.name | tojson }}\n"
group       = "daemon"
mode        = "0640"
validate    = ["/usr/local/bin/demo-check"]
reload      = ["demo.service", "absent.service"]
"#;

fn prepare(host: &Host) {
    host.sh("mkdir /etc/demo").ok();
    for (path, content, mode) in [
        ("/etc/systemd/system/demo.service", UNIT, 0o644),
        ("/usr/local/bin/demo", PROGRAM, 0o755),
        ("/usr/local/bin/demo-reload", RELOAD, 0o755),
        ("/usr/local/bin/demo-check", CHECK, 0o755),
    ] {
        host.write_file(path, content, mode);
    }
    host.sh("systemctl daemon-reload && systemctl start demo.service").ok();
}

fn add_templates(host: &Host) {
    let before = host.sh("cat /etc/runtime-agent/agent.toml").ok();
    host.write_file("/etc/runtime-agent/agent.toml", format!("{before}{TEMPLATES}"), 0o644);
    host.run(&["runtime-agent", "check"]).ok();
    host.run(&["systemctl", "reload", SERVICE]).ok();
}

fn rename_all(plane: &Plane, name: &str) {
    plane.edit(|model| {
        let ids: Vec<_> = model.applications.keys().cloned().collect();
        for (number, id) in ids.iter().enumerate() {
            if let Some(application) = model.application_mut(id) {
                application.name = format!("{name} {number}");
            }
        }
    });
}

fn files(host: &Host) -> String {
    host.sh("cd /etc/demo && ls -lA --time-style=+ && cat ./*.conf").ok()
}

/// Has the plane asked, and waits for what the applier and the daemon say of the generation that comes of it.
fn sync_until(host: &Host, what: &str, unit: &str, words: &str) {
    let journal = host.journal();
    host.run(&["runtime-agent", "sync"]).ok();
    journal.until(what, PATIENCE, |entry| entry.unit() == unit && entry.message().contains(words));
}

#[test]
fn files_for_a_service_are_installed_and_taken_back() {
    let world = World::new();
    let host = installed(Format::Deb);
    prepare(&host);
    world.prepare(&host);
    add_templates(&host);
    let journal = host.journal();
    world.pair(&host);
    journal.until("all to be applied", PATIENCE, |entry| {
        entry.unit() == APPLIER && entry.message().starts_with("config-changed") && entry.message().contains("done")
    });
    let listing = files(&host);
    assert_eq!(listing.matches("-rw-r----- 1 root daemon").count(), 3, "{listing}");
    assert_eq!(host.sh("cat /run/demo-reloads").ok(), "reload", "one reload, however many files");
    assert_eq!(host.sh("grep -c name /run/demo-read").ok(), "3");

    // What the service's own check refuses is taken back, and told with its words.
    rename_all(&world.plane, "broken");
    sync_until(&host, "the refusal", SERVICE, "`/usr/local/bin/demo-check`, failed with exit code 1");
    assert!(host.run(&["runtime-agent", "status"]).fails_with(5).stdout.contains("demo: a broken line"));
    assert_eq!(files(&host), listing, "exactly as before");
    assert_eq!(host.sh("cat /run/demo-reloads").ok(), "reload", "and the service was not troubled");

    // What it fails to load is taken back, and it reads the old files again.
    rename_all(&world.plane, "unloadable");
    sync_until(&host, "the refusal", SERVICE, "demo.service");
    assert_eq!(files(&host), listing);
    assert!(!host.sh("cat /run/demo-read").ok().contains("unloadable"));
    assert_eq!(host.property("demo.service", "ActiveState"), "active");

    // Mended at the plane, all is well again.
    rename_all(&world.plane, "Mended");
    sync_until(&host, "the new files", APPLIER, "done");
    assert!(host.sh("cat /run/demo-read").ok().contains("Mended 2"));
    assert_eq!(host.sh("ls -A /etc/demo | wc -l").ok(), "3", "files moved with their names, and nothing lies beside");
    host.run(&["runtime-agent", "status"]).ok();
}
