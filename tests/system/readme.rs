//! Walks through what the README says of operating and troubleshooting, on a real host: every command is run, and every
//! message that is listed is provoked, or is known to be provoked by another test.

use std::path::Path;

use plane::{Endpoint, Fault, TokenForm};

use crate::host::Host;
use crate::life::{PATIENCE, World};
use crate::packages::{Format, installed};
use crate::promises::SERVICE;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("there is a README")
}

/// What stands under a heading of the second level.
fn section<'a>(readme: &'a str, heading: &str) -> &'a str {
    let (_, rest) = readme.split_once(&format!("\n## {heading}\n")).expect("the README has such a section");
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The cells of the table that has this heading, row by row.
fn table<'a>(section: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, rest) = section.split_once(&format!("{heading}\n")).expect("the section has such a table");
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// The pieces that are set as code, between one backtick or two.
fn code(text: &str) -> Vec<&str> {
    let fence = if text.contains("``") { "``" } else { "`" };
    text.split(fence).skip(1).step_by(2).map(str::trim).collect()
}

/// The commands of the section: of its table, and of the transcripts.
fn commands(section: &str) -> Vec<String> {
    let rows = table(section, "| command | what it does |");
    let listed = rows.iter().map(|row| *code(row[0]).first().expect("a command"));
    let shown = section.lines().filter_map(|line| line.strip_prefix("$ "));
    shown.chain(listed).map(str::to_owned).collect()
}

/// How a command ends on a host where all is well, and what has to be filled in to run it.
fn run(host: &Host, command: &str) {
    let line = command.replace(" [N]", "").replace("50-orders", "50-record");
    // These follow, or show a page at a time, until somebody ends them.
    let line = if line.contains("--watch") { format!("timeout 2 {line}; test $? = 124") } else { line };
    let line =
        line.replace("journalctl", "journalctl --no-pager").replace("systemctl status", "systemctl status --no-pager");
    let said = host.sh(&line);
    assert_eq!(said.code, Some(0), "`{command}`, as the README has it, said: {}{}", said.stdout, said.stderr);
}

#[test]
fn every_command_of_the_section_on_operating_works() {
    let readme = readme();
    let world = World::new();
    let host = installed(Format::Deb);
    world.prepare(&host);
    world.pair(&host);
    // A second generation, to go back from.
    world.plane.edit(|model| drop(model.applications.pop_first()));
    host.run(&["runtime-agent", "sync", "--accept-removals"]).ok();

    let (last, others): (Vec<_>, Vec<_>) =
        commands(section(&readme, "Operate")).into_iter().partition(|command| command.contains("unpair"));
    assert!(others.len() > 12 && last.len() == 1, "{others:?} {last:?}");
    for command in others.iter().chain(&last) {
        run(&host, command);
    }
}

/// The rows of the troubleshooting table that other tests provoke, by the beginning of what is seen, with the test.
const ELSEWHERE: [(&str, &str); 18] = [
    (
        "There is no room on this host",
        "a_disk_without_room_for_what_the_plane_says_is_told_and_not_blamed_on_the_plane",
    ),
    (
        "What the plane said cannot be held",
        "what_is_kept_may_be_spoilt_under_a_running_agent_and_the_polls_after_that_mend_it",
    ),
    (
        "runtime-agent cannot run: cannot read",
        "an_identity_that_the_disk_does_not_give_is_neither_lost_nor_replaced_by_an_older_one",
    ),
    ("The token expired at", "a_token_that_has_expired_by_this_hosts_clock_is_not_sent"),
    ("… the proxy … asks for", "a_proxy_that_refuses_is_named_and_a_reload_gets_round_it"),
    ("… the proxy … makes none to", "a_proxy_that_refuses_is_named_and_a_reload_gets_round_it"),
    ("The plane wants to be told the tenant", "a_plane_that_begins_to_insist_on_a_tenant_is_told_by_name"),
    ("The plane does not know the tenant", "a_tenant_that_the_plane_does_not_know_is_told_by_name"),
    (
        "The plane takes the certificate of this host, but",
        "a_runtime_that_the_plane_does_not_know_is_not_taken_for_a_rejected_certificate",
    ),
    (
        "Pairing failed: … this host is of the type",
        "a_token_that_was_made_for_no_runtime_is_told_to_be_and_another_mends_it",
    ),
    ("rejected", "a_revoked_certificate_is_told_and_a_new_token_mends_it"),
    ("Pairing waits", "a_stranger_is_refused_by_name_and_a_reload_that_lists_it_saves_the_pairing"),
    ("The certificate is valid only from", "a_certificate_that_is_not_yet_valid_is_waited_for_and_told"),
    ("The clock of this host is wrong", "a_clock_before_the_program_was_built_is_called_wrong"),
    ("The certificate, valid until", "a_renewal_that_fails_stops_no_polls_and_is_tried_again"),
    ("The service broker cannot be served at", "an_address_that_is_taken_is_a_problem_until_another_is_named"),
    ("The service broker has no socket at", "a_socket_that_cannot_be_had_is_a_problem_on_the_board"),
    ("The certificate expired on", "an_expired_certificate_is_told_and_a_new_token_mends_it"),
];

