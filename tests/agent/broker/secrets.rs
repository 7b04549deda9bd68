//! The secrets of bindings: parameters on their way to an application, and credentials on their way back.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::Area;
use runtime_agent::config::{LogLevel, Seconds, Settings};
use serde_json::json;

use super::doors::free;
use super::platform::{binding, instance};
use super::shop::{CREATION, PASSWORD, Shop, counts, has_ready, open};
use crate::bindings::rule;
use crate::canary::{Search, is_for_secrets};
use crate::host::{Agent, names, said};
use crate::scene::{is_settled, problem};
use crate::tree::{Kind, everything};

const COLOUR: &str = "canary-colour-0123456789abcdef0123456789";
const GRANTED: &str = "canary-granted-0123456789abcdef0123456789";
const LOGIN: &str = "canary-login-0123456789abcdef0123456789";

/// Notes what there is to be seen of the agent from outside, and what all of its commands say.
async fn note(search: &mut Search<'_>, agent: &Agent<'_>) {
    search.note_status(&agent.status().await).await;
    for name in ["cmdline", "environ", "comm", "status", "mountinfo", "limits"] {
        let seen = fs::read(format!("/proc/{}/{name}", agent.pid())).unwrap();
        search.said.push(String::from_utf8_lossy(&seen).into_owned());
    }
    let host = &search.scene.host;
    for list in ["services", "instances", "bindings"] {
        for arguments in [&["broker", list][..], &["broker", list, "--json"]] {
            let output = host.run(arguments, "").await;
            assert!(output.status.success(), "{}", said(&output));
            search.said.push(said(&output));
        }
    }
    search.said.push(said(&host.run(&["diff"], "").await));
}

