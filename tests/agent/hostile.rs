//! Names of applications that are paths, commands and forged lines: files for them are where their templates say.

use std::fs;

use crate::following::application;
use crate::scene::{Scene, is_settled};
use crate::tree::everything;

const NAMES: [&str; 12] = [
    "../../etc/cron.d/x",
    "/etc/cron.d/x",
    "..",
    ".",
    "",
    "x\n<2>runtime-agent: forged",
    "x\0y",
    "$(touch /tmp/x)",
    "-rf",
    "{{ 7 * 7 }}",
    "\u{202e}gpj.x",
    "x.runtime-agent-backup",
];

#[tokio::test]
async fn a_name_that_is_a_path_a_command_or_a_line_of_its_own_stays_a_name() {
    let scene = Scene::new().await;
    let etc = scene.host.path("etc");
    fs::create_dir_all(etc.join("conf.d/in")).unwrap();
    let rules = r#"
        [[template]]
        name = "flat"
        for_each = "application"
        destination = "ETC/conf.d/{{ application.slug }}"
        content = "{{ application.id }}"
        validate = ["test", "-s", "{}"]
        [[template]]
        name = "deep"
        for_each = "application"
        destination = "ETC/conf.d/in/{{ application.slug }}/env"
        content = "{{ application.id }}"
    "#;
    let rules = rules.replace("ETC", etc.to_str().unwrap());
    let rules = toml::from_str::<runtime_agent::config::Settings>(&rules).unwrap().template;
    scene.host.configure(|settings| settings.template = rules);
    scene.plane.edit(|model| model.applications.clear());
    let ids: Vec<String> = NAMES.iter().map(|name| scene.plane.put_application(application(name, "canary"))).collect();
    let agent = scene.paired().await;
    agent.wait_for("the files", is_settled).await;
    for folder in ["etc/conf.d", "etc/conf.d/in"] {
        let entries = fs::read_dir(scene.host.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter_map(|path| match path.file_name().unwrap().to_str().unwrap() {
            "in" => None,
            _ if path.is_dir() => Some(fs::read_to_string(path.join("env")).unwrap()),
            _ => Some(fs::read_to_string(path).unwrap()),
        });
        let (mut files, mut ids) = (files.collect::<Vec<_>>(), ids.clone());
        files.sort();
        ids.sort();
        assert_eq!(files, ids, "each has its file below {folder}");
    }
    assert!(everything(&etc).keys().all(|path| path.starts_with("conf.d")));
    assert!(!scene.host.log().lines().any(|line| line.starts_with("<2>")), "{}", scene.host.log());
}
