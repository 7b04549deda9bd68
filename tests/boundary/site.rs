//! A host: what the daemon publishes, where the applier installs, and a file that nobody but its owner may read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use runtime_agent::config::{ApplyMode, LogFormat, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_runtime-agent");

/// What stands in the file that nobody but its owner may read.
pub const CANARY: &str = "canary-7d1e05c2b9";

/// The daemon's user, where the tests run as root.
pub const DAEMON: u32 = 54_321;

/// Where a process that a test starts of its own program finds the host.
const SITE: &str = "BOUNDARY_SITE";

/// Whether other users can be acted as.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A file that a template was rendered to: the template, the application, the name below `etc/conf.d`, the content.
pub type Rendered<'a> = (&'a str, &'a str, &'a str, &'a str);

/// A host.
pub struct Site {
    folder: TempDir,
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    pub lines: Vec<Value>,
    pub status: ExitStatus,
}

impl Answer {
    /// The word for how it ended; nothing, where there was no answer.
    pub fn result(&self) -> &str {
        self.outcome()["result"].as_str().unwrap_or_default()
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        self.outcome()["message"].as_str().unwrap_or_default()
    }

    /// The word for why it was refused.
    pub fn reason(&self) -> &str {
        self.outcome()["reason"].as_str().unwrap_or_default()
    }

    fn outcome(&self) -> &Value {
        self.lines.last().map_or(&Value::Null, |line| &line["outcome"])
    }
}

/// Rules: a file for each application, and one in a folder of its own.
pub const RULES: &str = r#"
    [[template]]
    name = "web"
    content = ""
    for_each = "application"
    destination = "ROOT/etc/conf.d/{{ application.slug }}.conf"
    mode = "0640"
    validate = ["test", "-s", "{}"]
    on_change = ["true"]
    [[template]]
    name = "in"
    content = ""
    for_each = "application"
    destination = "ROOT/etc/conf.d/{{ application.slug }}/env"
    mode = "0600"
"#;

impl Site {
    /// One with [`RULES`], where nothing is published.
    pub fn new() -> Self {
        Self::with(RULES)
    }

