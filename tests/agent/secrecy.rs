//! Keys and tokens are nobody else's: what is left of them in memory, and who can look there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use memchr::memmem;
use plane::{CredentialKind, Endpoint, Fault, Generate, KeyAlgorithm, Request, TokenForm};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use x509_cert::der::asn1::{AnyRef, OctetStringRef, UintRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};

use crate::credential::current_key;
use crate::drop::give_away;
use crate::host::{Agent, PROGRAM, finished, said, within};
use crate::scene::{Scene, is_settled, is_well};

/// Something that is looked for.
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

impl Needle {
    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// The secret parts of a private key, as they are written and as they lie in memory.
fn parts_of(name: &str, pem: &str) -> Vec<Needle> {
    let mut needles = Vec::new();
    let body = pem.lines().filter(|line| !line.starts_with('-')).enumerate();
    // What is public of a key is in its certificate as well: the third line of an elliptic one, some more of another.
    for (number, line) in body.filter(|(number, line)| line.len() == 64 && (*number < 2 || *number > 8)) {
        needles.push(Needle::new(format!("line {number} of {name}"), line));
    }
    for (part, number) in numbers_of(pem) {
        let reversed: Vec<u8> = number.iter().rev().copied().collect();
        needles.push(Needle::new(format!("{part} of {name}"), number));
        needles.push(Needle::new(format!("{part} of {name}, as it lies in memory"), reversed));
    }
    needles
}

/// The secret numbers of a PKCS#8 key.
fn numbers_of(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let sequence = |der: &[u8]| AnyRef::from_der(der).unwrap().value().to_vec();
    let outer = sequence(key.secret_der());
    let mut reader = SliceReader::new(&outer).unwrap();
    let _version: UintRef<'_> = reader.decode().unwrap();
    let _algorithm: AnyRef<'_> = reader.decode().unwrap();
    let inner: &OctetStringRef = reader.decode().unwrap();
    let inner = sequence(inner.as_bytes());
    let mut reader = SliceReader::new(&inner).unwrap();
    let version: UintRef<'_> = reader.decode().unwrap();
    if version.as_bytes() == [1] {
        let scalar: &OctetStringRef = reader.decode().unwrap();
        return vec![("the scalar", scalar.as_bytes().to_vec())];
    }
    let _modulus: UintRef<'_> = reader.decode().unwrap();
    let _exponent: UintRef<'_> = reader.decode().unwrap();
    ["d", "p", "q", "dp", "dq", "qi"]
        .into_iter()
        .map(|name| (name, reader.decode::<UintRef<'_>>().unwrap().as_bytes().to_vec()))
        .collect()
}

/// Where needles are in the memory of a process.
fn found(agent: &Agent<'_>, needles: &[Needle]) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", agent.pid())).unwrap();
    let memory = File::open(format!("/proc/{}/mem", agent.pid())).unwrap();
    let finders: Vec<_> = needles.iter().map(|needle| (needle, memmem::Finder::new(&needle.bytes))).collect();
    let mut places = Vec::new();
    for line in maps.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        if !fields[1].starts_with("rw") {
            continue;
        }
        let (start, end) = fields[0].split_once('-').unwrap();
        let [start, end] = [start, end].map(|bound| u64::from_str_radix(bound, 16).unwrap());
        let mut content = vec![0; (end - start).try_into().unwrap()];
        // Memory that was given back between the two looks.
        if memory.read_exact_at(&mut content, start).is_err() {
            continue;
        }
        for (needle, finder) in &finders {
            for place in finder.find_iter(&content) {
                let around = &content[place.saturating_sub(64)..(place + needle.bytes.len() + 64).min(content.len())];
                let region = fields.get(5).unwrap_or(&"memory without a name");
                places.push(format!("{} is in {region}: {:?}", needle.name, String::from_utf8_lossy(around)));
            }
        }
    }
    places
}

/// Whether these tests may look into any process; a reason is printed where not.
fn may_look() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("not tested: only root can look into the memory of the agent");
    }
    root
}

