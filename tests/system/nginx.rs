//! The whole way to a service that applications are used through: the ready example for nginx, with Debian's nginx, real
//! requests, and all that can go wrong with a template, a reload and a hook.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use plane::model::{ApiDefinition, Application, Auth, Bundle, Credential, Parameters};

use crate::host::Host;
use crate::life::{PATIENCE, World};
use crate::packages::{Format, installed};
use crate::promises::{APPLIER, SERVICE};

const TEMPLATE: &str = "/etc/runtime-agent/templates/nginx-bundle.conf.j2";
const CONFIG: &str = "/etc/runtime-agent/agent.toml";
const SITES: &str = "/etc/nginx/conf.d";

/// How nginx of the ready example is reached, and how it is reached here: hosts share the machine's network.
const PORT: &str = "listen 127.0.0.1:8080;";
const LISTENER: &str = "listen unix:/run/applications.sock;";

/// An application's API: answers each request with the head of it.
struct Echo {
    address: String,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a machine that runs tests has a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let head: String = lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{head}", head.len());
                // Who asks and does not wait for the answer is no concern of the API's.
                drop((&stream).write_all(answer.as_bytes()));
            }
        });
        Self { address }
    }
}

fn application(name: &str, api: &Echo, password: &str) -> Application {
    let id = name.to_lowercase();
    let auth = Auth {
        credential: Some(Credential::Basic { username: format!("user-{id}"), password: password.to_owned() }),
        additional_headers: Some(Parameters::from([("X-Tenant".to_owned(), vec![format!("tenant \"{id}\"")])])),
        ..Auth::default()
    };
    let definition = ApiDefinition {
        id: format!("{id}-api"),
        name: "Stock".into(),
        target_url: Some(format!("http://{}/{id}/v1", api.address)),
        ..ApiDefinition::default()
    };
    let bundle = Bundle {
        id: format!("{id}-bundle"),
        name: "Orders".into(),
        default_instance_auth: Some(auth),
        api_definitions: vec![definition],
        ..Bundle::default()
    };
    Application { id, name: name.to_owned(), bundles: vec![bundle], ..Application::default() }
}

/// Puts the example in place as its README says.
fn set_up(host: &Host, world: &World) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/examples/nginx");
    let read = |name| std::fs::read_to_string(example.join(name)).expect("the example is there");
    let template = read("nginx-bundle.conf.j2");
    assert!(template.contains(PORT));
    host.write_file(TEMPLATE, template.replace(PORT, LISTENER), 0o644);
    world.prepare(host);
    let config = host.read_file(CONFIG) + &read("agent.toml");
    host.write_file(CONFIG, config, 0o644);
    // As nginx's own unit does it, except that a configuration with this word in it is found wanting only then.
    let unit = "[Service]\nExecReload=\nExecReload=/bin/sh -ec '! grep -q unloadable /etc/nginx/conf.d/*'\n\
                ExecReload=/usr/sbin/nginx -g 'daemon on; master_process on;' -s reload\n";
    host.sh("rm /etc/nginx/sites-enabled/default; mkdir -p /etc/systemd/system/nginx.service.d").ok();
    host.write_file("/etc/systemd/system/nginx.service.d/reload.conf", unit, 0o644);
    host.sh("systemctl daemon-reload && systemctl start nginx.service").ok();
    host.run(&["runtime-agent", "check"]).ok();
    host.run(&["systemctl", "reload", SERVICE]).ok();
}

/// Asks an application's API as a local program does: without any credentials. What the API was sent is the answer.
fn ask(host: &Host, application: &str) -> String {
    let command = format!(
        "curl --silent --show-error --unix-socket /run/applications.sock \
         'http://orders.{application}.internal/stock/items?x=1'"
    );
    host.sh(&command).ok()
}

/// Waits until the API answers as wanted: nginx puts a new configuration to use some time after it was told to.
#[track_caller]
fn ask_until(host: &Host, application: &str, wanted: &str) -> String {
    let began = Instant::now();
    loop {
        let answer = ask(host, application);
        if answer.contains(wanted) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "nginx still answers: {answer}");
    }
}

/// What nginx reads, to the last attribute.
fn sites(host: &Host) -> String {
    host.sh(&format!("cd {SITES} && stat --format='%n %s %a %U:%G' -- $(ls -A) && cat -- $(ls -A)")).ok()
}

/// Changes the template and has it taken up, and waits for what is said of that.
fn change_template(host: &Host, from: &str, to: &str, words: &str) {
    let template = host.read_file(TEMPLATE);
    assert!(template.contains(from), "{template}");
    host.write_file(TEMPLATE, template.replace(from, to), 0o644);
    let journal = host.journal();
    host.run(&["systemctl", "reload", SERVICE]).ok();
    journal
        .until(words, PATIENCE, |entry| [SERVICE, APPLIER].contains(&entry.unit()) && entry.message().contains(words));
}