/// Whether all pieces of a message, which has an ellipsis for what differs each time, were said in one line.
fn was_said(said: &str, message: &str) -> bool {
    said.lines().any(|line| {
        let mut rest = line;
        message.split('…').map(str::trim).filter(|piece| !piece.is_empty()).all(|piece| match rest.split_once(piece) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

/// What a host said while its troubles were gone through.
struct Troubled<'a> {
    host: &'a Host,
    world: &'a World,
    said: String,
}

impl Troubled<'_> {
    /// Runs a command that fails, and keeps what it says.
    fn fails(&mut self, command: &str) {
        let output = self.host.sh(command);
        assert_ne!(output.code, Some(0), "{command} should fail: {}", output.stdout);
        self.said += &output.stdout;
        self.said += &output.stderr;
    }

    /// Does something, and waits until the agent or the applier has said something of that.
    fn until(&self, words: &str, does: impl FnOnce(&Host)) -> String {
        let journal = self.host.journal();
        does(self.host);
        journal.until(words, PATIENCE, |entry| entry.message().contains(words)).message().to_owned()
    }

    fn drop_token(&self, token: &str) {
        self.host.write_file("/etc/runtime-agent/pairing/token", token, 0o640);
    }

    /// Changes something at the plane that the host gets to know at once.
    fn change(&self, name: &str) {
        self.world.plane.edit(|model| {
            let id = model.applications.keys().next().expect("there is an application").clone();
            model.application_mut(&id).expect("it is there").name = name.to_owned();
        });
        self.host.run(&["runtime-agent", "sync"]);
    }
}

#[test]
fn every_trouble_that_is_listed_is_told_so_and_passes_as_told() {
    let readme = readme();
    let world = World::new();
    let host = installed(Format::Deb);
    let mut troubled = Troubled { host: &host, world: &world, said: String::new() };
    troubled.said += &host.property(SERVICE, "StatusText");
    troubled.said += "\n";
    before_it_is_paired(&mut troubled);
    while_it_is_paired(&mut troubled);
    with_hooks(&mut troubled);
    with_a_broker(&mut troubled);
    with_what_the_administrator_does(&mut troubled);
    let said = troubled.said + &host.run(&["journalctl", "--no-pager", "--output=cat", "--all"]).ok();

    let tests = test_names();
    let mut missed = Vec::new();
    for row in table(section(&readme, "Troubleshoot"), "| you see | it means | do |") {
        let seen = code(row[0]);
        assert!(!seen.is_empty(), "{row:?}");
        let elsewhere = ELSEWHERE.iter().find(|(begin, _)| seen[0].starts_with(begin));
        match elsewhere {
            Some((_, test)) => assert!(tests.contains(&format!("fn {test}(")), "there is no test {test}"),
            None => missed.extend(seen.into_iter().filter(|message| !was_said(&said, message))),
        }
    }
    assert!(missed.is_empty(), "never said: {missed:#?}\namong: {said}");
}

/// The sources of all tests of whole programs, and of units.
fn test_names() -> String {
    let folders =
        ["tests/agent", "src/agent", "src/agent/trust", "src/transport", "src/pairing", "src/broker/http/tests"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).expect("it is there"));
    files.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok()).collect()
}

fn before_it_is_paired(troubled: &mut Troubled<'_>) {
    let (host, plane) = (troubled.host, &troubled.world.plane);
    host.write_file("/root/bare", "a-token-that-names-no-connector", 0o600);
    troubled.fails("runtime-agent pair --token-file /root/bare");

    let token = plane.mint_token(&troubled.world.runtime, TokenForm::Json);
    let complaint = troubled.until("may not read it", |host| {
        host.write_file("/etc/runtime-agent/pairing/token", &token, 0o600);
    });
    let command = complaint.split_once("run `").and_then(|(_, rest)| rest.split_once('`')).expect("a command").0;
    troubled.until("is not trusted", |host| drop(host.sh(command).ok()));

    troubled.until("paired with", |host| troubled.world.prepare(host));
    host.run(&["runtime-agent", "sync"]).ok();

    let token = plane.mint_token(&troubled.world.runtime, TokenForm::Json);
    plane.expire_tokens(&troubled.world.runtime);
    troubled.until("The token was refused", |_| troubled.drop_token(&token));
    troubled.until("holds no token: it is empty", |_| troubled.drop_token(""));
    troubled.until("cannot be watched", |host| {
        host.sh("rm -r /etc/runtime-agent/pairing; systemctl restart runtime-agent").ok();
    });
    host.run(&["systemd-tmpfiles", "--create", "runtime-agent.conf"]).ok();
    troubled.until("paired with", |_| {
        troubled.drop_token(&plane.mint_token(&troubled.world.runtime, TokenForm::Json));
    });
}

