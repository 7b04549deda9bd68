//! What counts, and what is said where it cannot.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;
use crate::config::{ApplyMode, InstanceName, Seconds};
use crate::renewal::Moment;

const DEFAULT_FILE: &str = include_str!("../../../etc/agent.toml");

fn refusal(text: &str) -> String {
    parse(text, Path::new("agent.toml")).unwrap_err().to_string()
}

#[test]
fn the_default_file_changes_nothing_and_each_of_its_values_is_the_built_in_one() {
    assert_eq!(parse(DEFAULT_FILE, Path::new("x")).unwrap(), Settings::default());
    // `#key = value` is a setting with its default; `# prose` is prose.
    let is_setting = |line: &str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
    let uncommented: String = DEFAULT_FILE
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(parse(&uncommented, Path::new("x")).unwrap(), Settings::default());
    let shown: toml::Table = toml::from_str(&uncommented).unwrap();
    let known = toml::Table::try_from(Settings::default()).unwrap();
    for (section, values) in &known {
        for key in values.as_table().unwrap().keys() {
            assert!(shown[section].get(key).is_some(), "etc/agent.toml does not show {section}.{key}");
        }
    }
}

#[test]
fn a_misspelt_key_is_shown_with_its_line_and_what_is_allowed() {
    let text = refusal("[sync]\nintervall = \"3m\"\n");
    assert!(text.contains("line 2") && text.contains("intervall") && text.contains("`interval`"), "{text}");
}

#[test]
fn an_impossible_value_is_shown_with_its_line_and_its_bounds() {
    let text = refusal("[sync]\ninterval = \"1s\"\n");
    assert!(text.contains("line 2") && text.contains("from 5s to 7days"), "{text}");
    let text = refusal("[plane]\nconnector_url = \"http://plane.example.com\"\n");
    assert!(text.contains("line 2") && text.contains("only https: is accepted"), "{text}");
    let text = refusal("[plane]\nproxy = \"http://u:canary@proxy.example.com\" # @\n");
    assert!(text.contains("line 2") && text.contains("**@") && text.contains("HTTPS_PROXY in a file"), "{text}");
    assert!(!text.contains("canary"), "{text}");
    let text = refusal("[sync]\npage_size = 0\n");
    assert!(text.contains("line 2") && text.contains("200"), "{text}");
    let text = refusal("[plane]\nmax_answer = \"1 KiB\"\n");
    assert!(text.contains("line 2") && text.contains("out of bounds"), "{text}");
    let text = refusal("[paths]\nstate = \"var\"\n");
    assert!(text.contains("paths.state") && text.contains("absolute"), "{text}");
    let text = refusal("[plane]\nca_bundle = \"https://u:canary@files.example.com/ca.pem\"\n");
    assert!(text.contains("plane.ca_bundle") && text.contains("absolute") && text.contains("line 2"), "{text}");
    assert!(text.contains("**@files.example.com") && !text.contains("canary"), "{text}");
}

#[test]
fn renewal_is_by_a_share_or_by_what_remains_and_only_within_bounds() {
    let settings = |text: &str| parse(text, Path::new("x")).unwrap();
    assert_eq!(settings("").renewal.policy().moment, Moment::After(0.667));
    let moment = settings("[renewal]\nafter = 0.5\nbefore = \"30days\"\n").renewal.policy().moment;
    let remaining = std::time::Duration::from_secs(30 * 24 * 60 * 60);
    assert_eq!(moment, Moment::Before { remaining, otherwise: 0.5 });
    let text = refusal("[renewal]\nbefore = \"0s\"\n");
    assert!(text.contains("line 2") && text.contains("from 1m to"), "{text}");
    let text = refusal("[renewal]\nbefore = 0.3\n");
    assert!(text.contains("line 2") && text.contains("a duration"), "{text}");
    let text = refusal("[renewal]\nafter = 0.97\nbefore = \"30days\"\n");
    assert!(text.contains("renewal.after = 0.97 must be from"), "{text}");
    let text = refusal("[renewal]\njitter = 0.4\n");
    assert!(text.contains("half of renewal.after"), "{text}");
}