#[tokio::test]
async fn what_was_used_up_is_wiped_from_memory() {
    if !may_look() {
        return;
    }
    for (algorithm, form) in [(KeyAlgorithm::EcdsaP256, TokenForm::Url), (KeyAlgorithm::Rsa2048, TokenForm::Base64)] {
        let scene = Scene::new().await;
        scene.plane.set_key_algorithm(algorithm);
        scene.plane.generate(Generate { credentials: CredentialKind::ALL.to_vec(), ..Generate::default() });
        // Both tokens are used more than once.
        for operation in ["configuration", "signCertificateSigningRequest"] {
            scene.plane.fault(Fault::on(Endpoint::Connector).operation(operation).times(1).status(503, "busy"));
        }
        let agent = scene.host.start().await;
        let token = scene.plane.mint_token(&scene.runtime, form);
        scene.host.drop_token(&token);
        agent.wait_for("the pairing", is_settled).await;
        let key = current_key(&scene.host);
        let mut needles = parts_of("the key", &key);
        assert!(!found(&agent, &needles).is_empty(), "the search would find them");
        needles.push(Needle::new("the token file", token));
        needles.extend(canaries(&scene));
        let in_use = |place: &String| place.contains(" the key");
        let left: Vec<_> = found(&agent, &needles).into_iter().filter(|place| !in_use(place)).collect();
        assert!(left.is_empty(), "{algorithm:?}: {left:#?}");

        let before = agent.status().await;
        assert!(agent.renew().await.done);
        agent.wait_for("the renewal", |status| is_well(status) && status.identity != before.identity).await;
        assert!(agent.sync().await.done);
        assert_ne!(current_key(&scene.host), key);
        // What was minted for the renewal is no more needed than what came before.
        needles.extend(canaries(&scene));
        let left = found(&agent, &needles);
        assert!(left.is_empty(), "{algorithm:?}: {left:#?}");
    }
}

/// Every token and credential that there ever was.
fn canaries(scene: &Scene) -> Vec<Needle> {
    scene.plane.canaries().into_iter().map(|secret| Needle::new(secret.clone(), secret)).collect()
}

#[tokio::test]
async fn no_other_process_of_the_agents_user_can_look_into_it_and_no_core_is_dumped() {
    let scene = Scene::new().await;
    let as_nobody: &[&str] =
        if may_look() { &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] } else { &["env"] };
    give_away(&scene.host.path(""), 65_534);
    let command = |rest: &[&str]| {
        let mut command = Command::new(as_nobody[0]);
        command.args(&as_nobody[1..]).args(rest).env_clear().env("PATH", "/usr/bin:/bin").kill_on_drop(true);
        command
    };
    let configuration = scene.host.path("agent.toml");
    let agent = scene.host.start_command(command(&[PROGRAM, "run", "--config", configuration.to_str().unwrap()])).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let core: Vec<_> = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split(' ').collect();
    assert_eq!(core.into_iter().filter(|word| *word == "0").count(), 2, "{limits}");

    // So does whoever hands it a token, and waits.
    scene.plane.fault(Fault::on(Endpoint::Connector).refuse());
    let pair = command(&[PROGRAM, "pair", "--config", configuration.to_str().unwrap()]);
    let mut pair = { pair }.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = pair.stdin.take().unwrap();
    input.write_all(scene.mint().as_bytes()).await.unwrap();
    drop(input);
    agent.wait_for("the token to be noticed", |status| status.token.is_some()).await;
    let mut idle = command(&["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Until it has become what it is, nobody can look into it either.
    idle.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    within("an echo", idle.stdout.as_mut().unwrap().read_u8()).await.unwrap();
    for (pid, allowed) in [(idle.id().unwrap(), true), (agent.pid(), false), (pair.id().unwrap(), false)] {
        for name in ["environ", "maps", "mem"] {
            let path = format!("/proc/{pid}/{name}");
            let output = finished(command(&["dd", "count=0", &format!("if={path}")]), "").await;
            assert_eq!(output.status.success(), allowed, "{path}: {}", said(&output));
        }
    }
    idle.kill().await.unwrap();
    // They do their work all the same.
    scene.plane.clear_faults();
    assert!(within("the end of pair", pair.wait()).await.unwrap().success());
    agent.wait_for("the pairing", is_settled).await;
}

#[tokio::test]
async fn a_key_in_the_making_holds_up_no_poll() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.set_key_algorithm(KeyAlgorithm::Rsa4096);
    let is_at_renewal = |request: &&Request| request.endpoint == Endpoint::SecuredConnector;
    // A key can be found at once, by luck; not this often.
    for _ in 0..8 {
        let before = agent.status().await;
        scene.plane.clear_requests();
        assert!(agent.renew().await.done);
        scene.asked("the renewal to begin", |all| all.iter().any(|request| is_at_renewal(&request))).await;
        assert!(agent.sync().await.done);
        let polled_meanwhile = scene.plane.requests().iter().filter(is_at_renewal).count() == 1;
        agent.wait_for("the renewal", |status| is_well(status) && status.identity != before.identity).await;
        if polled_meanwhile {
            return;
        }
    }
    panic!("no poll was done between the two requests of a renewal");
}
