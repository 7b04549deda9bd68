//! What bindings of a service broker are called with: in files where a template asks for it, and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::example::{Host, application, bundle, files, snapshot};
use crate::comparison::{Verdict, compare};
use crate::config::parse;
use crate::output::manifest::GenerationNumber;
use crate::output::{Published, Rendering, View, ViewError};
use crate::snapshot::{Condition, Credential, InstanceAuth, Snapshot, example};

const RULE: &str = "[[template]]\nname = 'x'\nfor_each = 'binding'\nmode = '0600'\n\
                    content = '{{ credential.password }}'\ndestination = 'of/{{ bundle.slug }}/{{ binding.slug }}'\n";

fn use_template(host: &mut Host, rule: &str) {
    let rendering = Rendering::load(&parse(rule, Path::new("agent.toml")).unwrap()).unwrap();
    host.store().use_templates(rendering.map(Arc::new));
}

fn of_binding(id: &str, binding: &str, condition: Condition, password: &str) -> InstanceAuth {
    InstanceAuth {
        id: id.parse().unwrap(),
        condition,
        message: None,
        context: Some(format!(r#"{{"instance_id":"i-1","binding_id":"{binding}"}}"#).into()),
        auth: Some(example::auth(Credential::Basic { username: "till".into(), password: password.into() })),
    }
}

fn granted(id: &str, binding: &str, password: &str) -> InstanceAuth {
    of_binding(id, binding, Condition::Succeeded, password)
}

fn with(auths: Vec<InstanceAuth>) -> Arc<Snapshot> {
    let mut orders = bundle("1", "Orders", "of-the-bundle");
    orders.instance_auths = auths;
    snapshot([application("a", "Shop", [orders]), application("b", "Crm", [])])
}

/// What templates made, by its name.
fn made(host: &Host) -> BTreeMap<String, String> {
    let folder = host.root().join("current/of/orders");
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

fn holding(host: &Host, secret: &str) -> Vec<(String, u32)> {
    let holds = |content: &[u8]| String::from_utf8_lossy(content).contains(secret);
    let found = files(&host.root()).into_iter().filter(|(_, (_, _, content))| holds(content));
    found.map(|(path, (mode, ..))| (path, mode)).collect()
}

#[test]
fn no_file_holds_what_is_for_a_binding_unless_a_template_asks_for_it() {
    let mut host = Host::new();
    let said = with(vec![granted("9", "b-1", "canary-till"), of_binding("8", "b-2", Condition::Unused, "canary-old")]);
    host.publish(&said);
    use_template(
        &mut host,
        &RULE
            .replace("'binding'", "'bundle'")
            .replace("credential.password", "bundle.name")
            .replace("{{ binding.slug }}", "x"),
    );
    host.publish(&said);
    assert_eq!(holding(&host, "canary"), []);

    use_template(&mut host, RULE);
    host.publish(&said);
    assert_eq!(made(&host), BTreeMap::from([("b-1".to_owned(), "canary-till".to_owned())]));
    let found = holding(&host, "canary-till");
    assert_eq!(found.len(), 2, "that of the template, and what the agent knows it by: {found:?}");
    for (path, mode) in found {
        assert!(path.starts_with("blobs/") || path.ends_with("bundles/orders/bindings/b-1.json"), "{path}");
        assert_eq!(mode, 0o100_600, "{path}");
    }
    assert_eq!(holding(&host, "canary-old"), [], "what is not usable is in no file");
    assert!(!format!("{:?}", host.store()).contains("canary"));
}

#[test]
fn a_change_of_one_binding_touches_no_file_of_another_and_one_that_goes_takes_its_file_along() {
    let mut host = Host::new();
    use_template(&mut host, RULE);
    let quiet = || granted("1", "quiet", "canary-quiet");
    host.publish(&with(vec![quiet(), granted("2", "busy", "canary-one")]));
    let link = |host: &Host, name: &str| fs::read_link(host.root().join("current/of/orders").join(name)).unwrap();
    let before = (link(&host, "quiet"), link(&host, "busy"));
    let Published::New { changes, .. } = host.publish(&with(vec![quiet(), granted("2", "busy", "canary-two")])) else {
        panic!("another password is a change")
    };
    assert_eq!((changes.changed.len(), changes.added.len(), changes.removed.len()), (1, 0, 0));
    assert_eq!(made(&host)["busy"], "canary-two");
    assert!(link(&host, "quiet") == before.0 && link(&host, "busy") != before.1);
    assert_eq!(host.publish(&with(vec![quiet(), granted("2", "busy", "canary-two")])), Published::Unchanged);

    host.publish(&with(vec![quiet(), of_binding("2", "busy", Condition::Unused, "canary-two")]));
    assert_eq!(made(&host).into_keys().collect::<Vec<_>>(), ["quiet"]);
    host.publish(&with(vec![]));
    assert_eq!(made(&host), BTreeMap::new());
}

#[test]
fn a_binding_keeps_its_name_whoever_comes_or_goes_and_after_a_restart() {
    let mut host = Host::new();
    use_template(&mut host, RULE);
    let second = || granted("2", "Till!", "canary-2");
    host.publish(&with(vec![second()]));
    assert_eq!(made(&host)["till"], "canary-2");
    for _ in 0..2 {
        host.reopen();
        use_template(&mut host, RULE);
        host.publish(&with(vec![granted("1", "till", "canary-1"), second()]));
        assert_eq!(made(&host)["till"], "canary-2", "the one that came first has the name still");
        assert_eq!(made(&host).len(), 2);
    }
    // One that is not granted yet has its name already.
    host.publish(&with(vec![of_binding("0", "later", Condition::Pending, "canary-0"), second()]));
    host.reopen();
    use_template(&mut host, RULE);
    host.publish(&with(vec![granted("00", "later", "canary-00"), granted("0", "later", "canary-0"), second()]));
    assert_eq!(made(&host)["later"], "canary-0");
}

#[test]
fn two_requests_of_one_id_are_no_state_of_the_plane() {
    let mut host = Host::new();
    let said = with(vec![granted("1", "b-1", "canary"), granted("1", "b-2", "canary")]);
    let error = host.store().publish(&said, Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(error.to_string().contains("lists the instance auth 1 twice"), "{error}");
}

#[test]
fn a_difference_shows_that_the_secret_of_a_binding_changed_and_no_secret() {
    let mut host = Host::new();
    use_template(&mut host, RULE);
    // Its name is not to be taken for that of another file.
    host.publish(&with(vec![granted("1", "credentials", "canary-one")]));
    host.publish(&with(vec![granted("1", "credentials", "canary-two")]));
    let view = View::new(&host.root());
    let number = |number: &str| GenerationNumber::from_folder(number).unwrap();
    let mut text = String::new();
    let mut sink = |line: crate::comparison::DiffLine| text += &(line.text + "\n");
    let verdict = compare(&view, number("0001"), number("0002"), &mut sink).unwrap();
    assert_eq!(verdict, Verdict::Different);
    assert!(!text.contains("canary"), "{text}");
    for line in [
        "+++ applications/shop/bundles/orders/bindings/credentials.json\tgeneration 2\n",
        "+    \"password\": \"[secret changed]\",\n",
        "+++ of/orders/credentials\tgeneration 2\n",
        "+[secret changed]\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }

    let file = host.root().join("current/applications/shop/bundles/orders/bindings/credentials.json");
    fs::remove_file(file).unwrap();
    match view.files(number("0002")) {
        Err(ViewError::Damaged { why, .. }) => assert!(why.contains("binding credentials"), "{why}"),
        other => panic!("whoever cannot know what to hide shows nothing: {other:?}"),
    }
}
