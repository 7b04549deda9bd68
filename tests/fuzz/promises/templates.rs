//! Whatever applications and what belongs to them are called, what templates write stays in its folder, and its readers take
//! it for what it is.

use std::cell::LazyCell;
use std::convert::Infallible;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime_agent::config::{Place, parse};
use runtime_agent::template::{Landscape, Templates};
use serde_json::{Value, json};
use url::Url;

use super::landscape::Written;
use super::readers::{Token, nginx, unit_name, variables};
use super::{SECRET, fits_a_line, spells_the_secret};

/// A sentence of our own, with excerpts of a template and an id in it.
const LONGEST: usize = 2_000;

/// The examples, and whether credentials are in what they write.
const EXAMPLES: [(&str, bool); 7] = [
    ("binding-file", true),
    ("catalogue", false),
    ("environment-file", true),
    ("envoy", false),
    ("nginx", true),
    ("prometheus", false),
    ("systemd-dropin", false),
];

/// The filters on the name of an application.
const FILTERS: [&str; 11] = [
    "{{ application.name | env_quote }}",
    "{{ application.name | nginx_quote }}",
    "{{ application.name | shell_quote }}",
    "{{ application.name | systemd_escape }}",
    "{{ application.name | tojson }}",
    "{{ application.name | toyaml }}",
    "{{ {application.name: [application.name, 1]} | totoml }}",
    "{{ application.name | basic_auth(application.provider) }}",
    "{{ application.name | url(\"without_userinfo\") }}",
    "{{ application.name | slug }}",
    "{{ application.labels | tojson(indent=1) }}",
];

/// A path with ids in it, which are no slugs.
const PATHS: &str = r#"
    [[template]]
    name = "ids"
    content = "x"
    for_each = "binding"
    destination = "/srv/out/{{ application.id }}/{{ binding.id }}.{{ binding.slug }}.{{ bundle.slug }}"
    [[template]]
    name = "generation"
    content = "x"
    for_each = "application"
    destination = "{{ application.id }}/{{ application.slug }}"
"#;

/// All that is rendered.
struct Rules {
    examples: Vec<Templates>,
    filters: Vec<Templates>,
    paths: Templates,
}

thread_local! {
    static RULES: LazyCell<Rules> = const { LazyCell::new(Rules::load) };
}

impl Rules {
    fn load() -> Self {
        let load = |text: &str, folder: &Path| {
            let settings = parse(text, Path::new("agent.toml")).expect("rules are valid");
            Templates::load(&settings.template, folder, &settings.templates).expect("templates can be compiled")
        };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(|above| {
            let folder = above.join("etc/examples");
            folder.is_dir().then_some(folder)
        });
        let shipped = shipped.expect("the examples are there");
        let example = |(name, _): (&str, bool)| {
            let folder = shipped.join(name);
            load(&std::fs::read_to_string(folder.join("agent.toml")).expect("an example has rules"), &folder)
        };
        let filter = |content: &str| {
            let keys = "for_each = \"application\"\ndestination = \"/srv/out/{{ application.slug }}\"";
            load(&format!("[[template]]\nname = \"x\"\ncontent = '''{content}'''\n{keys}\n"), &shipped)
        };
        Self {
            examples: EXAMPLES.into_iter().map(example).collect(),
            filters: FILTERS.into_iter().map(filter).collect(),
            paths: load(PATHS, &shipped),
        }
    }
}

/// Takes `case` for the names and values of a landscape.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    if spells_the_secret(case) {
        return;
    }
    let written = Written::of(case);
    let (landscape, tame) = (written.landscape(), written.tame().landscape());
    RULES.with(|rules| {
        for ((name, holds_credentials), templates) in EXAMPLES.iter().zip(&rules.examples) {
            let Some(files) = rendered(templates, &landscape) else { continue };
            assert_eq!(rendered(templates, &landscape).as_ref(), Some(&files), "{name} is rendered otherwise");
            for (path, text) in &files {
                assert!(*holds_credentials || !text.contains(SECRET), "{name} tells a secret in {}", path.display());
            }
            let tame = rendered(templates, &tame).expect("what is tame can be rendered");
            // A binding whose id nobody would take is left out.
            assert!(files.len() == tame.len() || *name == "binding-file", "{name} writes another number of files");
            for ((_, text), (_, tame)) in files.iter().zip(&tame) {
                example(name, text, tame, &written);
            }
        }
        for (at, templates) in rules.filters.iter().enumerate() {
            for (_, text) in rendered(templates, &landscape).unwrap_or_default().iter().take(1) {
                filtered(at, text, &written);
            }
        }
        rendered(&rules.paths, &landscape);
    });
}