    /// One in which `ROOT` in the rules stands for its folder.
    pub fn with(rules: &str) -> Self {
        let site = Self { folder: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap() };
        let root = site.path("");
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        for folder in ["hooks.d", "state/config/blobs", "etc/conf.d", "elsewhere"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for folder in ["hooks.d", "state", "etc", "etc/conf.d", "elsewhere"] {
            fs::set_permissions(root.join(folder), Permissions::from_mode(0o755)).unwrap();
        }
        let root = fs::canonicalize(root).unwrap();
        let rules = rules.replace("ROOT", root.to_str().unwrap());
        let mut settings: Settings = toml::from_str(&rules).unwrap();
        settings.apply.mode = ApplyMode::Inline;
        settings.apply.state = root.join("apply");
        settings.apply.socket = root.join("apply.sock");
        settings.paths.state = root.join("state");
        settings.paths.runtime = root.join("run");
        settings.paths.pairing = root.join("pairing");
        settings.paths.hooks = root.join("hooks.d");
        settings.log.format = LogFormat::Text;
        fs::write(root.join("agent.toml"), toml::to_string(&settings).unwrap()).unwrap();
        fs::write(root.join("precious"), CANARY).unwrap();
        fs::set_permissions(root.join("precious"), Permissions::from_mode(0o600)).unwrap();
        site.give_away();
        site
    }

    /// A path on this host, without links on the way.
    pub fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    /// What is in a file; nothing where there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// Gives all that is in the state directory to the daemon's user, links too.
    pub fn give_away(&self) {
        if is_root() {
            give(&self.path("state"), DAEMON);
        }
    }

    /// Publishes a generation with these files, as the daemon does.
    pub fn publish(&self, generation: u64, files: &[Rendered<'_>]) {
        let entries: Vec<_> = files.iter().map(|file| self.entry(file)).collect();
        self.publish_entries(generation, &entries);
    }

    /// The entry for a file, the content of which is put in place.
    pub fn entry(&self, (template, application, name, content): &Rendered<'_>) -> Value {
        let blob = format!(
            "{:064x}",
            content.bytes().fold(7_u64, |sum, byte| { sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte) })
        );
        let path = self.path("state/config/blobs").join(&blob);
        let _ = fs::remove_file(&path);
        fs::write(path, content).unwrap();
        json!({
            "template": template, "item": {"application": {"id": application, "slug": application}},
            "destination": self.path("etc/conf.d").join(name), "blob": blob, "size": content.len(), "mode": "0640",
        })
    }

    /// Publishes a generation with this list of files.
    pub fn publish_entries(&self, generation: u64, entries: &[Value]) {
        let folder = self.generation(generation);
        fs::create_dir_all(&folder).unwrap();
        let manifest = json!({
            "version": 1, "generation": generation, "published_at": "2026-11-22T12:00:00Z", "runtime": "r",
            "applications": {},
        });
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        fs::write(folder.join("outputs.json"), json!({"version": 1, "outputs": entries}).to_string()).unwrap();
        self.give_away();
    }

    /// The folder of a generation.
    pub fn generation(&self, number: u64) -> PathBuf {
        self.path("state/config").join(format!("{number:04}"))
    }

    /// Asks for a generation, as the daemon does.
    pub fn ask(&self, generation: u64) -> Answer {
        self.request(format!("{{\"version\":1,\"event\":\"config-changed\",\"generation\":{generation}}}\n").as_bytes())
    }

    /// The same for a person, for whom what was refused is tried again.
    pub fn ask_again(&self, generation: u64) -> Answer {
        let line =
            format!("{{\"version\":1,\"event\":\"config-changed\",\"generation\":{generation},\"again\":true}}\n");
        self.request(line.as_bytes())
    }

    /// Sends these bytes and nothing more to an applier of its own.
    pub fn request(&self, bytes: &[u8]) -> Answer {
        self.request_by(Command::new(PROGRAM), bytes)
    }

    /// The same by a command that becomes the program.
    pub fn request_by(&self, command: Command, bytes: &[u8]) -> Answer {
        let mut child = self.start(command);
        // Who refuses reads no further.
        let _ = child.stdin.take().unwrap().write_all(bytes);
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = child.wait().unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut answers = OpenOptions::new().append(true).create(true).open(self.path("answers")).unwrap();
        answers.write_all(text.as_bytes()).unwrap();
        Answer { lines, status }
    }

    fn start(&self, mut command: Command) -> Child {
        command.args(["apply", "--stdio", "--config"]).arg(self.path("agent.toml"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(self.log());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").spawn().unwrap()
    }

    /// Where programs write what they have to say.
    pub fn log(&self) -> File {
        OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap()
    }

    /// This program, to do the part of `role` (an ignored test) as the daemon's user.
    pub fn as_daemon(&self, role: &str) -> Child {
        // Where the tests lie, others may not be able to go; memory may not be a place to start programs from.
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("role");
        // Not by this process: another test that forks meanwhile would hold it open for writing, and it could not start.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(&program);
        command.args(["--exact", role, "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(SITE, self.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log());
        if is_root() {
            use std::os::unix::process::CommandExt as _;
            command.uid(DAEMON).gid(DAEMON);
        }
        let mut child = command.spawn().unwrap();
        // Its first word says that it has begun; the program is not needed by its name any more.
        let mut output = child.stdout.take().unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"ready\n") {
            assert_eq!(output.read(&mut byte).unwrap(), 1, "{role} ended: {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        child
    }

    /// Everything below a folder: what it is, and its content, mode and owner.
    pub fn tree(&self, folder: &str) -> Tree {
        tree(&self.path(folder))
    }

    /// Sees that what must not be told or given away is not: by the answers, the logs, the installed files, and what the
    /// applier keeps; and that the file it stands in is as it was.
    #[track_caller]
    pub fn keeps_its_secret(&self) {
        let all = ["etc", "apply"].map(|folder| self.tree(folder)).into_iter().flatten();
        for (path, (content, ..)) in all {
            assert!(!contains(&content, CANARY), "{} holds what it must not", path.display());
        }
        for name in ["answers", "log"] {
            assert!(!self.read(name).contains(CANARY), "the {name} hold what they must not: {}", self.read(name));
        }
        let metadata = fs::metadata(self.path("precious")).unwrap();
        assert_eq!((self.read("precious").as_str(), metadata.mode() & 0o7777), (CANARY, 0o600));
        assert_eq!(metadata.uid(), nix::unistd::geteuid().as_raw());
    }
}

/// The folder of the host for which this process was started, if it was.
pub fn own_site() -> Option<PathBuf> {
    std::env::var_os(SITE).map(PathBuf::from)
}

/// Ends a process that [`Site::as_daemon`] started.
pub fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What lies somewhere: content (that of a link is where it leads), mode, owner.
pub type Tree = BTreeMap<PathBuf, (Vec<u8>, u32, u32)>;

pub fn tree(root: &Path) -> Tree {
    let mut all = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries {
            // Somebody may be at work there: what has gone meanwhile is left out, and no link is followed.
            let Ok(path) = entry.map(|entry| entry.path()) else { continue };
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap_or_default().into_os_string().into_encoded_bytes()
            } else if metadata.is_file() {
                read_itself(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), (content, metadata.mode(), metadata.uid()));
        }
    }
    all
}

fn read_itself(path: &Path) -> io::Result<Vec<u8>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut content = Vec::new();
    File::options().read(true).custom_flags(flags).open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Whether a name is one that the applier uses only while it works.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.contains(".runtime-agent-new-") || name.contains(".runtime-agent-old-")
}

fn give(path: &Path, user: u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    // A second name of somebody's file stays that one's.
    if metadata.nlink() == 1 || metadata.is_dir() {
        lchown(path, Some(user), Some(user)).unwrap();
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

fn contains(content: &[u8], text: &str) -> bool {
    memchr::memmem::find(content, text.as_bytes()).is_some()
}
