//! `doctor`: what is wrong is told with what mends it, what is right is left alone, and nothing is changed by looking.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use plane::{Endpoint, Fault, Options, ServerCertificate};
use runtime_agent::config::TemplateRule;
use runtime_agent::doctor::{Finding, Report, Verdict};

use crate::drop::give_away;
use crate::host::{Host, said};
use crate::scene::Scene;
use crate::tree::everything;

/// What the doctor finds, and its exit status.
async fn examine(host: &Host) -> (Report, Option<i32>) {
    let output = host.run(&["doctor", "--json"], "").await;
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (report, output.status.code())
}

/// The findings that need a person.
fn failures(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.verdict == Verdict::Failure).collect()
}

/// The one failure that there is, after one thing was spoilt: its check, and all that it says.
async fn only_failure(host: &Host) -> (String, String) {
    let (report, code) = examine(host).await;
    assert_eq!(code, Some(9), "{report:?}");
    match failures(&report).as_slice() {
        [only] => (only.check.clone(), format!("{}; {}", only.what, only.remedy.as_ref().unwrap())),
        others => panic!("not one failure: {others:#?}"),
    }
}

fn rule(host: &Host, content: &str) -> TemplateRule {
    let folder = host.path("etc");
    let text = format!(
        "name = 'x'\nfor_each = 'application'\ndestination = '{}/{{{{ application.slug }}}}'\ncontent = '{content}'\n",
        folder.display()
    );
    toml::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_host_that_is_well_is_found_to_be_and_nothing_is_changed_by_looking() {
    let scene = Scene::new().await;
    fs::create_dir(scene.host.path("etc")).unwrap();
    let rules = vec![rule(&scene.host, "{{ application.name }}")];
    scene.host.configure(|settings| settings.template = rules);
    scene.host.hook("10-fine", "cat >/dev/null");
    let agent = scene.paired().await;
    let (before, requests) = (everything(&scene.host.path("")), scene.plane.requests().len());
    let (report, code) = examine(&scene.host).await;
    assert_eq!(code, Some(0), "{report:#?}");
    let verdict = |check: &str| {
        let of_check = report.findings.iter().filter(|finding| finding.check == check);
        of_check.map(|finding| finding.verdict).max()
    };
    for check in [
        "configuration",
        "daemon",
        "status",
        "hooks",
        "applier",
        "permissions",
        "token",
        "identity",
        "certificate",
        "templates",
        "plane",
        "clock",
    ] {
        assert_eq!(verdict(check), Some(Verdict::Ok), "{check}: {report:#?}");
    }
    let reached = report.findings.iter().filter(|finding| finding.check == "plane").count();
    assert_eq!(reached, 3, "both Connectors and the Director: {report:#?}");
    let rendered = report.findings.iter().find(|finding| finding.check == "templates").unwrap();
    assert!(rendered.what.contains("render 3 files"), "{rendered:?}");
    assert!(everything(&scene.host.path("")) == before, "something was changed");
    assert_eq!(scene.plane.requests().len(), requests, "the plane was asked for something");
    let page = scene.host.run(&["doctor"], "").await;
    assert_eq!(page.status.code(), Some(0));
    assert!(said(&page).contains("ok       configuration"), "{}", said(&page));
    assert!(!said(&page).contains('\u{1b}'), "no colours where nobody looks");
    let page = scene.host.run(&["doctor", "--color", "always"], "").await;
    assert!(said(&page).contains("\u{1b}[32mok"), "{}", said(&page));
    drop(agent);
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_told_with_what_mends_it() {
    let scene = Scene::new().await;
    let host = &scene.host;
    scene.host.hook("10-fine", "cat >/dev/null");
    let agent = scene.paired().await;

    scene.plane.fault(Fault::on(Endpoint::Director).server_certificate(ServerCertificate::Expired));
    let (check, said) = only_failure(host).await;
    assert!(check == "plane" && said.contains("Director") && said.contains("plane's certificate renewed"), "{said}");
    scene.plane.clear_faults();

    let hour = Duration::from_secs(3600);
    let clock = scene.plane.clock();
    clock.set(jiff::Timestamp::now() + hour);
    let (check, said) = only_failure(host).await;
    assert!(check == "clock" && said.contains("behind the plane's") && said.contains("timedatectl"), "{said}");
    clock.set(jiff::Timestamp::now());

    let key = host.path("state/identity/0001/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (check, said) = only_failure(host).await;
    assert!(check == "permissions" && said.contains("key.pem") && said.contains("chmod"), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let hook = host.path("hooks.d/10-fine");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    let (report, code) = examine(host).await;
    assert_eq!((code, report.verdict), (Some(0), Verdict::Warning), "it may be meant to be none: {report:?}");
    let told = report.findings.iter().find(|found| found.check == "hooks").unwrap();
    assert!(told.what.contains("10-fine") && told.remedy.as_ref().unwrap().contains("chmod +x"), "{told:?}");
    // Nobody runs what others could have written.
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o777)).unwrap();
    let (check, said) = only_failure(host).await;
    assert!(check == "hooks" && said.contains("10-fine") && said.contains("chmod go-w"), "{said}");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();

    let good = host.read("agent.toml");
    for (content, place) in [("{% if %}", "line 1"), ("{{ application.nonsense }}", "nonsense")] {
        let rules = vec![rule(host, content)];
        host.configure(|settings| settings.template = rules);
        let (check, said) = only_failure(host).await;
        assert!(check == "templates" && said.contains(place) && said.contains("correct the template"), "{said}");
    }
    host.write_configuration(&format!("{good}\n[synk]\n"));
    let (check, said) = only_failure(host).await;
    assert!(check == "configuration" && said.contains("synk") && said.contains("runtime-agent check"), "{said}");
    host.write_configuration(&good);

    agent.terminate().await;
    let (check, said) = only_failure(host).await;
    assert!(check == "daemon" && said.contains("systemctl start runtime-agent"), "{said}");
}

#[tokio::test]
async fn a_host_that_is_not_paired_is_told_what_is_in_the_way() {
    let scene = Scene::with(Options::default(), |settings| {
        settings.plane.connector_url = Some("https://nowhere.invalid/".parse().unwrap());
    })
    .await;
    let agent = scene.host.start().await;
    let (report, code) = examine(&scene.host).await;
    assert_eq!(code, Some(9));
    let all: Vec<String> = failures(&report)
        .iter()
        .map(|found| format!("{}: {} {}", found.check, found.what, found.remedy.as_ref().unwrap()))
        .collect();
    assert!(all.iter().any(|found| found.starts_with("identity: this host is not paired")), "{all:?}");
    assert!(
        all.iter().any(|found| found.starts_with("plane: ") && found.contains("getent hosts nowhere.invalid")),
        "{all:?}"
    );
    drop(agent);
}

#[tokio::test]
async fn a_token_that_the_agent_may_not_read_is_told_and_not_used() {
    const NOBODY: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        println!("not tested: only root can give files away");
        return;
    }
    let scene = Scene::new().await;
    fs::create_dir(scene.host.path("state")).unwrap();
    give_away(&scene.host.path(""), NOBODY);
    scene.host.drop_token(&scene.mint());
    fs::set_permissions(scene.host.token(), fs::Permissions::from_mode(0o600)).unwrap();
    let token = scene.host.read("pairing/token");
    let (report, code) = examine(&scene.host).await;
    assert_eq!(code, Some(9));
    let told = failures(&report).into_iter().find(|found| found.check == "token").unwrap();
    assert!(told.what.contains("the agent's user may not read it; run `chown nobody"), "{told:?}");
    assert_eq!(scene.host.read("pairing/token"), token, "it lies there as before");
    assert_eq!(scene.plane.requests().len(), 0, "the plane has not heard of it");
    let text = serde_json::to_string(&report).unwrap();
    assert!(scene.plane.canaries().iter().all(|secret| !text.contains(secret)), "{text}");
}
