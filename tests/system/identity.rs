//! The certificate in the hands of the host's own services: those who may read it can use it, also after a renewal, and
//! nobody else can.

use std::time::Instant;

use crate::host::{Host, Output};
use crate::life::{PATIENCE, World};
use crate::packages::{Format, installed};
use crate::promises::SERVICE;

const IDENTITY: &str = "/var/lib/runtime-agent/identity";

/// What the Director is asked here.
const QUERY: &str = r#"{"query":"{ viewer { id } }"}"#;

/// A host that is paired, with a member of the group, one of other groups, and one of none.
fn paired(format: Format) -> (World, Host) {
    let world = World::new();
    let host = installed(format);
    world.prepare(&host);
    world.pair(&host);
    // The groups that somebody might be in by mistake are no way to the key either.
    host.sh("useradd --system --user-group --groups runtime-agent-identity member
             useradd --system --user-group --groups runtime-agent-credentials,runtime-agent,runtime-agent-view other
             useradd --system --user-group stranger")
        .ok();
    (world, host)
}

/// Runs a script as a user, with all of that user's groups.
fn as_user(host: &Host, user: &str, script: &str) -> Output {
    host.run(&["setpriv", "--reuid", user, "--regid", user, "--init-groups", "sh", "-euc", script])
}

/// Asks the Director as the manual tells, with the certificate that is found through the link.
fn ask(world: &World) -> String {
    format!(
        "identity=$(realpath {IDENTITY}/current)
         curl --silent --show-error --fail --cert \"$identity/chain.pem\" --key \"$identity/key.pem\" \\
             --cacert /etc/runtime-agent/plane-ca.pem --header 'content-type: application/json' \\
             --data '{QUERY}' {}",
        world.plane.director_url()
    )
}

/// The SHA-256 of the current certificate.
fn fingerprint(host: &Host) -> String {
    host.sh(&format!("openssl x509 -in {IDENTITY}/current/cert.pem -outform der | sha256sum | cut -d' ' -f1")).ok()
}

/// The SHA-256 of the certificate that the plane was shown last.
fn shown(world: &World) -> String {
    world.plane.requests().pop().and_then(|request| request.fingerprint).expect("a certificate was shown")
}

/// Renews the certificate, and waits until that is done. Answers the new fingerprint.
fn renew(host: &Host) -> String {
    let before = fingerprint(host);
    let journal = host.journal();
    host.run(&["runtime-agent", "renew"]).ok();
    journal.until("the renewal", PATIENCE, |entry| entry.message().starts_with("the certificate is renewed"));
    let after = fingerprint(host);
    assert_ne!(after, before);
    after
}

/// Checks what `identity --json` says against what OpenSSL says.
#[track_caller]
fn assert_told(host: &Host, json: &str) {
    let told: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let told = &told["identity"];
    assert_eq!(told["fingerprint"], *fingerprint(host));
    let public_key = format!(
        "openssl x509 -in {IDENTITY}/current/cert.pem -noout -pubkey | openssl pkey -pubin -outform der | sha256sum"
    );
    assert_eq!(
        host.sh(&public_key).ok(),
        format!("{}  -", told["public_key_fingerprint"].as_str().unwrap_or_default())
    );
    assert_eq!(told["path"], *host.sh(&format!("realpath {IDENTITY}/current")).ok());
}

#[track_caller]
fn assert_for_the_group(host: &Host) {
    let modes = host.sh(&format!("find {IDENTITY}/ ! -type l -printf '%m %u:%g %f\\n'")).ok();
    let folders = modes.lines().filter(|line| !line.contains('.'));
    assert!(folders.count() >= 2, "{modes}");
    for line in modes.lines() {
        let mode = if line.contains('.') { "640" } else { "2750" };
        assert!(line.starts_with(&format!("{mode} runtime-agent:runtime-agent-identity ")), "{line} of\n{modes}");
    }
}

#[test]
fn members_of_the_group_use_the_certificate_also_after_a_renewal_and_nobody_else_can() {
    let (world, host) = paired(Format::Deb);
    assert_for_the_group(&host);

    for _ in 0..3 {
        let answer = as_user(&host, "member", &ask(&world)).ok();
        assert!(answer.contains(&world.runtime), "{answer}");
        assert_eq!(shown(&world), fingerprint(&host));
        let count = world.plane.requests().len();
        let refused = as_user(&host, "other", &ask(&world));
        assert_ne!(refused.code, Some(0), "{}", refused.stdout);
        assert_eq!(world.plane.requests().len(), count);
        for file in ["key.pem", "cert.pem", "chain.pem", "ca.pem", "identity.json"] {
            as_user(&host, "member", &format!("cat {IDENTITY}/current/{file}")).ok();
            as_user(&host, "other", &format!("cat {IDENTITY}/current/{file}")).fails_with(1);
            as_user(&host, "member", &format!(": >>{IDENTITY}/current/{file}")).fails_with(2);
        }

        // Who may not ask the agent, but read the files, is told by them; who may do neither is told so.
        let told = as_user(&host, "member", "runtime-agent identity --json");
        assert!(told.stderr.contains("may not look here"), "{}", told.stderr);
        assert_told(&host, &told.ok());
        let told = as_user(&host, "other", "runtime-agent identity --json");
        assert_eq!(told.stderr, "", "A group that may look asks the agent.");
        assert_told(&host, &told.ok());
        let refused = as_user(&host, "stranger", "runtime-agent identity").fails_with(1);
        assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);

        // Who reads slowly still finds, after a renewal, what was current when it began.
        let found = as_user(&host, "member", &format!("realpath {IDENTITY}/current")).ok();
        renew(&host);
        assert_for_the_group(&host);
        let pair = format!(
            "openssl pkey -in {found}/key.pem -pubout >/tmp/of-the-key
             openssl x509 -in {found}/cert.pem -noout -pubkey | cmp - /tmp/of-the-key"
        );
        as_user(&host, "member", &pair).ok();
    }
}

