//! Installations of real files, with real commands, and a stand-in for `systemctl`.

mod conflicts;
mod directories;
mod failures;
mod files;
mod steps;
mod units;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::apply::fixture::{Host, number};
use crate::apply::report::{Answer, InstallReport, Outcome, Refusal, Report};
use crate::apply::request::{Attempt, Request};
use crate::apply::serve_stream;
use crate::apply::stop::Stop;
use crate::config::TemplateRule;
use crate::snapshot::Sha256;

/// Which units there are and what becomes of them is written in files below `units`.
const SYSTEMCTL: &str = r#"
while case $1 in --*) true ;; *) false ;; esac; do shift; done
verb=$1; shift
if [ "$verb" = show ]; then
    read -r state <"$ROOT/units/$3" || state=not-found
    case $state in
        not-found | masked) echo "LoadState=$state" ;;
        *) echo LoadState=loaded; echo "ActiveState=$state" ;;
    esac
    [ -e "$ROOT/units/$3.after" ] && mv "$ROOT/units/$3.after" "$ROOT/units/$3"
    exit 0
fi
echo "$verb $1" >>"$ROOT/calls"
[ -e "$ROOT/units/$1.$verb" ] && . "$ROOT/units/$1.$verb"
exit 0
"#;

/// A host with templates.
struct Site {
    host: Host,
    generation: u64,
}