#[test]
fn a_label_has_a_name_that_planes_take_and_one_value() {
    let settings = parse("[report.labels]\nsite_2 = \"fra\"\n", Path::new("x")).unwrap();
    assert_eq!(settings.report.labels.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["site_2"]);
    let text = refusal("[report.labels]\n\"a-b\" = \"x\"\n");
    assert!(text.contains("line 2") && text.contains("letters, digits and underscores"), "{text}");
    let twice = "[report]\nevents_url = \"https://e.example.com\"\nlabels = { runtime_eventServiceUrl = \"x\" }\n";
    assert!(refusal(twice).contains("given twice"), "{}", refusal(twice));
}

#[test]
fn a_broken_file_is_told_in_one_line_and_does_not_hide_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, "[paths]\nruntime = \"/elsewhere\"\n[sync]\nintervall = \"3m\"\n").unwrap();
    let brief = load(&Location::file(&path, None)).unwrap_err().brief();
    assert!(brief.contains("line 4") && brief.contains("unknown field `intervall`"), "{brief}");
    assert!(!brief.contains('\n') && !brief.contains('|') && !brief.contains('^'), "{brief}");
    let long = format!("[sync]\n\"interval\\u001b[31m\\n{}\" = 1\n", "x".repeat(10_000));
    std::fs::write(&path, long).unwrap();
    let brief = load(&Location::file(&path, None)).unwrap_err().brief();
    assert!(brief.contains("line 2") && brief.contains("unknown field `interval [31m"), "{brief}");
    assert!(!brief.contains(char::is_control) && brief.len() < 3_000, "{brief}");
    std::fs::write(&path, "[paths]\nruntime = \"/elsewhere\"\n[sync]\nintervall = \"3m\"\n").unwrap();
    assert_eq!(paths(&Location::file(&path, None)).runtime, Path::new("/elsewhere"));
    std::fs::write(&path, "not TOML at all").unwrap();
    assert_eq!(paths(&Location::file(&path, None)), Paths::default());
}

#[test]
fn what_is_no_file_is_refused_without_hanging() {
    assert!(matches!(load(&Location::file(Path::new("/dev/zero"), None)), Err(ConfigError::NotAFile(_))));
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(load(&Location::file(&fifo, None)), Err(ConfigError::NotAFile(_))));
}

#[test]
fn a_missing_file_is_an_error_unless_it_is_the_default_one() {
    let error = load(&Location::file(Path::new("/nonexistent/agent.toml"), None)).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/agent.toml"), "{error}");
}

/// A root with the files of a configuration.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let file = self.path(path);
        // Whatever the umask of the tests.
        let mut folder = self.0.path().to_owned();
        for part in Path::new(path).parent().unwrap() {
            folder.push(part);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    fn read(&self, variables: &[(&str, &str)]) -> Result<Configuration, ConfigError> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        gather_with(&Location::below(self.0.path(), None), variables)
    }

    fn settings(&self) -> Settings {
        self.read(&[]).unwrap().settings
    }

    fn refusal(&self) -> String {
        self.read(&[]).unwrap_err().to_string()
    }
}

fn interval(seconds: u64) -> String {
    format!("[sync]\ninterval = \"{seconds}s\"\n")
}

#[test]
fn later_names_win_over_earlier_ones_whatever_their_folder_and_variables_over_all() {
    let root = Root::new();
    assert_eq!(root.settings(), Settings::default(), "no file is a complete configuration");
    root.write("usr/lib/runtime-agent/agent.toml", &interval(10));
    assert_eq!(root.settings().sync.interval, Seconds::new(10));
    root.write("etc/runtime-agent/agent.toml", &format!("{}page_size = 7\n", interval(11)));
    assert_eq!(root.settings().sync.interval, Seconds::new(11));
    for (folder, name, seconds) in [
        ("etc/runtime-agent/agent.d", "10-a.toml", 20),
        ("run/runtime-agent.d", "20-b.toml", 21),
        ("usr/lib/runtime-agent/agent.d", "30-c.toml", 22),
    ] {
        root.write(&format!("{folder}/{name}"), &interval(seconds));
        assert_eq!(root.settings().sync.interval, Seconds::new(seconds), "{folder}/{name}");
    }
    for other in ["40-d.toml~", "40-d.conf", ".40-d.toml"] {
        root.write(&format!("etc/runtime-agent/agent.d/{other}"), "nonsense");
    }
    let read = root.read(&[("RUNTIME_AGENT_SYNC__INTERVAL", "23s")]).unwrap();
    assert_eq!(read.settings.sync.interval, Seconds::new(23));
    assert_eq!(read.origin("sync.interval").to_string(), "environment: RUNTIME_AGENT_SYNC__INTERVAL");
    let main = root.path("etc/runtime-agent/agent.toml");
    assert_eq!(read.origin("sync.page_size"), &Origin::File { path: main.clone(), line: 3 });
    assert_eq!(read.origin("sync.jitter"), &Origin::Default);
    assert_eq!(read.files.len(), 4, "{:?}", read.files);
    assert_eq!(read.files[0], main);
    assert!(read.files[3].ends_with("30-c.toml"));
}