#[test]
fn a_service_gets_the_certificate_from_systemd_without_a_group() {
    let (world, host) = paired(Format::Deb);
    for _ in 0..2 {
        let answer = host.sh(&format!(
            "systemd-run --quiet --wait --pipe --property=DynamicUser=yes \\
                 --property=LoadCredential=identity:{IDENTITY}/current sh -euc '
                     d=$CREDENTIALS_DIRECTORY
                     curl --silent --show-error --fail --cert $d/identity_chain.pem --key $d/identity_key.pem \\
                         --cacert /etc/runtime-agent/plane-ca.pem --header content-type:application/json \\
                         --data @- {}' <<'END'
{QUERY}
END",
            world.plane.director_url()
        ));
        assert!(answer.ok().contains(&world.runtime));
        assert_eq!(shown(&world), fingerprint(&host));
        renew(&host);
    }
}

#[test]
fn a_hook_has_a_web_server_show_the_new_certificate() {
    let (world, host) = paired(Format::Deb);
    let site = format!(
        "server {{
             listen unix:/run/partner.sock;
             location /partner/ {{
                 proxy_pass {};
                 proxy_ssl_trusted_certificate /etc/runtime-agent/plane-ca.pem;
                 proxy_ssl_verify on;
                 proxy_ssl_name localhost;
                 proxy_ssl_certificate     {IDENTITY}/current/chain.pem;
                 proxy_ssl_certificate_key {IDENTITY}/current/key.pem;
             }}
         }}\n",
        world.plane.director_url()
    );
    host.sh("rm /etc/nginx/sites-enabled/default").ok();
    host.write_file("/etc/nginx/conf.d/partner.conf", site, 0o644);
    let hook = "#!/bin/sh\nset -eu\ncase $1 in paired|renewed) ;; *) exit 0 ;; esac\n\
                systemctl try-reload-or-restart nginx.service\n";
    host.write_file("/etc/runtime-agent/hooks.d/50-certificate", hook, 0o755);
    host.run(&["systemctl", "start", "nginx.service"]).ok();
    let ask = || {
        let answer = host.sh(&format!(
            "curl --silent --show-error --fail --unix-socket /run/partner.sock http://localhost/partner/ \\
                 --header content-type:application/json --data '{QUERY}'"
        ));
        assert!(answer.ok().contains(&world.runtime));
        shown(&world)
    };
    assert_eq!(ask(), fingerprint(&host));

    let renewed = renew(&host);

    // nginx puts it to use some time after it was told to, and tells nobody when.
    let began = Instant::now();
    while ask() != renewed {
        assert!(began.elapsed() < PATIENCE, "nginx goes on with the old certificate.");
    }
}

fn assert_an_upgrade_opens_an_identity_from_before(format: Format) {
    let (world, host) = paired(format);
    renew(&host);
    // As a version left it that knew of no readers.
    host.sh(&format!(
        "systemctl stop {SERVICE}
         groupdel runtime-agent-identity
         chown -R runtime-agent:runtime-agent {IDENTITY}
         chmod -R u=rwX,go= {IDENTITY}
         find {IDENTITY} -type d -exec chmod g-s {{}} +
         systemctl start {SERVICE}"
    ))
    .ok();
    let modes = host.sh(&format!("find -L {IDENTITY}/ -printf '%m %g\\n' | sort -u")).ok();
    assert_eq!(modes, "600 runtime-agent\n700 runtime-agent");
    let (before, requests) = (fingerprint(&host), world.plane.requests().len());

    let journal = host.journal();
    format.install(&host, &format.upgrade());
    journal.until("the opening", PATIENCE, |entry| entry.message().contains("is now for the group of readers, too"));

    host.run(&["usermod", "--append", "--groups", "runtime-agent-identity", "member"]).ok();
    assert_for_the_group(&host);
    assert_eq!(fingerprint(&host), before, "It is the same one, and nobody was asked for another.");
    let asked = world.plane.requests().split_off(requests);
    assert!(asked.iter().all(|request| request.endpoint == plane::Endpoint::Director), "{asked:?}");
    as_user(&host, "member", &ask(&world)).ok();
    assert_ne!(as_user(&host, "other", &ask(&world)).code, Some(0));
    renew(&host);
    assert_for_the_group(&host);
}

#[test]
fn an_upgrade_of_the_deb_opens_an_identity_from_before() {
    assert_an_upgrade_opens_an_identity_from_before(Format::Deb);
}

#[test]
fn an_upgrade_of_the_rpm_opens_an_identity_from_before() {
    assert_an_upgrade_opens_an_identity_from_before(Format::Rpm);
}