/// A file that a template was rendered to: the template, the application (or none), the path, the content.
type File<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Site {
    /// One whose rules are the given sections, in which `ROOT` stands for the host's folder.
    fn new(rules: &str) -> Self {
        let mut host = Host::new();
        let hook = host.hook("systemctl", SYSTEMCTL);
        fs::rename(hook, &host.settings.systemctl).unwrap();
        for folder in ["etc", "etc/conf.d", "units"] {
            fs::create_dir(host.path(folder)).unwrap();
        }
        host.settings.rules = parse(&rules.replace("ROOT", host.path("").to_str().unwrap().trim_end_matches('/')));
        Self { host, generation: 0 }
    }

    fn rules(&mut self, rules: &str) {
        let root = self.host.path("");
        self.host.settings.rules = parse(&rules.replace("ROOT", root.to_str().unwrap().trim_end_matches('/')));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.host.path(name)
    }

    fn unit(&self, name: &str, state: &str) {
        fs::write(self.path("units").join(name), format!("{state}\n")).unwrap();
    }

    /// What `systemctl` was called with, but for looking.
    fn calls(&self) -> Vec<String> {
        let calls = self.host.read("calls").lines().map(ToOwned::to_owned).collect();
        let _ = fs::remove_file(self.path("calls"));
        calls
    }

    /// Publishes a generation with these files, as the daemon does.
    fn publish(&mut self, files: &[File<'_>]) {
        self.generation += 1;
        self.host.publish(self.generation, &[]);
        let blobs = self.host.settings.agent_state.join("config/blobs");
        fs::create_dir_all(&blobs).unwrap();
        let entry = |(template, application, path, content): &File<'_>| {
            let blob = sum(content.as_bytes()).to_string();
            fs::write(blobs.join(&blob), content).unwrap();
            let item = match *application {
                "" => serde_json::json!({}),
                id => serde_json::json!({"application": {"id": id, "slug": id}}),
            };
            let destination = match path.strip_prefix("ROOT/") {
                Some(below) => self.path(below).to_str().unwrap().to_owned(),
                None => (*path).to_owned(),
            };
            serde_json::json!({
                "template": template, "item": item, "destination": destination,
                "blob": blob, "size": content.len(), "mode": "0640",
            })
        };
        let entries: Vec<_> = files.iter().map(entry).collect();
        self.publish_list(&serde_json::json!({"version": 1, "outputs": entries}).to_string());
    }

    fn publish_list(&self, text: &str) {
        fs::write(self.host.generation(self.generation).join("outputs.json"), text).unwrap();
    }

    /// Asks for the generation that was published last.
    async fn ask(&self, attempt: Attempt) -> Report {
        self.ask_with(attempt, &Stop::never()).await
    }

    async fn ask_with(&self, attempt: Attempt, stop: &Stop) -> Report {
        let request = Request::ConfigChanged(number(self.generation), attempt);
        let mut answer = Vec::new();
        serve_stream(&self.host.settings, &request.to_line()[..], &mut answer, stop).await;
        let mut report = Report { hooks: vec![], skipped: vec![], install: None, outcome: Outcome::Done };
        for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).unwrap() {
                Answer::Hook(hook) => report.hooks.push(hook),
                Answer::Skipped(skipped) => report.skipped.push(skipped),
                Answer::Install(install) => report.install = Some(install),
                Answer::Outcome(outcome) => report.outcome = outcome,
            }
        }
        report
    }

    /// Publishes these files, and has them installed.
    async fn install(&mut self, files: &[File<'_>]) -> InstallReport {
        self.publish(files);
        let report = self.ask(Attempt::Ordinary).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        assert!(self.leftovers().is_empty(), "{:?}", self.leftovers());
        report.install.unwrap_or_default()
    }

    /// Asks, expects a refusal after which everything is as before, and gives what was said.
    async fn refused(&self, attempt: Attempt) -> String {
        let before = self.tree();
        let report = self.ask(attempt).await;
        assert_eq!(self.tree(), before, "{report:?}");
        match report.outcome {
            Outcome::Refused { reason: Refusal::InstallRefused, message } => message,
            other => panic!("{other:?}"),
        }
    }

    /// All that lies below `etc`, each with everything that an application could see of it.
    fn tree(&self) -> BTreeMap<PathBuf, Seen> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.path("etc")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                let modified = if metadata.is_dir() { 0 } else { metadata.mtime_nsec() };
                let seen = (content, metadata.mode(), metadata.uid(), metadata.gid(), metadata.ino(), modified);
                all.insert(path.strip_prefix(self.path("etc")).unwrap().to_owned(), seen);
            }
        }
        all
    }

    /// Temporary names that are still there, and a journal.
    fn leftovers(&self) -> Vec<PathBuf> {
        let temporary = |path: &PathBuf| {
            path.to_string_lossy().contains(".runtime-agent-new-")
                || path.to_string_lossy().contains(".runtime-agent-old-")
        };
        let journal = self.host.settings.applier_state.join("transaction.json");
        self.tree().into_keys().filter(temporary).chain(journal.exists().then_some(journal.clone())).collect()
    }

    fn read(&self, name: &str) -> String {
        self.host.read(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn remembered(&self, name: &str) -> bool {
        self.host.settings.applier_state.join(name).exists()
    }
}

type Seen = (Vec<u8>, u32, u32, u32, u64, i64);

fn parse(rules: &str) -> Vec<TemplateRule> {
    #[derive(Deserialize)]
    struct Sections {
        #[serde(default)]
        template: Vec<TemplateRule>,
    }
    toml::from_str::<Sections>(rules).unwrap().template
}

fn sum(content: &[u8]) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(content);
    Sha256::of(context)
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A rule for each application, with more keys.
fn rule(keys: &str) -> String {
    format!(
        "[[template]]\nname = \"web\"\ncontent = \"\"\nfor_each = \"application\"\n\
         destination = \"ROOT/etc/conf.d/{{{{ application.slug }}}}.conf\"\n{keys}\n"
    )
}

const A: File<'static> = ("web", "a", "ROOT/etc/conf.d/a.conf", "a one\n");
const A2: File<'static> = ("web", "a", "ROOT/etc/conf.d/a.conf", "a two\n");
const B: File<'static> = ("web", "b", "ROOT/etc/conf.d/b.conf", "b one\n");
const B2: File<'static> = ("web", "b", "ROOT/etc/conf.d/b.conf", "b two, longer\n");
const C: File<'static> = ("web", "c", "ROOT/etc/conf.d/c.conf", "c one\n");