#[tokio::test]
async fn parameters_and_credentials_of_bindings_are_in_the_store_and_in_files_of_templates_and_nowhere_else() {
    let shop = Shop::with(Options::default(), |_| {}).await;
    let login = shop.host().path("login");
    fs::write(&login, format!("till:{LOGIN}\n")).unwrap();
    fs::set_permissions(&login, fs::Permissions::from_mode(0o600)).unwrap();
    let address = free();
    let configured = |settings: &mut Settings| {
        open(settings);
        settings.log.level = LogLevel::Trace;
        // What may be under way when its answer is lost is over soon.
        settings.plane.answer_timeout = Seconds::new(1);
        settings.broker.listen = Some(address);
        settings.broker.password_file = Some(login.clone());
    };
    shop.host().configure(configured);
    shop.host().hook(
        "record",
        r#"cat >"$SPOOL/$1.json"; env >"$SPOOL/$1.env"; echo "$@"; tr '\0' ' ' <"/proc/$PPID/cmdline""#,
    );
    let secrets = [COLOUR, GRANTED, LOGIN].map(str::to_owned).to_vec();
    let mut search = Search { scene: &shop.scene, others: secrets, keys: BTreeSet::new(), said: Vec::new() };
    let (agent, platform) = shop.paired().await;
    for (id, offer) in [("i", &shop.at_once), ("j", &shop.on_request)] {
        assert_eq!(platform.put(&instance(id), &offer.instance()).await.status, 201);
    }

    // Refused by the plane in words that repeat them, lost on the way, and not JSON at all.
    let later = format!("{}?accepts_incomplete=true", binding("j", "b"));
    let mut asked = shop.on_request.binding();
    asked["parameters"] = json!({ "colour": COLOUR, COLOUR: [COLOUR] });
    let on_creation = || Fault::on(Endpoint::Director).operation(CREATION[0]).times(1);
    for fault in [
        on_creation().body(COLOUR),
        on_creation().body(format!("{{\"data\": {{\"{}\": \"{COLOUR}\"}}}}", CREATION[0])),
        on_creation().lost_answer(),
    ] {
        shop.scene.plane.fault(fault);
        let answer = platform.put(&later, &asked).await;
        search.said.push(answer.body.to_string());
        // What failed is tried sooner after a poll.
        search.said.push(agent.sync().await.message);
    }
    let garbage = json!(format!("{COLOUR}\" {{")).to_string();
    for body in [&garbage[1..], &format!("{{\"parameters\": {COLOUR}}}")] {
        let request = platform.request(reqwest::Method::PUT, &later).header("x-broker-api-version", "2.17");
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let answer = super::platform::send(request).await.unwrap();
        assert_eq!(answer.status, 400);
        search.said.push(answer.body.to_string());
    }
    let mut other = asked.clone();
    other["parameters"]["colour"] = format!("{COLOUR}-other").into();
    search.said.push(platform.put(&later, &other).await.body.to_string());
    let waits = |status: &_| counts(status).under_way == 1 && shop.held().len() == 1;
    agent.wait_for("the application to be asked", waits).await;
    note(&mut search, &agent).await;

    // Granted, shown, and put into a file.
    shop.grants(&shop.only(), GRANTED);
    // What the list shows to be new is asked for at once.
    assert!(agent.sync().await.done);
    agent.wait_for("the credentials", |status| has_ready(status, 1)).await;
    let bound = platform.put(&binding("i", "b"), &shop.at_once.binding()).await;
    assert!(bound.body.to_string().contains(PASSWORD));
    assert!(platform.get(&binding("j", "b")).await.body.to_string().contains(GRANTED));
    assert!(agent.sync().await.done);
    agent.wait_for("a poll", is_settled).await;
    let holders = |secret: &str| -> Vec<(String, u32)> {
        let holds = |kind: &Kind| matches!(kind, Kind::File(bytes) if String::from_utf8_lossy(bytes).contains(secret));
        let all = everything(&shop.host().path("")).into_iter().filter(|(_, entry)| holds(&entry.kind));
        all.map(|(path, entry)| (path.display().to_string(), entry.mode)).collect()
    };
    let only_in = |file: &str| vec![(file.to_owned(), 0o600)];
    assert_eq!(holders(COLOUR), only_in("state/broker.redb"));
    assert_eq!(holders(LOGIN), only_in("login"));
    let all_that_the_plane_said = ("state/snapshot.json".to_owned(), 0o600);
    assert_eq!(holders(GRANTED), [only_in("state/broker.redb"), vec![all_that_the_plane_said]].concat());
    let rules = vec![rule(&shop.scene)];
    shop.host().configure(|settings| {
        configured(settings);
        settings.template = rules;
    });
    agent.signal(Signal::SIGHUP);
    let installed = |status: &_| is_settled(status) && names(&shop.host().path("etc")).len() == 2;
    agent.wait_for("the files of the bindings", installed).await;
    note(&mut search, &agent).await;
    agent.kill().await;

    // A file that is damaged is complained of, and not quoted.
    let path = shop.host().path("state/broker.redb");
    let whole = fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(String::from_utf8_lossy(&whole).contains("\"parameters\""), "the search would find what is in it");
    let damaged: Vec<u8> = whole.iter().map(|byte| if *byte == b':' { b';' } else { *byte }).collect();
    fs::write(&path, damaged).unwrap();
    let agent = shop.host().start().await;
    agent.wait_for("the complaint", |status| !problem(status, Area::BrokerStore).is_empty()).await;
    search.note_status(&agent.status().await).await;
    search.said.push(said(&shop.host().run(&["broker", "bindings"], "").await));
    agent.terminate().await;
    fs::write(&path, whole).unwrap();
    let agent = shop.host().start().await;
    agent.wait_for("the bindings again", |status| has_ready(status, 2)).await;
    note(&mut search, &agent).await;

    assert!(shop.host().log().contains(" DEBUG "), "the log tells everything");
    // What templates make lies among the generations before it is installed, and so does what they make it of.
    let made = |path: &Path| {
        let of_a_binding =
            path.starts_with("state/config/objects") && path.components().any(|part| part.as_os_str() == "bindings");
        path.starts_with("etc") || path.starts_with("state/config/blobs") || of_a_binding
    };
    let own = |path: &Path| is_for_secrets(path) || path == Path::new("login");
    search.finds_nothing(|path| own(path) || made(path) || path.ends_with("broker.redb"));
    let granted = holders(GRANTED);
    assert!(granted.len() > 2 && granted.iter().all(|(_, mode)| *mode == 0o600), "{granted:?}");
    assert_eq!(holders(COLOUR), only_in("state/broker.redb"));

    // What is given back is gone from the files.
    assert_eq!(platform.delete(&format!("{}?{}", binding("i", "b"), shop.at_once.query())).await.status, 200);
    let back = format!("{}?{}&accepts_incomplete=true", binding("j", "b"), shop.on_request.query());
    assert_eq!(platform.delete(&back).await.status, 202);
    shop.scene.plane.answer_instance_auth(&shop.only().id, plane::Verdict::Remove).unwrap();
    assert!(agent.sync().await.done);
    agent.wait_for("the end of them", |status| counts(status).under_way + counts(status).bindings == 0).await;
    assert!(agent.sync().await.done);
    agent.wait_for("no files", |status| is_settled(status) && names(&shop.host().path("etc")).is_empty()).await;
    note(&mut search, &agent).await;
    agent.terminate().await;
    search.finds_nothing(|path| own(path) || made(path) || path.ends_with("broker.redb"));
}
