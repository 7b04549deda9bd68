//! What an administrator sees of generations and templates without the agent: lists, differences without secrets, and
//! what templates would make.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Output;

use plane::Options;
use plane::model::Credential;
use runtime_agent::config::{Settings, parse};
use serde_json::Value;

use crate::drop::give_away;
use crate::following::application;
use crate::host::{Host, said};
use crate::scene::Scene;
use crate::tree::everything;

/// Passwords that their notations change, each with a part that no notation changes.
const OLD: &str = "canary-OLD'1 $\"%&/+=é";
const NEW: &str = "canary-NEW'2 $\"%&/+=é";
const OTHER: &str = "canary-OTHER-3";

/// Templates that write credentials in every form, one of them into the generation itself.
const TEMPLATES: &str = r#"
[[template]]
name = "all-forms"
for_each = "credential"
destination = "ROOT/installed/{{ application.slug }}.{{ bundle.slug }}.conf"
mode = "0640"
content = """
name {{ application.name }}
raw {{ credential.password }}
json {{ credential.password | tojson }}
yaml {{ credential.password | toyaml }}
toml {{ credential.password | totoml }}
shell {{ credential.password | shell_quote }}
env {{ credential.password | env_quote }}
unit {{ credential.password | systemd_escape }}
html {{ credential.password | escape }}
basic {{ credential.username | basic_auth(credential.password) }}
"""

[[template]]
name = "inside"
destination = "summary/all.txt"
mode = "0644"
content = """
{% for application in applications %}
{{ application.name }}{% for bundle in application.bundles %} {{ bundle.credentials.password }}{% endfor %}

{% endfor %}
"""
"#;

fn with_templates(settings: &mut Settings) {
    let root = settings.paths.state.parent().unwrap().to_str().unwrap().to_owned();
    settings.template = parse(&TEMPLATES.replace("ROOT", &root), Path::new("test")).unwrap().template;
}

/// A host with three generations: an application, another one, and the first one with another password.
async fn host_with_three() -> Scene {
    let scene = Scene::with(Options::default(), with_templates).await;
    scene.plane.edit(|model| model.applications.clear());
    scene.plane.put_application(application("Shop", OLD));
    let agent = scene.paired_without_hooks().await;
    scene.plane.put_application(application("Other", OTHER));
    assert!(agent.sync().await.message.starts_with("Generation 2:"));
    let id = scene.plane.applications().into_iter().find(|application| application.name == "Shop").unwrap().id.clone();
    scene.plane.edit(|model| {
        let auth = &mut model.application_mut(&id).unwrap().bundles[0].default_instance_auth;
        let credential = &mut auth.as_mut().unwrap().credential;
        *credential = Some(Credential::Basic { username: "user".into(), password: NEW.into() });
    });
    assert!(agent.sync().await.message.starts_with("Generation 3:"));
    agent.terminate().await;
    scene
}

/// Runs a command that only looks, and makes sure that it does.
async fn look(host: &Host, arguments: &[&str]) -> Output {
    let before = everything(&host.path("state"));
    let output = host.run(arguments, "").await;
    assert_eq!(everything(&host.path("state")), before, "{arguments:?} changed something");
    let said = said(&output);
    for canary in ["canary", "OLD", "NEW", "OTHER-3", "'1", "'2"] {
        assert!(!said.contains(canary), "{canary} of {arguments:?} is in: {said}");
    }
    // As HTTP Basic has it, and its later half, too.
    for password in [OLD, NEW, OTHER] {
        let encoded = base64(&format!("user:{password}"));
        assert!(!said.contains(&encoded[encoded.len() / 2..]), "{said}");
    }
    output
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn generations_are_listed_with_the_agent_and_without() {
    let scene = host_with_three().await;
    let output = look(&scene.host, &["generations", "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["version"], &document["current"], &document["applied"]),
        (&1.into(), &3.into(), &Value::Null)
    );
    let list = document["generations"].as_array().unwrap();
    let told = |key: &str| -> Vec<u64> { list.iter().map(|line| line[key].as_u64().unwrap()).collect() };
    assert_eq!(told("generation"), [3, 2, 1]);
    assert_eq!(told("applications"), [2, 2, 1]);
    assert_eq!(told("template_files"), [3, 3, 2]);
    assert!(list[0]["published_at"].as_str().unwrap().starts_with("20"), "{document}");

    let page = stdout(&look(&scene.host, &["generations"]).await);
    let lines: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4, "{page}");
    assert_eq!((lines[1][0], *lines[1].last().unwrap(), lines[2][0]), ("3", "current", "2"), "{page}");

    // One that cannot be read is told, and does not hide the others.
    fs::write(scene.host.path("state/config/0002/manifest.json"), "nonsense").unwrap();
    let page = stdout(&look(&scene.host, &["generations"]).await);
    assert!(page.contains("generation 2 is damaged: its manifest cannot be understood"), "{page}");
    assert_eq!(page.lines().count(), 4, "{page}");
}

#[tokio::test]
async fn what_hooks_have_seen_is_told_where_the_agent_can_be_asked() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let page = said(&scene.host.run(&["generations"], "").await);
    assert!(page.contains("current, applied"), "{page}");
    drop(agent);
}