fn while_it_is_paired(troubled: &mut Troubled<'_>) {
    let plane = &troubled.world.plane;
    // The connection that is there ends, and there is no other.
    plane.fault(Fault::on(Endpoint::Director).reset().times(1));
    plane.fault(Fault::on(Endpoint::Director).refuse().times(1000));
    troubled.fails("runtime-agent sync");
    troubled.fails("runtime-agent sync");
    plane.clear_faults();
    plane.set_scopes(&troubled.world.runtime, &[]).expect("the runtime is known");
    troubled.fails("runtime-agent sync");
    plane.set_scopes(&troubled.world.runtime, &plane::model::RUNTIME_SCOPES).expect("the runtime is known");
    troubled.host.run(&["runtime-agent", "sync"]).ok();
}

fn with_hooks(troubled: &mut Troubled<'_>) {
    let host = troubled.host;
    host.write_file("/etc/runtime-agent/hooks.d/60-bad", "#!/bin/sh\nexit 1\n", 0o755);
    troubled.until("did not all work", |_| troubled.change("A"));
    troubled.fails("runtime-agent status");
    host.write_file("/etc/runtime-agent/hooks.d/60-bad", "#!/bin/sh\n", 0o775);
    troubled.until("chmod go-w", |_| troubled.change("B"));
    host.run(&["chmod", "go-w", "/etc/runtime-agent/hooks.d/60-bad"]).ok();
    host.run(&["systemctl", "stop", "runtime-agent-apply.socket"]).ok();
    troubled.until("cannot reach the applier", |_| troubled.change("C"));
    troubled.fails("runtime-agent status");
    troubled.until("all hooks are done", |host| {
        host.run(&["systemctl", "start", "runtime-agent-apply.socket"]).ok();
        host.run(&["runtime-agent", "sync"]).ok();
    });
}

fn with_a_broker(troubled: &mut Troubled<'_>) {
    let host = troubled.host;
    troubled.fails("runtime-agent broker bind x y --to /root/credentials.json");
    // There is no password, so the socket alone is served.
    let settings = "[broker]\nenabled = true\nlisten = \"127.0.0.1:8089\"\n";
    troubled.until("is not served at its address", |host| {
        host.write_file("/etc/runtime-agent/agent.d/20-broker.toml", settings, 0o644);
        drop(host.run(&["systemctl", "reload", SERVICE]));
    });
    let bind = "runtime-agent broker bind x y --to /tmp/credentials.json";
    troubled.fails(&format!("setpriv --reuid nobody --regid nogroup --clear-groups {bind}"));
    let store = "/var/lib/runtime-agent/broker.redb";
    troubled.until("The service broker cannot work", |host| {
        host.sh(&format!("systemctl stop {SERVICE}; echo nothing >{store}; chown runtime-agent {store}")).ok();
        host.run(&["systemctl", "start", SERVICE]).ok();
    });
    // As it says.
    host.sh(&format!("rm {store} /etc/runtime-agent/agent.d/20-broker.toml; systemctl reload {SERVICE}")).ok();
}

fn with_what_the_administrator_does(troubled: &mut Troubled<'_>) {
    let host = troubled.host;
    let good = host.read_file("/etc/runtime-agent/agent.toml");
    host.write_file("/etc/runtime-agent/agent.toml", format!("{good}\n[sync]\nintervall = \"1m\"\n"), 0o644);
    troubled.until("The new configuration is refused", |host| drop(host.run(&["systemctl", "reload", SERVICE])));
    troubled.fails("runtime-agent check");
    host.write_file("/etc/runtime-agent/agent.toml", good, 0o644);
    host.run(&["systemctl", "reload", SERVICE]).ok();
    for command in ["status", "renew"] {
        troubled.fails(&format!("setpriv --reuid nobody --regid nogroup --clear-groups runtime-agent {command}"));
    }
    host.write_file("/etc/runtime-agent/agent.d/10-test.toml", "", 0o666);
    troubled.fails("runtime-agent check");
    host.run(&["rm", "/etc/runtime-agent/agent.d/10-test.toml"]).ok();
    host.run(&["systemctl", "stop", SERVICE]).ok();
    troubled.fails("runtime-agent status");
    host.sh("rm -f /var/lib/runtime-agent/identity/*/cert.pem").ok();
    troubled.until("is lost", |host| drop(host.run(&["systemctl", "start", SERVICE]).ok()));
}
