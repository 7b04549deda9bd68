//! The life of a host, as its administrator sees it: a token is dropped, files come, hooks run, the journal tells the
//! story; and none of a restart, a kill and an upgrade loses any of it.

use std::collections::BTreeSet;
use std::time::Duration;

use plane::{Generate, Options as PlaneOptions, Plane, TokenForm};
use tokio::runtime::Runtime;

use crate::host::{Host, Options};
use crate::packages::{Format, installed};
use crate::promises::{SERVICE, assert_healthy};

/// How long anything may take before the test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the agent writes for everybody, and for the readers of credentials.
const CONFIG: &str = "/var/lib/runtime-agent/config";

/// A plane on this machine, which the hosts reach because they share its network.
pub(crate) struct World {
    /// Serves the plane in the background, as long as it lives.
    _executor: Runtime,
    pub(crate) plane: Plane,
    pub(crate) runtime: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let executor = Runtime::new().expect("a machine that runs tests has threads");
        let plane = executor.block_on(Plane::start(PlaneOptions::default())).expect("the plane starts");
        let runtime = plane.register_runtime("host-1");
        plane.generate(Generate { applications: 3, bundles: 2, apis: 2, events: 1, ..Generate::default() });
        Self { _executor: executor, plane, runtime }
    }

    /// What an administrator does before the token comes.
    pub(crate) fn prepare(&self, host: &Host) {
        host.write_file("/etc/runtime-agent/plane-ca.pem", self.plane.server_ca_pem(), 0o644);
        let settings = "[plane]\nca_bundle = \"/etc/runtime-agent/plane-ca.pem\"\n[report]\nevents_url = \
                        \"https://events.host-1.example.com\"\nconsole_url = \"https://console.host-1.example.com\"\n";
        host.write_file("/etc/runtime-agent/agent.toml", settings, 0o644);
        let hook = "#!/bin/sh\nid -un >>/var/log/hook-user\ncat >>/var/log/hook-input\necho >>/var/log/hook-input\n\
                    echo the hook was here\n";
        host.write_file("/etc/runtime-agent/hooks.d/50-record", hook, 0o755);
        host.run(&["systemctl", "reload", SERVICE]).ok();
    }

    /// Drops a token as `cp` does, and waits until all that comes of it is done.
    pub(crate) fn pair(&self, host: &Host) {
        let journal = host.journal();
        let token = self.plane.mint_token(&self.runtime, TokenForm::Json);
        host.write_file("/etc/runtime-agent/pairing/token", token, 0o640);
        journal.until("the last label", PATIENCE, |entry| entry.message().contains("runtime_eventServiceUrl is set"));
    }

    fn connector_requests(&self) -> usize {
        self.plane.requests().iter().filter(|request| request.endpoint != plane::Endpoint::Director).count()
    }

    /// Every secret that the plane handed out, and what is secret of the host itself.
    fn canaries(&self, host: &Host) -> Vec<String> {
        let key = host.sh("grep -h -v -- ----- /var/lib/runtime-agent/identity/*/key.pem").ok();
        let mut canaries = self.plane.canaries();
        canaries.extend(key.lines().map(str::to_owned));
        assert!(canaries.len() > 20, "There is hardly anything to look for: {} secrets.", canaries.len());
        canaries
    }
}

fn status_text(host: &Host) -> String {
    host.property(SERVICE, "StatusText")
}