#[test]
fn a_file_hides_those_of_its_name_and_an_empty_one_or_a_link_to_dev_null_leaves_nothing() {
    let root = Root::new();
    let vendor = "usr/lib/runtime-agent/agent.d/10-x.toml";
    root.write(vendor, "[sync]\ninterval = \"20s\"\npage_size = 7\n");
    root.write("run/runtime-agent.d/10-x.toml", &interval(21));
    let read = root.settings();
    assert_eq!((read.sync.interval, read.sync.page_size), (Seconds::new(21), Settings::default().sync.page_size));
    root.write("etc/runtime-agent/agent.d/10-x.toml", "");
    assert_eq!(root.settings(), Settings::default());
    fs::remove_file(root.path("etc/runtime-agent/agent.d/10-x.toml")).unwrap();
    symlink("/dev/null", root.path("etc/runtime-agent/agent.d/10-x.toml")).unwrap();
    assert_eq!(root.settings(), Settings::default());
    root.write("usr/lib/runtime-agent/agent.toml", &interval(10));
    symlink("/dev/null", root.path("etc/runtime-agent/agent.toml")).unwrap();
    assert_eq!(root.settings(), Settings::default(), "the main file is hidden likewise");
}

#[test]
fn tables_are_merged_and_templates_are_added_or_replaced_by_name() {
    let root = Root::new();
    let rule = |name: &str, content: &str| {
        format!("[[template]]\nname = \"{name}\"\ncontent = \"{content}\"\ndestination = \"{name}\"\n")
    };
    root.write("etc/runtime-agent/agent.toml", &format!("{}{}", rule("a", "1"), rule("b", "1")));
    root.write("etc/runtime-agent/agent.d/1.toml", "[report]\nlabels = { site = \"fra\", owner = \"x\" }\n");
    let second = format!("[report.labels]\nowner = \"y\"\n{}{}", rule("c", "2"), rule("a", "2"));
    root.write("etc/runtime-agent/agent.d/2.toml", &second);
    let read = root.read(&[]).unwrap();
    let rules = &read.settings.template;
    assert_eq!(rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(rules[0].source, crate::config::Source::Inline("2".into()));
    assert!(read.template_origins()[0].to_string().ends_with("2.toml:8"), "{}", read.template_origins()[0]);
    let labels: Vec<_> = read.settings.report.labels.iter().map(|(name, text)| (name.as_str(), &**text)).collect();
    assert_eq!(labels, [("owner", "y"), ("site", "fra")]);
    assert!(read.origin("report.labels.owner").to_string().ends_with("2.toml:2"));
    assert!(read.origin("report.labels.site").to_string().ends_with("1.toml:2"));
}

#[test]
fn an_error_names_the_fragment_and_a_contradiction_names_both() {
    let root = Root::new();
    root.write("etc/runtime-agent/agent.d/1.toml", "\n[sync]\nintervall = \"5m\"\n");
    let text = root.refusal();
    assert!(text.contains("agent.d/1.toml") && text.contains("line 3") && text.contains('^'), "{text}");
    assert!(text.ends_with("did you mean `interval`?"), "{text}");
    root.write("etc/runtime-agent/agent.d/1.toml", "[renewal]\nafter = 0.2\n");
    root.settings();
    root.write("run/runtime-agent.d/2.toml", "\n[renewal]\njitter = 0.15\n");
    let text = root.refusal();
    assert!(text.contains("renewal.jitter = 0.15") && text.contains("half of renewal.after"), "{text}");
    assert!(text.contains("agent.d/1.toml, line 2") && text.contains("runtime-agent.d/2.toml, line 3"), "{text}");
    root.write("etc/runtime-agent/agent.d/1.toml", "");
    let text = root.read(&[("RUNTIME_AGENT_RENEWAL__AFTER", "0.2")]).unwrap_err().to_string();
    assert!(text.contains("renewal.after is set by RUNTIME_AGENT_RENEWAL__AFTER"), "{text}");
    let text = root.read(&[("RUNTIME_AGENT_RENEWAL__AFTR", "0.2")]).unwrap_err().to_string();
    assert!(text.contains("did you mean RUNTIME_AGENT_RENEWAL__AFTER?"), "{text}");
}

#[test]
fn a_file_that_others_could_change_is_refused_and_leads_nobody_elsewhere() {
    let root = Root::new();
    let fragment = "etc/runtime-agent/agent.d/1.toml";
    root.write(fragment, "[paths]\nruntime = \"/elsewhere\"\npairing = \"/elsewhere\"\n");
    let location = Location::below(root.0.path(), None);
    assert_eq!(paths(&location).pairing, Path::new("/elsewhere"));
    let refused = |mode: u32, path: &str| {
        let is = fs::metadata(root.path(path)).unwrap().permissions();
        fs::set_permissions(root.path(path), fs::Permissions::from_mode(mode)).unwrap();
        let text = root.refusal();
        assert!(text.contains("others could change it") && text.contains("chmod go-w"), "{text}");
        assert_eq!(paths(&location), Paths::default(), "{mode:o} {path}");
        fs::set_permissions(root.path(path), is).unwrap();
    };
    refused(0o664, fragment);
    refused(0o646, fragment);
    refused(0o775, "etc/runtime-agent/agent.d");
    refused(0o777, "etc");
    root.settings();
    if nix::unistd::geteuid().is_root() {
        chown(root.path(fragment), Some(54_321), None).unwrap();
        let text = root.refusal();
        assert!(text.contains("belongs to the user 54321") && text.contains("chown root"), "{text}");
    }
}

#[test]
fn a_named_file_has_its_fragments_beside_it_and_those_of_the_system_do_not_count() {
    let root = Root::new();
    root.write("x/test.toml", &interval(10));
    root.write("x/test.d/1.toml", "[apply]\nmode = \"off\"\n");
    root.write("x/agent.d/1.toml", "nonsense");
    let read = load(&Location::file(&root.path("x/test.toml"), None)).unwrap();
    assert_eq!((read.sync.interval, read.apply.mode), (Seconds::new(10), ApplyMode::Off));
}

#[test]
fn an_instance_has_paths_of_its_own_and_none_of_the_plain_agent() {
    let blue: InstanceName = "blue".parse().unwrap();
    let root = Root::new();
    root.write("etc/runtime-agent/agent.toml", &interval(10));
    root.write("etc/runtime-agent@blue/agent.d/1.toml", "[paths]\nhooks = \"/srv/hooks\"\n");
    root.write("run/runtime-agent@blue.d/2.toml", &interval(11));
    let location = Location::below(root.0.path(), Some(blue.clone()));
    let settings = load(&location).unwrap();
    assert_eq!(settings.sync.interval, Seconds::new(11));
    assert_eq!(location.service(), "runtime-agent@blue");
    let shown =
        toml::to_string(&settings).unwrap().replace("runtime-agent@blue", "").replace("runtime-agent-apply@blue", "");
    // Who may use the sockets is the same for all.
    let groups = ["runtime-agent-admin", "runtime-agent-view", "runtime-agent-broker"];
    let shown = groups.iter().fold(shown, |shown, group| shown.replace(group, ""));
    assert!(!shown.contains("runtime-agent"), "{shown}");
    assert_eq!(settings.paths.hooks, Path::new("/srv/hooks"));
    assert_eq!(settings.paths.pairing, Path::new("/etc/runtime-agent@blue/pairing"));
    assert_eq!(settings.apply.socket, Path::new("/run/runtime-agent-apply@blue.sock"));
    assert_eq!(settings.apply.state, Path::new("/var/lib/runtime-agent-apply@blue"));
    assert_eq!(location.arguments(), ["--instance", "blue"]);
    let named = Location::file(Path::new("/x.toml"), Some(blue));
    assert_eq!(named.arguments(), ["--instance", "blue", "--config", "/x.toml"]);
}
