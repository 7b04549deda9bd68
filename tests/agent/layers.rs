//! The configuration in layers: fragments beside the file, variables over both, and what `config` says of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use runtime_agent::agent::status::Area;
use runtime_agent::config::{Location, Settings, parse};
use serde_json::Value;

use crate::host::{Host, PROGRAM, finished, said};
use crate::scene::{Scene, is_settled, problem};

/// Writes a fragment, as whatever umask the tests run with would not.
fn fragment(host: &Host, name: &str, text: &str) {
    let folder = host.path("agent.d");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(0o644)).unwrap();
}

#[tokio::test]
async fn fragments_are_in_force_after_a_reload_for_the_daemon_and_the_applier_and_a_bad_one_refuses_them_all() {
    let scene = Scene::new().await;
    scene.host.hook("tell", r#"cat >/dev/null; echo "$1" >>"$SPOOL/old""#);
    let agent = scene.paired().await;
    let later = scene.host.path("later.d");
    fs::create_dir(&later).unwrap();
    fs::set_permissions(&later, Permissions::from_mode(0o755)).unwrap();
    let rule = "[[template]]\nname = \"x\"\ncontent = \"1\"\ndestination = \"x.txt\"\n";
    fragment(&scene.host, "10-x.toml", rule);
    fragment(&scene.host, "20-hooks.toml", "[hooks]\ntimeout = \"2m\"\ntimeoutt = \"1m\"\n");
    agent.signal(Signal::SIGHUP);
    let refused = agent.wait_for("the refusal", |status| !problem(status, Area::Configuration).is_empty()).await;
    let what = &refused.problems[&Area::Configuration].what;
    assert!(what.contains("agent.d/20-hooks.toml") && what.contains("line 3"), "{what}");
    assert!(what.contains("did you mean `timeout`?"), "{what}");
    let file = scene.host.path("state/config/current/x.txt");
    assert!(!file.exists(), "nothing of a refused whole is in force");

    fragment(&scene.host, "20-hooks.toml", "[hooks]\ntimeout = \"2m\"\n[log]\nlevel = \"debug\"\n");
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the template's file", |status| is_settled(status) && file.exists()).await;
    let log = scene.host.log();
    assert!(log.contains("except for changes of log.level: those take `systemctl restart runtime-agent`"), "{log}");

    // The applier goes by the same: with its hooks elsewhere, none runs.
    assert!(scene.host.read("spool/old").contains("config-changed"));
    fs::remove_file(scene.host.path("spool/old")).unwrap();
    fragment(&scene.host, "30-paths.toml", &format!("[paths]\nhooks = '{}'\n", later.display()));
    agent.terminate().await;
    let agent = scene.host.start().await;
    assert!(scene.plane.delete_application(&scene.plane.applications()[0].id));
    assert!(agent.sync().await.done);
    agent.wait_for("the change to be applied", is_settled).await;
    assert!(!scene.host.path("spool/old").exists());
}

#[tokio::test]
async fn a_fragment_that_others_could_write_is_refused_by_the_daemon_and_the_applier() {
    let scene = Scene::new().await;
    fragment(&scene.host, "10-x.toml", "[sync]\ninterval = \"5m\"\n");
    assert_eq!(scene.host.run(&["config"], "").await.status.code(), Some(0));
    fs::set_permissions(scene.host.path("agent.d/10-x.toml"), Permissions::from_mode(0o666)).unwrap();
    for command in [&["run"][..], &["apply", "--stdio"], &["config"]] {
        let output = scene.host.run(command, "").await;
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        let said = said(&output);
        assert!(said.contains("agent.d/10-x.toml") && said.contains("chmod go-w"), "{said}");
    }
}

#[tokio::test]
async fn variables_stand_over_all_files_also_for_the_applier_and_hooks_neither_see_nor_mind_them() {
    let scene = Scene::new().await;
    let config = scene.host.path("agent.toml");
    scene.host.hook(
        "look",
        &format!(
            r#"cat >/dev/null; env >>"$SPOOL/environment"
{PROGRAM} status --config {} >>"$SPOOL/status" 2>&1; echo "status $?" >>"$SPOOL/codes""#,
            config.display()
        ),
    );
    scene.host.write_configuration(&scene.host.read("agent.toml").replace("hooks.d", "nowhere.d"));
    fragment(&scene.host, "10-x.toml", "[sync]\ninterval = \"5m\"\n");
    let mut command = scene.host.command(&["run"]);
    command.env("RUNTIME_AGENT_PATHS__HOOKS", scene.host.path("hooks.d")).env("RUNTIME_AGENT_SYNC__INTERVAL", "7m");
    let agent = scene.host.start_command(command).await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the host to be paired and the files applied", is_settled).await;
    let environment = scene.host.read("spool/environment");
    assert!(environment.contains("RUNTIME_AGENT_EVENT=config-changed"), "{environment}");
    assert!(!environment.contains("__"), "{environment}");
    let codes = scene.host.read("spool/codes");
    assert!(codes.lines().all(|line| ["status 0", "status 3", "status 4"].contains(&line)), "{codes}");
    assert!(!scene.host.read("spool/status").contains("RUNTIME_AGENT"), "{}", scene.host.read("spool/status"));
    let status = agent.status().await;
    let pause = status.sync.next.unwrap().duration_since(status.sync.last_success.unwrap());
    assert!(pause.as_secs() > 330, "{pause}");

    let mut command = scene.host.command(&["status"]);
    command.env("RUNTIME_AGENT_SYNC_INTERVAL", "7m");
    let output = finished(command, "").await;
    assert_eq!(output.status.code(), Some(0), "the agent is asked all the same");
    assert!(said(&output).contains("did you mean RUNTIME_AGENT_SYNC__INTERVAL?"), "{}", said(&output));
    let mut command = scene.host.command(&["run"]);
    command.env("RUNTIME_AGENT_SYNC_INTERVAL", "7m");
    assert_eq!(finished(command, "").await.status.code(), Some(78));
}

#[tokio::test]
async fn config_prints_what_says_the_same_by_itself_and_where_each_value_comes_from() {
    let scene = Scene::new().await;
    fragment(
        &scene.host,
        "10-x.toml",
        "[report.labels]\nsite = \"a\\nb\"\n\n[[template]]\nname = \"x\"\ncontent = '''\na\nb'''\ndestination = \"/etc/x/y\"\n",
    );
    fragment(&scene.host, "20-y.toml", "[sync]\ninterval = \"10m\"\n");
    let command = |arguments: &[&str]| {
        let mut command = scene.host.command(arguments);
        command.env("RUNTIME_AGENT_SYNC__PAGE_SIZE", "7");
        command
    };
    let output = finished(command(&["config"]), "").await;
    let page = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let x = scene.host.path("agent.d/10-x.toml");
    for line in [
        format!("interval = \"10m\" # {}:2", scene.host.path("agent.d/20-y.toml").display()),
        "page_size = 7 # environment: RUNTIME_AGENT_SYNC__PAGE_SIZE".to_owned(),
        "# connector_url is not set".to_owned(),
        format!("[[template]] # {}:5", x.display()),
        format!("# then from {}", x.display()),
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    let as_read = runtime_agent::config::load(&Location::file(&scene.host.path("agent.toml"), None)).unwrap();
    let mut wanted: Settings = as_read;
    wanted.sync.page_size = with_page_size();
    assert_eq!(parse(&page, std::path::Path::new("page")).unwrap(), wanted, "{page}");

    let output = finished(command(&["config", "--json"]), "").await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["version"], document["files"].as_array().unwrap().len()), (&1.into(), 3));
    let settings = &document["settings"];
    assert_eq!(settings["sync.page_size"]["origin"]["variable"], "RUNTIME_AGENT_SYNC__PAGE_SIZE");
    assert_eq!((&settings["sync.page_size"]["value"], &settings["sync.jitter"]["value"]), (&7.into(), &0.1.into()));
    assert_eq!(settings["report.labels.site"]["origin"]["path"], *x.to_str().unwrap());
    assert_eq!(settings["report.labels.site"]["origin"]["line"], 2);
    assert_eq!((&settings["plane.connector_url"]["value"]), (&Value::Null));
    assert_eq!(document["templates"][0]["value"]["name"], "x");
    assert_eq!(document["templates"][0]["origin"]["from"], "file");
}

fn with_page_size() -> runtime_agent::director::PageSize {
    parse("[sync]\npage_size = 7\n", std::path::Path::new("x")).unwrap().sync.page_size
}

#[tokio::test]
async fn an_instance_is_told_apart_by_its_name_everywhere() {
    let output = |arguments: &'static [&'static str]| async move {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(arguments).env_clear();
        finished(command, "").await
    };
    let shown = output(&["config", "--instance", "a-test_1"]).await;
    let page = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.status.code(), Some(0), "{}", said(&shown));
    for path in [
        "/var/lib/runtime-agent@a-test_1",
        "/run/runtime-agent-apply@a-test_1.sock",
        "/etc/runtime-agent@a-test_1/pairing",
    ] {
        assert!(page.contains(&format!("\"{path}\" # default")), "{path} is not in\n{page}");
    }
    let status = output(&["--instance", "a-test_1", "status"]).await;
    assert_eq!(status.status.code(), Some(6));
    assert!(said(&status).contains("/run/runtime-agent@a-test_1/control.sock"), "{}", said(&status));
    let wrong = output(&["--instance", "a/b", "status"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("the name of an instance"), "{}", said(&wrong));
}