/// The files by their paths, in the order in which they are rendered; none, where it is refused.
fn rendered(templates: &Templates, landscape: &Landscape) -> Option<Vec<(PathBuf, String)>> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let result = templates.render::<Infallible>(landscape, &mut |rendered| {
        assert!(!format!("{rendered:?}").contains(SECRET), "a secret is shown");
        let path = rendered.destination.clone();
        let below = match rendered.rule.destination.place() {
            Place::Installed(folder) => path.strip_prefix(folder).unwrap_or_else(|_| panic!("{path:?} is elsewhere")),
            Place::Generation => &path,
        };
        assert!(below.components().all(|part| matches!(part, Component::Normal(_))), "{path:?} leads elsewhere");
        assert!(!path.to_string_lossy().contains(char::is_control), "{path:?}");
        assert!(files.iter().all(|(other, _)| !other.starts_with(&path) && !path.starts_with(other)), "{path:?} twice");
        files.push((path, String::from_utf8(rendered.content.to_vec()).expect("it is text")));
        Ok(())
    });
    match result {
        Ok(()) => Some(files),
        Err(error) => {
            let said = error.to_string();
            fits_a_line(&said, LONGEST);
            assert!(!format!("{said} {error:?}").contains(SECRET), "a secret is told: {said}");
            None
        }
    }
}

/// What the reader of an example's file finds in it.
fn example(name: &str, text: &str, tame: &str, written: &Written) {
    match name {
        "binding-file" | "environment-file" => {
            let (read, tame) = (variables(text), variables(tame));
            assert_eq!(read.len(), tame.len(), "{text:?}");
            let value = |name: &str| read.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let application = value("APPLICATION").expect("it is there");
            assert!(application == written.name || application == written.other_name);
            let password = value("API_PASSWORD").or(value("OAUTH_CLIENT_SECRET"));
            assert_eq!(password, Some(written.password.as_str()));
            assert!(read.iter().any(|(name, value)| name.starts_with("URL_") && *value == written.target_url));
        }
        "nginx" => {
            let (read, tame) = (nginx(text), nginx(tame));
            assert_eq!(read.len(), tame.len(), "{text}");
            for (read, tame) in read.iter().zip(tame) {
                match (read, &tame) {
                    (Token::Quoted(_), Token::Quoted(_)) => {}
                    // Names of places and servers are slugs.
                    (Token::Word(word), Token::Word(_)) => {
                        assert!(
                            word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte)),
                            "{word}"
                        );
                    }
                    _ => assert_eq!(*read, tame, "{text}"),
                }
            }
            let quoted = |value: &str| read.contains(&Token::Quoted(value.to_owned()));
            let login = STANDARD.encode(format!("{}:{}", written.username, written.password));
            assert!(quoted(&format!("Basic {login}")) && quoted(&written.header_value), "{text}");
        }
        "catalogue" => {
            let read: Value = serde_json::from_str(text).expect("it is JSON");
            let names: Vec<_> =
                read["applications"].as_array().expect("a list").iter().map(|app| &app["name"]).collect();
            assert!(names.contains(&&json!(written.name)) && names.contains(&&json!(written.other_name)), "{text}");
        }
        "prometheus" => {
            let read: Value = serde_json::from_str(text).expect("it is JSON");
            for target in read.as_array().expect("a list").iter().filter_map(|group| group["targets"][0].as_str()) {
                let target = Url::parse(target).expect("it is an address");
                assert!(target.username().is_empty() && target.password().is_none(), "{target}");
            }
            lines(text, tame);
        }
        _ => lines(text, tame),
    }
}

/// The same lines, whatever the values in them; and nothing in them that a reader of lines takes for their end.
fn lines(text: &str, tame: &str) {
    assert_eq!(text.lines().count(), tame.lines().count(), "{text}");
    let breaks = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    assert!(!text.contains(breaks), "{text:?}");
}

/// What the reader for whom a filter writes finds.
fn filtered(at: usize, text: &str, written: &Written) {
    // Which application comes first, their ids decide; both are rendered alike.
    let is = |read: &str| read == written.name || read == written.other_name;
    match at {
        0 => assert!(is(&variables(&format!("X={text}\n"))[0].1), "{text:?}"),
        1 => match &nginx(&format!("x {text};"))[..] {
            [Token::Word(_), Token::Quoted(read), Token::Mark(';')] => assert!(is(read), "{text:?}"),
            other => panic!("{other:?}"),
        },
        2 => match &shlex::split(text).expect("it is what a shell reads")[..] {
            [read] => assert!(is(read), "{text:?}"),
            other => panic!("{other:?}"),
        },
        3 => assert!(is(&String::from_utf8(unit_name(text)).expect("it was text")), "{text:?}"),
        4 | 5 => {
            assert!(is(serde_json::from_str::<Value>(text).expect("it is JSON").as_str().expect("a text")), "{text}");
        }
        6 => {
            let read: toml::Table = format!("key = {text}").parse().expect("it is TOML");
            let (key, values) = read["key"].as_table().and_then(|table| table.iter().next()).expect("a table");
            assert!(is(key) && values[0].as_str() == Some(key), "{text}");
        }
        7 => {
            let said = text.strip_prefix("Basic ").and_then(|said| STANDARD.decode(said).ok()).expect("it is Base64");
            let said = String::from_utf8(said).expect("it was text");
            let (user, password) = said.split_once(':').expect("there is a colon");
            assert!(is(user) && password == written.provider, "{said:?}");
        }
        8 => {
            let url = Url::parse(text).expect("it is an address");
            assert!(url.username().is_empty() && url.password().is_none(), "{url}");
        }
        9 => assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')),
        10 => {
            let read: Value = serde_json::from_str(text).expect("it is JSON");
            assert_eq!(read[&written.label], written.label_value, "{text}");
        }
        _ => unreachable!("there are no more filters"),
    }
}
