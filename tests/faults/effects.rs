//! Every switch of the plane, with each class of what it can be given: what goes wrong at one request.

use std::time::Duration;

use plane::{Effect, Endpoint, Fault, ListChange, RetryAfter, ServerCertificate};

use crate::phases::Phase;

/// What goes wrong, by a name that says it.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub name: String,
    pub fault: Fault,
}

impl Trouble {
    /// Whether the plane asks to be left alone for longer than anybody waits here.
    pub fn asks_for_long(&self) -> bool {
        let long = |asked: &RetryAfter| matches!(asked, RetryAfter::Seconds(seconds) | RetryAfter::Date(seconds) if *seconds > 60);
        matches!(&self.fault.effect, Effect::Status { retry_after: Some(asked), .. } if long(asked))
    }

    /// Whether it shows before any request is made, so that only a new connection meets it.
    pub fn meets_connections(&self) -> bool {
        matches!(self.fault.effect, Effect::Refuse | Effect::ServerCertificate { .. })
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const MIB: u64 = 1 << 20;

/// Everything that can go wrong at a request of a phase.
pub fn troubles(phase: Phase, endpoint: Endpoint, operation: &str) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut add = |name: String, fault: Fault| troubles.push(Trouble { name, fault });
    let on = || Fault::on(endpoint).operation(operation);
    answers(&mut add, on);
    ways(&mut add, on);
    bodies(&mut add, on);
    words(&mut add, on);
    if operation != "applicationsForRuntime" {
        // A page may be large, and is given ten minutes.
        add("drip for ever".into(), on().drip(1, Duration::from_secs(1)));
    }
    for field in fields(operation) {
        add(format!("null {field}"), on().null_field(*field));
        add(format!("absent {field}"), on().absent_field(*field));
        add(format!("null {field} first"), on().null_field_first(*field, 1));
    }
    if operation == "applicationsForRuntime" && phase == Phase::Fetch {
        for delta in [-100, -1, 1, 100] {
            add(format!("total {delta}"), on().total_count(delta));
        }
        add("between-pages insert".into(), on().between_pages(ListChange::Insert));
        add("between-pages delete".into(), on().between_pages(ListChange::Delete));
    }
    troubles
}

/// What gateways say.
fn answers(add: &mut impl FnMut(String, Fault), on: impl Fn() -> Fault) {
    for status in [204, 301, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 599] {
        add(format!("status {status}"), on().status(status, "upstream said no"));
    }
    let odd = "one line\r\nand \u{1b}[31manother\u{202e} \0";
    add("status 503 odd".into(), on().status(503, odd.repeat(200)));
    add("status 503 processed".into(), on().processed().status(503, "too late"));
    let asked = [
        ("1", Some(RetryAfter::Seconds(1))),
        ("date", Some(RetryAfter::Date(2))),
        ("3600", Some(RetryAfter::Seconds(3600))),
        ("for ever", Some(RetryAfter::Seconds(u64::MAX))),
    ];
    for (name, retry_after) in asked {
        add(format!("retry-after {name}"), on().rate_limited(retry_after));
    }
}

/// What happens on the way.
fn ways(add: &mut impl FnMut(String, Fault), on: impl Fn() -> Fault) {
    add("delay short".into(), on().delay(Duration::from_millis(300)));
    add("delay for ever".into(), on().delay(DAY));
    add("drip".into(), on().drip(64, Duration::from_millis(5)));
    add("drip slow".into(), on().drip(48, Duration::from_millis(100)));
    add("drip stalls".into(), on().drip(64, DAY));
    add("reset".into(), on().reset());
    add("lost answer".into(), on().lost_answer());
    add("refuse".into(), on().refuse());
    for bytes in [0, 1, 40] {
        add(format!("truncate {bytes}"), on().truncate(bytes));
    }
    for certificate in [ServerCertificate::WrongName, ServerCertificate::Expired, ServerCertificate::Untrusted] {
        add(format!("certificate {certificate:?}"), on().server_certificate(certificate));
    }
}

/// What is no answer at all.
fn bodies(add: &mut impl FnMut(String, Fault), on: impl Fn() -> Fault) {
    let nested = format!("{{\"data\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let bodies: [(&str, &str); 11] = [
        ("empty", ""),
        ("null", "null"),
        ("list", "[]"),
        ("object", "{}"),
        ("html", "<html><body>Sign in, please</body></html>"),
        ("half", "{\"data\": {\"a\": \"b"),
        ("data null", "{\"data\": null}"),
        ("data empty", "{\"data\": {}}"),
        ("data a list", "{\"data\": [1, 2]}"),
        ("two", "{\"data\": {}} {\"data\": {}}"),
        ("nested", &nested),
    ];
    for (name, body) in bodies {
        add(format!("body {name}"), on().body(body));
    }
    for kind in ["text/html", "", "application/graphql-response+json"] {
        add(format!("content-type {kind:?}"), on().content_type(kind));
    }
    for coding in ["gzip", "br", "deflate", "nonsense"] {
        add(format!("content-encoding {coding}"), on().content_encoding(coding));
    }
    add("huge small".into(), on().huge(MIB / 2));
    add("huge".into(), on().huge(4 * MIB));
    add("huge without end".into(), on().huge(1 << 40));
    add("gzip-bomb".into(), on().gzip_bomb(64 * MIB));
    add("gzip-bomb without end".into(), on().gzip_bomb(1 << 40));
    add("gzip-nothing".into(), on().gzip_nothing(4 * MIB));
}

/// What the services themselves say.
fn words(add: &mut impl FnMut(String, Fault), on: impl Fn() -> Fault) {
    for code in [10, 20, 21, 22, 23, 24, 25, 26, 27, 32, 999] {
        add(format!("failure {code}"), on().failure(code, "the service will not do that"));
    }
    add("failure odd".into(), on().failure(10, "two\nlines \u{1b}[0m ".repeat(500)));
    add("errors beside".into(), on().errors_beside("not everything could be read"));
}

/// The fields that may be null, or that one would think may be.
fn fields(operation: &str) -> &'static [&'static str] {
    match operation {
        "configuration" => &["certificateSigningRequestInfo", "managementPlaneInfo", "directorURL", "keyAlgorithm"],
        "signCertificateSigningRequest" => &["certificateChain", "caCertificate", "clientCertificate"],
        "viewer" => &["viewer"],
        "applicationsForRuntime" => &[
            "bundles",
            "apiDefinitions",
            "eventDefinitions",
            "defaultInstanceAuth",
            "instanceAuths",
            "credential",
            "labels",
            "runtime",
        ],
        "Runtime" => &["runtime", "labels"],
        "requestBundleInstanceAuthCreation" => &["context", "auth", "status"],
        _ => &[],
    }
}