#[tokio::test]
async fn a_host_without_generations_is_told_by_a_sentence_and_a_status_of_its_own() {
    let scene = Scene::new().await;
    for (command, status) in [("generations", 7), ("diff", 2)] {
        let output = scene.host.run(&[command], "").await;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{}", said(&output));
        assert!(said(&output).contains("nothing is published in"), "{}", said(&output));
    }
    let output = scene.host.run(&["generations", "--json"], "").await;
    assert_eq!(output.status.code(), Some(7));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["generations"], Value::Array(Vec::new()));
    assert!(!scene.host.path("state").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_difference_shows_that_a_secret_changed_and_no_secret() {
    let scene = host_with_three().await;
    for color in ["--color=auto", "--color=always", "--color=never"] {
        for arguments in [
            &["diff", color][..],
            &["diff", color, "2"],
            &["diff", color, "2", "3"],
            &["diff", color, "0002", "current"],
        ] {
            let arguments: Vec<&str> = arguments.iter().map(|argument| argument.trim_start_matches('0')).collect();
            let output = look(&scene.host, &arguments).await;
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            let text = stdout(&output);
            assert_eq!(text.contains("\u{1b}[31m-"), color == "--color=always", "{text}");
            let plain = text
                .replace("\u{1b}[31m", "")
                .replace("\u{1b}[32m", "")
                .replace("\u{1b}[0m", "")
                .replace("\u{1b}[1m", "");
            for line in [
                "--- applications/shop/bundles/orders/credentials.json\tgeneration 2\n",
                "+++ applications/shop/bundles/orders/credentials.json\tgeneration 3\n",
                "-    \"password\": \"[secret changed]\",\n",
                "+    \"password\": \"[secret changed]\",\n",
                "+PASSWORD=\"[secret changed]\"\n",
                "/installed/shop.orders.conf\tgeneration 3\n",
                "+raw [secret changed]\n",
                "+basic Basic [secret changed]\n",
                "--- summary/all.txt\tgeneration 2\n",
                "-Shop [secret changed]\n",
                "Other [secret]\n",
            ] {
                assert!(plain.contains(line), "{line:?} is not in {plain}");
            }
            assert!(!plain.contains("other/"), "what did not change is not shown: {plain}");
        }
    }
    // What came, and the same backwards.
    let output = look(&scene.host, &["diff", "1", "2"]).await;
    let text = stdout(&output);
    assert!(text.contains("--- /dev/null\n+++ applications/other/application.json\tgeneration 2\n"), "{text}");
    assert!(text.contains("+raw [secret]\n"), "{text}");
    let output = look(&scene.host, &["diff", "2", "1"]).await;
    assert!(stdout(&output).contains("-raw [secret]\n"), "{}", said(&output));
    // The same, and what is not there.
    let output = look(&scene.host, &["diff", "3"]).await;
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    let output = look(&scene.host, &["diff", "9"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("there is no generation 9; there are: 1, 2, 3"), "{}", said(&output));
    let output = scene.host.run(&["diff", "first"], "").await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn where_a_secret_cannot_be_known_nothing_that_may_hold_it_is_shown() {
    let scene = host_with_three().await;
    let object = fs::read_link(scene.host.path("state/config/0002/applications/shop")).unwrap();
    let object = scene.host.path("state/config/0002/applications").join(object);
    let file = object.join("bundles/orders/credentials.json");
    let good = fs::read(&file).unwrap();
    // A bundle's file that this program does not understand, or that is gone.
    for damage in [Some("{\"version\":1}"), None] {
        match damage {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let output = look(&scene.host, &["diff"]).await;
        let text = stdout(&output);
        if damage.is_none() {
            assert_eq!((output.status.code(), text.as_str()), (Some(2), ""));
            assert!(said(&output).contains("generation 2 is damaged: "), "{}", said(&output));
        } else {
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            assert!(text.contains("/installed/shop.orders.conf differs (its content is not shown:"), "{text}");
            assert!(text.contains("summary/all.txt differs"), "{text}");
            assert!(!text.contains("@@"), "{text}");
        }
    }
    fs::write(&file, good).unwrap();
}

#[tokio::test]
async fn who_may_not_read_credentials_learns_only_which_files_differ() {
    const NOBODY: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody else; that somebody is told the same is what this test is about.
        return;
    }
    let scene = host_with_three().await;
    // The agent's user is another one, and so nobody may read what is not for everybody.
    give_away(&scene.host.path("state"), 12_345);
    chown(scene.host.path(""), Some(12_345), Some(12_345)).unwrap();
    fs::set_permissions(scene.host.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scene.host.path("agent.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = scene.host.command(&["diff"]);
    command.uid(NOBODY).gid(NOBODY);
    let output = crate::host::finished(command, "").await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(!said(&output).contains("canary") && !text.contains("@@"), "{text}");
    for line in [
        "applications/shop/bundles/orders/credentials.json may differ (",
        "/installed/shop.orders.conf differs (",
        // Everybody may read this one, and yet it is not shown.
        "summary/all.txt differs (",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    // Root looks with the rights of the agent's user, and so sees what that user may.
    let output = look(&scene.host, &["diff"]).await;
    assert!(stdout(&output).contains("+raw [secret changed]\n"), "{}", said(&output));
    fs::remove_file(scene.host.path("state/config/0003/manifest.json")).unwrap();
    fs::write(scene.host.path("for-root"), "{\"canary\": 1}").unwrap();
    fs::set_permissions(scene.host.path("for-root"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(scene.host.path("for-root"), scene.host.path("state/config/0003/manifest.json"))
        .unwrap();
    let output = look(&scene.host, &["diff"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("Permission denied"), "{}", said(&output));
}

/// The lines about files, by the word that they begin with and what follows it.
fn previews(output: &Output) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (fate, rest) = line.split_once(' ')?;
        let destination = rest.trim_start().split_once("  (")?.0;
        Some((fate.to_owned(), destination.rsplit('/').next()?.to_owned()))
    };
    stdout(output).lines().filter_map(line).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(fate, name)| ((*fate).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn a_dry_run_says_what_would_become_of_each_file() {
    let scene = host_with_three().await;
    let same = pairs(&[("same", "other.orders.conf"), ("same", "shop.orders.conf"), ("same", "all.txt")]);
    let sorted = |output: &Output| {
        let mut previews = previews(output);
        previews.sort();
        previews
    };
    let output = look(&scene.host, &["render", "--dry-run"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(sorted(&output), {
        let mut same = same;
        same.sort();
        same
    });
    let text = stdout(&output);
    let line = text.lines().find(|line| line.contains("shop.orders.conf")).unwrap();
    let size = fs::read_dir(scene.host.path("state/config/blobs")).unwrap().count();
    assert!(size > 0 && line.contains("(all-forms: application shop, bundle orders; "), "{line}");
    assert!(line.ends_with(" bytes, mode 0640)"), "{line}");
    assert!(text.contains(": 0 new, 0 changed, 3 the same, 0 gone. Nothing was written."), "{text}");

    // Another text, another destination, one template fewer.
    let good = scene.host.read("agent.toml");
    scene.host.configure(|settings| {
        with_templates(settings);
        let text = "[[template]]\nname='x'\ncontent='{{ bundle.credentials.password }}'\nfor_each='bundle'\nmode='0644'\n\
            destination='new/{{ application.slug }}'\n[[template]]\nname='inside'\ncontent='other'\nmode='0644'\n\
            destination='summary/all.txt'\n";
        settings.template = parse(text, Path::new("test")).unwrap().template;
    });
    let output = look(&scene.host, &["render", "--dry-run"]).await;
    assert_eq!(
        sorted(&output),
        pairs(&[
            ("changed", "all.txt"),
            ("gone", "other.orders.conf"),
            ("gone", "shop.orders.conf"),
            ("new", "other"),
            ("new", "shop"),
        ])
    );
    let output = look(&scene.host, &["render", "--dry-run", "--template", "x"]).await;
    assert_eq!(sorted(&output), pairs(&[("new", "other"), ("new", "shop")]));
    let output = look(&scene.host, &["render", "--dry-run", "--template", "y"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no template \"y\"; it has: x, inside"), "{}", said(&output));
    scene.host.write_configuration(&good);

    // Names are those that the agent would give, also where it would have to make files anew.
    fs::write(scene.host.path("state/config/current/outputs.json"), "nonsense").unwrap();
    let output = look(&scene.host, &["render", "--dry-run"]).await;
    assert!(previews(&output).iter().all(|(fate, _)| fate == "new"), "{}", said(&output));
    assert!(said(&output).contains("all files are shown as new"), "{}", said(&output));
}

#[tokio::test]
async fn files_are_written_below_the_folder_that_is_asked_for_and_nowhere_else() {
    let scene = host_with_three().await;
    let installed = everything(&scene.host.path("")).into_keys().filter(|path| path.starts_with("installed")).count();
    let to = scene.host.path("look");
    let output = look(&scene.host, &["render", "--dry-run", "--to", to.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let root = to.join(scene.host.path("installed").strip_prefix("/").unwrap());
    let written = fs::read_to_string(root.join("shop.orders.conf")).unwrap();
    assert!(written.contains(&format!("raw {NEW}\n")), "{written}");
    let inside = fs::read_to_string(to.join("generation/summary/all.txt")).unwrap();
    assert_eq!(inside, fs::read_to_string(scene.host.path("state/config/current/summary/all.txt")).unwrap());
    for (path, entry) in everything(&to) {
        assert_eq!(entry.mode & 0o077, 0, "{} is for others, too", path.display());
    }
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o700);
    let now = everything(&scene.host.path("")).into_keys().filter(|path| path.starts_with("installed")).count();
    assert_eq!(now, installed, "nothing is installed");

    // One that is not empty, that others may look into, or that is a link.
    let open = scene.host.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(scene.host.path("private")).unwrap();
    fs::set_permissions(scene.host.path("private"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(scene.host.path("private"), scene.host.path("link")).unwrap();
    let (file, link) = (scene.host.path("agent.toml"), format!("{}/", scene.host.path("link").display()));
    for (folder, reason) in [
        (to.to_str().unwrap(), "is not empty"),
        (open.to_str().unwrap(), "others have rights"),
        (link.as_str(), "cannot open the folder"),
        (file.to_str().unwrap(), "cannot open the folder"),
    ] {
        let output = look(&scene.host, &["render", "--dry-run", "--to", folder]).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(reason), "{}", said(&output));
    }
    let private = scene.host.path("private");
    let output = look(&scene.host, &["render", "--dry-run", "--to", private.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "an empty one is taken: {}", said(&output));
}

#[tokio::test]
async fn what_cannot_be_rendered_is_told_and_nothing_is_written() {
    let scene = Scene::new().await;
    let to = scene.host.path("look");
    let arguments = ["render", "--dry-run", "--to", to.to_str().unwrap()];
    let output = scene.host.run(&arguments, "").await;
    assert_eq!(output.status.code(), Some(7));
    assert!(said(&output).contains("nothing that the plane said is kept"), "{}", said(&output));
    let output = scene.host.run(&["render"], "").await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("the agent renders and installs by itself"), "{}", said(&output));

    let scene = host_with_three().await;
    let to = scene.host.path("look");
    let arguments = ["render", "--dry-run", "--to", to.to_str().unwrap()];
    for (text, reason) in [
        ("a\n{% if %}", "the template x cannot be used: "),
        ("{{ application.nmae }}", "the template x cannot be "),
        ("{{ credential.password.nothing }}", "the template x cannot be rendered for application"),
    ] {
        scene.host.configure(|settings| {
            let rule = format!(
                "[[template]]\nname='good'\ncontent='x'\ndestination='good'\n[[template]]\nname='x'\n\
                 for_each='credential'\ncontent={}\ndestination='x/{{{{ application.slug }}}}'\n",
                serde_json::to_string(text).unwrap()
            );
            settings.template = parse(&rule, Path::new("test")).unwrap().template;
        });
        let output = look(&scene.host, &arguments).await;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(8), 0), "{}", said(&output));
        assert!(said(&output).contains(reason), "{}", said(&output));
        assert!(!to.exists(), "nothing was written");
    }
    scene.host.configure(with_templates);
    fs::write(scene.host.path("state/snapshot.json"), "canary").unwrap();
    let output = look(&scene.host, &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not the header of a snapshot"), "{}", said(&output));
}