const INSTALLED: &str = "config-changed";

#[test]
fn applications_become_a_reverse_proxy_that_no_bad_template_reload_or_hook_takes_away() {
    let api = Echo::start();
    let world = World::new();
    world.plane.edit(|model| model.applications.clear());
    for name in ["North", "South"] {
        world.plane.put_application(application(name, &api, &format!("canary-{name} $host \"quoted\" \\")));
    }
    let host = installed(Format::Deb);
    set_up(&host, &world);
    world.pair(&host);

    // Requests pass, with each application's own credentials, and nobody else reads these.
    for (name, authorization) in [
        ("north", "Authorization: Basic dXNlci1ub3J0aDpjYW5hcnktTm9ydGggJGhvc3QgInF1b3RlZCIgXA=="),
        ("south", "Authorization: Basic dXNlci1zb3V0aDpjYW5hcnktU291dGggJGhvc3QgInF1b3RlZCIgXA=="),
    ] {
        let head = ask_until(&host, name, authorization);
        assert!(head.starts_with(&format!("GET /{name}/v1/items?x=1 HTTP/1.")), "{head}");
        assert!(head.contains(&format!("X-Tenant: tenant \"{name}\"\n")), "{head}");
    }
    let files = sites(&host);
    assert_eq!(files.matches(" 600 root:root\n").count(), 2, "{files}");
    let nginx = host.property("nginx.service", "MainPID");

    // A template that nginx does not understand is refused with nginx's own words, and nothing is changed.
    change_template(&host, "proxy_pass ", "proxy_pas ", "unknown directive \"proxy_pas\"");
    let status = host.run(&["runtime-agent", "status"]).fails_with(5).stdout;
    assert!(status.contains("unknown directive \"proxy_pas\""), "{status}");
    assert_eq!(sites(&host), files);
    ask_until(&host, "north", "GET /north/v1/items");
    host.run(&["nginx", "-t"]).ok();

    // Nor is one that nginx would understand, and fails to load.
    change_template(&host, "proxy_pas ", "# unloadable\n        proxy_pass ", "nginx.service");
    host.run(&["runtime-agent", "status"]).fails_with(5);
    assert_eq!(sites(&host), files);
    ask_until(&host, "south", "GET /south/v1/items");

    // Mended, and with a password changed at the plane meanwhile, the newest is what nginx serves.
    world.plane.put_application(application("North", &api, "canary-new"));
    host.run(&["runtime-agent", "sync"]).ok();
    change_template(&host, "# unloadable\n        ", "", INSTALLED);
    ask_until(&host, "north", "Authorization: Basic dXNlci1ub3J0aDpjYW5hcnktbmV3");
    host.run(&["runtime-agent", "status"]).ok();

    // An application that is gone is gone from nginx too, whatever hooks do meanwhile.
    hooks_that_misbehave(&host);
    assert!(world.plane.delete_application("south"));
    let journal = host.journal();
    host.run(&["runtime-agent", "sync", "--accept-removals"]).ok();
    for words in ["10-hang took too long and was ended", "20-fork", "30-flood", "40-die was killed by signal 9"] {
        journal.until(words, PATIENCE, |entry| entry.message().contains(words));
    }
    assert!(!sites(&host).contains("south"));
    ask_until(&host, "north", "GET /north/v1/items");
    assert_eq!(host.property("nginx.service", "MainPID"), nginx, "nginx was told, and never ended");
    assert_eq!(host.property(SERVICE, "NRestarts"), "0");
    let status = host.run(&["runtime-agent", "status"]).fails_with(5).stdout;
    for hook in ["10-hang", "40-die"] {
        assert!(status.contains(hook), "{status}");
    }
    // What they left running ends with them.
    host.run(&["pgrep", "--full", "left-behin[d]"]).fails_with(1);
}

fn hooks_that_misbehave(host: &Host) {
    let config = host.read_file(CONFIG);
    host.write_file(CONFIG, format!("{config}\n[hooks]\ntimeout = \"1s\"\ngrace = \"1s\"\n"), 0o644);
    for (name, body) in [
        ("10-hang", "trap '' TERM\nsleep infinity & wait; sleep infinity"),
        ("20-fork", "(exec -a left-behind sleep 1000) &\n(trap '' TERM; exec -a left-behind sleep 1000) &\n:"),
        ("30-flood", "head -c 100000000 /dev/zero | tr '\\0' x; head -c 100000000 /dev/zero | tr '\\0' '\\n'"),
        ("40-die", "kill -KILL $$"),
    ] {
        host.write_file(&format!("/etc/runtime-agent/hooks.d/{name}"), format!("#!/bin/bash\n{body}\n"), 0o755);
    }
    host.run(&["systemctl", "reload", SERVICE]).ok();
}