/// The identity's number, the generation's, and the tree of names.
fn possessions(host: &Host) -> String {
    host.sh("readlink /var/lib/runtime-agent/identity/current /var/lib/runtime-agent/config/current
             cd /var/lib/runtime-agent/config/current/ && find -L . | sort")
        .ok()
}

fn assert_a_life_from_token_to_removal(format: Format) {
    let world = World::new();
    let host = installed(format);
    world.prepare(&host);

    // Before any token, all is well, and systemd says what the agent waits for.
    assert_healthy(&host);
    assert!(
        status_text(&host).contains("waiting for a token in /etc/runtime-agent/pairing/token"),
        "{}",
        status_text(&host)
    );
    host.run(&["runtime-agent", "status"]).fails_with(3);

    world.pair(&host);
    assert!(status_text(&host).starts_with("paired with 127.0.0.1:"), "{}", status_text(&host));
    assert!(status_text(&host).contains("; 3 applications; synchronised "), "{}", status_text(&host));
    let status = host.run(&["systemctl", "status", "--no-pager", SERVICE]).ok();
    assert!(status.contains("Status: \"paired with"), "{status}");
    host.run(&["runtime-agent", "status"]).ok();
    assert_eq!(host.sh("ls -A /etc/runtime-agent/pairing").ok(), "", "A used token must not lie about.");
    let labels = world.plane.runtime_labels(&world.runtime);
    assert_eq!(labels["runtime_eventServiceUrl"], "https://events.host-1.example.com");
    assert_eq!(labels["runtime_consoleUrl"], "https://console.host-1.example.com");

    assert_files(&host);
    assert_hook_ran(&host);
    assert_story(&host);
    assert_no_secret_shows(&world, &host);

    // A restart, a kill and an upgrade: the agent goes on with what it has, and asks the Connector for nothing.
    let before = (possessions(&host), world.connector_requests());
    host.run(&["systemctl", "restart", SERVICE]).ok();
    host.run(&["runtime-agent", "sync"]).ok();
    assert_eq!((possessions(&host), world.connector_requests()), before, "after a restart");

    let journal = host.journal();
    host.sh("kill -9 $(systemctl show --property=MainPID --value runtime-agent.service)").ok();
    journal
        .until("the next start", PATIENCE, |entry| entry.unit() == SERVICE && entry.message().starts_with("Started "));
    host.run(&["runtime-agent", "sync"]).ok();
    assert_eq!((possessions(&host), world.connector_requests()), before, "after a kill");

    format.install(&host, &format.upgrade());
    host.run(&["runtime-agent", "sync"]).ok();
    assert_eq!((possessions(&host), world.connector_requests()), before, "after an upgrade");
    assert!(status_text(&host).starts_with("paired with"), "{}", status_text(&host));
    assert_no_secret_shows(&world, &host);
}

/// Files are where they are promised to be, for those they are promised to.
fn assert_files(host: &Host) {
    let modes = host.sh(&format!("find -L {CONFIG}/current/ -type f -printf '%f %m %u:%g\\n'")).ok();
    let modes: BTreeSet<&str> = modes.lines().collect();
    let expected = [
        "application.json 644 runtime-agent:runtime-agent-credentials",
        "applications.json 644 runtime-agent:runtime-agent-credentials",
        "bundle.json 644 runtime-agent:runtime-agent-credentials",
        "credentials.env 640 runtime-agent:runtime-agent-credentials",
        "credentials.json 640 runtime-agent:runtime-agent-credentials",
        "manifest.json 644 runtime-agent:runtime-agent-credentials",
    ];
    assert_eq!(modes, BTreeSet::from(expected));
    let bundles = host.sh(&format!("ls -d {CONFIG}/current/applications/*/bundles/*/bundle.json | wc -l")).ok();
    assert_eq!(bundles, "6");
    let identity =
        host.sh("cd /var/lib/runtime-agent/identity; stat --format='%a %U:%G' . current/ current/key.pem").ok();
    let owner = "runtime-agent:runtime-agent-identity";
    assert_eq!(identity, format!("2750 {owner}\n2750 {owner}\n640 {owner}"));

    // Anybody finds out what there is; only members of the group get to the credentials.
    let anybody = |group: &str, script: &str| {
        host.run(&["setpriv", "--reuid=nobody", "--clear-groups", "--regid", group, "sh", "-c", script])
    };
    anybody("nogroup", &format!("cat {CONFIG}/current/applications.json")).ok();
    anybody("nogroup", &format!("cat {CONFIG}/current/applications/*/bundles/*/credentials.json")).fails_with(1);
    anybody("runtime-agent-credentials", &format!("cat {CONFIG}/current/applications/*/bundles/*/credentials.json"))
        .ok();

    // systemd itself reads what is meant for it.
    host.sh(&format!(
        "for file in {CONFIG}/current/applications/*/bundles/*/credentials.env; do
             systemd-run --quiet --wait --pipe --property=EnvironmentFile=$file sh -c 'test -n \"$BUNDLE_ID\"'
         done"
    ))
    .ok();
}

/// Hooks ran as root, in the applier, and were told what is new.
fn assert_hook_ran(host: &Host) {
    let users = host.read_file("/var/log/hook-user");
    assert!(users.lines().count() >= 2 && users.lines().all(|user| user == "root"), "{users:?}");
    let input = host.read_file("/var/log/hook-input");
    let documents: Vec<serde_json::Value> =
        input.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(documents.iter().any(|document| document["event"] == "paired"), "{input}");
    let change = documents.iter().find(|document| document["event"] == "config-changed").expect("a change was told");
    assert_eq!(change["added"].as_array().map(Vec::len), Some(3), "{input}");
    host.wait_for_journal("the hook's own words", PATIENCE, |entry| {
        entry.message().contains("the hook was here")
            && entry.field("HOOK") == "50-record"
            && entry.unit() == "runtime-agent-apply.service"
    });
}

/// The journal tells the story, with fields to look for.
fn assert_story(host: &Host) {
    let mut entries = Vec::new();
    let text = host.run(&["journalctl", "--unit", SERVICE, "--output=json", "--no-pager"]).ok();
    for line in text.lines() {
        entries.push(serde_json::from_str::<serde_json::Value>(line).expect("journalctl writes JSON"));
    }
    let any = |field: &str, value: Option<&str>| {
        entries.iter().any(|entry| entry[field].as_str().is_some_and(|found| value.is_none_or(|value| found == value)))
    };
    assert!(any("STATE", Some("unpaired")), "{text}");
    assert!(any("APPLICATION_ID", None) && any("GENERATION", Some("1")) && any("RUNTIME_ID", None), "{text}");
    assert!(any("SYSLOG_IDENTIFIER", Some("runtime-agent")), "{text}");
    let loud = entries.iter().filter(|entry| entry["PRIORITY"].as_str().is_some_and(|priority| priority < "5"));
    assert_eq!(loud.count(), 0, "Nothing went wrong, so nothing warns: {text}");
}

/// No secret shows anywhere but in the files that are made for it.
fn assert_no_secret_shows(world: &World, host: &Host) {
    let outputs = host
        .sh("journalctl --no-pager --output=export --all
             systemctl status --no-pager 'runtime-agent*'
             systemctl show 'runtime-agent*'
             runtime-agent status
             runtime-agent status --json
             cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'
             cat /var/log/hook-input
             find /var/lib/runtime-agent /var/lib/runtime-agent-apply /run/runtime-agent /etc/runtime-agent \\
                 -type f ! -name key.pem ! -name 'credentials.*' ! -name digest.key ! -name snapshot.json -exec cat {} +")
        .ok();
    assert!(
        outputs.contains("applications.json") || outputs.len() > 10_000,
        "There is hardly anything to look through."
    );
    for canary in world.canaries(host) {
        assert!(!outputs.contains(&canary), "A secret shows: {canary}");
    }
}

#[test]
fn a_deb_host_lives_from_token_to_upgrade_without_losing_or_showing_anything() {
    assert_a_life_from_token_to_removal(Format::Deb);
}

#[test]
fn an_rpm_host_lives_from_token_to_upgrade_without_losing_or_showing_anything() {
    assert_a_life_from_token_to_removal(Format::Rpm);
}

#[test]
fn a_token_among_the_system_credentials_pairs_the_host() {
    let world = World::new();
    let token = world.plane.mint_token(&world.runtime, TokenForm::Base64);
    let host = Host::boot(Options::default().credential("runtime-agent.token", &token));
    Format::Deb.install(&host, &Format::Deb.current());
    // At first the plane's server is not trusted; the token waits until the administrator has seen to that.
    world.prepare(&host);

    host.wait_for_journal("the pairing", PATIENCE, |entry| entry.message().starts_with("paired with"));
    let requests = world.connector_requests();
    host.run(&["systemctl", "restart", SERVICE]).ok();
    host.run(&["runtime-agent", "sync"]).ok();
    assert_eq!(world.connector_requests(), requests, "The credential is there again, and its token is spent.");
}

#[test]
fn a_paired_host_that_is_purged_keeps_nothing() {
    let world = World::new();
    let host = installed(Format::Deb);
    world.prepare(&host);
    world.pair(&host);

    host.run(&["dpkg", "--purge", "runtime-agent"]).ok();

    let left =
        host.sh("ls -d /etc/runtime-agent* /var/lib/runtime-agent* /run/runtime-agent* 2>/dev/null || true").ok();
    assert_eq!(left, "");
}

#[test]
fn the_pair_command_waits_until_the_host_is_paired_or_the_token_refused() {
    let world = World::new();
    let host = installed(Format::Deb);
    world.prepare(&host);

    let refused = host.run_with_input(&["runtime-agent", "pair"], "no-such-token-at-this-plane").fails_with(5);
    assert!(refused.stderr.contains("plane.connector_url is not configured"), "{}", refused.stderr);

    let token = world.plane.mint_token(&world.runtime, TokenForm::KeyValue);
    let paired = host.run_with_input(&["runtime-agent", "pair"], &token).ok();
    assert!(paired.contains("paired with 127.0.0.1:"), "{paired}");

    let spent = host.run_with_input(&["runtime-agent", "pair"], &token);
    assert_eq!(spent.code, Some(0), "The token that paired the host is known: {}", spent.stderr);
}

#[test]
fn a_token_that_the_daemon_may_not_read_is_answered_with_the_command_that_mends_it() {
    let world = World::new();
    let host = installed(Format::Deb);
    world.prepare(&host);

    let journal = host.journal();
    host.write_file("/etc/runtime-agent/pairing/token", world.plane.mint_token(&world.runtime, TokenForm::Json), 0o600);
    let entry = journal.until("the complaint", PATIENCE, |entry| entry.message().contains("may not read it"));
    let command = entry.message().split_once("run `").and_then(|(_, rest)| rest.split_once('`')).expect("a command").0;

    host.sh(command).ok();
    journal.until("the pairing", PATIENCE, |entry| entry.message().starts_with("paired with"));
}
