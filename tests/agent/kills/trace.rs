//! Runs of the agent under `strace`: which calls it makes that change something, and a kill at one of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;

use futures_util::StreamExt as _;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::host::{Agent, Host, PROGRAM, within};

/// Every call that changes something in a file system or at the plane, and `openat`, which may. Not every architecture
/// has them all.
const CHANGING: [&str; 19] = [
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "write",
    "writev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "chmod",
    "fchmod",
    "ftruncate",
];

/// How often a call is aimed at: threads wake each other now and then, so that a count of calls can be off by a few, and by
/// more on a busy machine. A few tries are enough for most.
const TRIES: usize = 60;

/// The same for what is said to others, of which the count is off by more. Not each of these can be hit.
const TALKS: usize = 3;

/// How many runs go on at once, where they can: they wait more than they work.
const AT_ONCE: usize = 6;

/// A call that changes something, as any run makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    name: String,
    /// Paths below the host's folder, or a port of the plane.
    about: String,
    /// The how manieth of its like it is in its run, counted from 1.
    nth: usize,
}

impl Call {
    /// Whether it sends something to the plane; how much goes in one call depends on how soon the plane answers.
    pub fn is_request(&self) -> bool {
        self.about.starts_with(PLANE)
    }

    /// Whether it answers a client of the service broker.
    pub fn is_answer(&self) -> bool {
        self.about == CLIENT
    }

    /// Whether it is one of those that others see, and that come as others have it.
    fn is_said(&self) -> bool {
        self.is_request() || self.is_answer()
    }

    /// Whether it is a call of this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Whether it puts a thing of this path in its place.
    pub fn puts(&self, path: &str) -> bool {
        self.name.starts_with("rename") && self.about.ends_with(path)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({})", self.name, self.about, self.nth)
    }
}

/// At which call of a name a run is killed: when one of its threads makes it for the `when`th time.
#[derive(Debug, Clone)]
pub struct Kill {
    name: String,
    when: usize,
}

impl Kill {
    /// The how manieth call it is.
    pub fn when(&self) -> usize {
        self.when
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "killed at {} {}", self.name, self.when)
    }
}

/// Which calls a kill is aimed at. `strace` counts them for each thread by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Those of the main thread that have to do with the identity, on disk and at the plane.
    Identity,
    /// Those of the main thread that say something to the plane, or to a client of the service broker.
    Talk,
    /// Those of any thread that change this file of the host. There is but one besides the main thread, for the system has
    /// no more for it: so its calls are always counted alike. Where it can have as many as it likes, it does the same.
    File(&'static str),
}

/// A run under `strace`.
pub struct Traced<'a> {
    /// The agent; how it ended, where it did not become ready.
    pub agent: Option<Agent<'a>>,
    lines: JoinHandle<Vec<String>>,
    root: String,
    watch: Watch,
}

impl<'a> Traced<'a> {
    /// Starts the agent of a host, to be killed at a call about its identity.
    pub async fn start(host: &'a Host, kill: Option<&Kill>) -> Self {
        Self::watching(host, Watch::Identity, kill).await
    }

    /// Starts the agent of a host, to be killed at a call.
    pub async fn watching(host: &'a Host, watch: Watch, kill: Option<&Kill>) -> Self {
        // Not on the host, where everything is looked into.
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("calls");
        mkfifo(&log, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        // There is no end before the beginning.
        let receiver = pipe::OpenOptions::new().open_receiver(&log).unwrap();
        let beginning = pipe::OpenOptions::new().open_sender(&log).unwrap();
        let mut command = host.command(&["run"]);
        let agent: Vec<_> = command.as_std().get_args().map(ToOwned::to_owned).collect();
        let environment: Vec<_> =
            command.as_std().get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
        command = Command::new("strace");
        // With -D it is the agent that is our child, not strace.
        command.args(["-D", "-f", "-q", "-yy", "-o"]).arg(&log);
        let mut traced = format!("trace=?{}", CHANGING.join(",?"));
        if let Watch::File(_) = watch {
            // What is not traced cannot be made to fail either.
            traced.push_str(",?clone,?clone3");
        }
        command.args(["-e", &traced]);
        if let Watch::File(_) = watch {
            command.args(["-e", "inject=?clone3,?clone:error=EAGAIN:when=2+"]);
        }
        if let Some(Kill { name, when }) = kill {
            command.args(["-e", &format!("inject={name}:signal=KILL:when={when}")]);
        }
        command.arg(PROGRAM).args(agent).env_clear().envs(environment).current_dir("/").kill_on_drop(true);
        let (first, lines) = (folder, tokio::spawn(read(receiver)));
        let agent = host.launch(command).await.ok();
        drop((first, beginning));
        Self { agent, lines, watch, root: host.path("").to_str().unwrap().trim_end_matches('/').to_owned() }
    }

    /// What it did, once it has ended.
    pub async fn calls(self) -> Trace {
        drop(self.agent);
        let lines = within("the end of the trace", self.lines).await.unwrap();
        Trace::parse(&lines, &self.root, self.watch)
    }
}

/// Reads what `strace` writes until it ends, with the last of the threads that it looks at.
async fn read(receiver: pipe::Receiver) -> Vec<String> {
    let mut lines = BufReader::new(receiver).lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        all.push(line);
    }
    all
}

/// What a run did.
pub struct Trace {
    made: Vec<Made>,
}

struct Made {
    name: String,
    when: usize,
    call: Option<Call>,
    cut: bool,
}

impl Trace {
    fn parse(lines: &[String], root: &str, watch: Watch) -> Self {
        let mut made: Vec<Made> = Vec::new();
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut alike: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut unfinished: BTreeMap<String, usize> = BTreeMap::new();
        // Other threads publish, which has tests of its own; their few calls cannot be aimed at past those of this one.
        let main = lines.first().and_then(|line| line.split_once(' ')).map(|(thread, _)| thread);
        for line in lines {
            let Some((thread, line)) = line.split_once(' ') else { continue };
            let line = line.trim_start();
            if line.starts_with("<... ") {
                if let Some(index) = unfinished.remove(thread) {
                    made[index].end(line.rsplit_once(" = ").map_or("", |(_, result)| result));
                }
                continue;
            }
            let Some((name, arguments)) = line.split_once('(') else { continue };
            if !CHANGING.contains(&name) {
                continue;
            }
            let arguments = arguments.trim_end_matches(" <unfinished ...>");
            let (arguments, result) = arguments.rsplit_once(" = ").unwrap_or((arguments, ""));
            let when = counts.entry((thread.to_owned(), name.to_owned())).or_default();
            *when += 1;
            let about = match watch {
                Watch::Identity => about(name, arguments, root).filter(|_| main == Some(thread)),
                Watch::Talk => talk(name, arguments).filter(|_| main == Some(thread)),
                Watch::File(file) => about(name, arguments, root).filter(|about| about.ends_with(file)),
            };
            let call = about.map(|about| {
                let nth = alike.entry((name.to_owned(), about.clone())).or_default();
                *nth += 1;
                Call { name: name.to_owned(), about, nth: *nth }
            });
            made.push(Made { name: name.to_owned(), when: *when, call, cut: false });
            let index = made.len() - 1;
            made[index].end(result);
            if line.ends_with("<unfinished ...>") {
                unfinished.insert(thread.to_owned(), index);
            }
        }
        Self { made }
    }

    /// The calls that change something, in their order, with how each one is aimed at.
    fn changes(&self) -> impl Iterator<Item = (&Call, Kill)> {
        let aimed = |made: &Made| Kill { name: made.name.clone(), when: made.when };
        self.made.iter().filter_map(move |made| Some((made.call.as_ref()?, aimed(made))))
    }

    /// The same, without what the plane is asked once everything is on disk.
    fn until_all_is_on_disk(&self) -> Vec<(&Call, Kill)> {
        let mut changes: Vec<_> = self.changes().collect();
        let last = changes.iter().rposition(|(call, _)| !call.is_request());
        changes.truncate(last.map_or(0, |last| last + 1));
        changes
    }

    /// The calls that change something at which the run was killed.
    fn killed_at(&self) -> impl Iterator<Item = &Call> {
        self.made.iter().filter(|made| made.cut).filter_map(|made| made.call.as_ref())
    }
}

impl Made {
    fn end(&mut self, result: &str) {
        self.cut |= result.starts_with('?');
        if result.starts_with('-') {
            self.call = None;
        }
    }
}

/// What is said to the plane is about.
const PLANE: &str = "port ";

/// What is said to a client of the service broker is about.
const CLIENT: &str = "a client";

/// With whom a call talks.
fn talk(name: &str, arguments: &str) -> Option<String> {
    let whom = arguments.split("]>").next().filter(|_| name == "writev")?;
    match whom.split_once("->127.0.0.1:") {
        Some((_, port)) => Some(format!("{PLANE}{port}")),
        None => whom.contains("/broker.sock").then(|| CLIENT.to_owned()),
    }
}

/// What a call is about, where it changes something; temporary names and numbers count for nothing.
fn about(name: &str, arguments: &str, root: &str) -> Option<String> {
    if name == "writev" {
        // To the plane; the agent's own sockets are not among these.
        return talk(name, arguments).filter(|about| about.starts_with(PLANE));
    }
    if name == "openat" && !arguments.contains("O_CREAT") {
        return None;
    }
    // What follows the file is its content.
    let arguments = if matches!(name, "write" | "pwrite64") { arguments.split_once('>')?.0 } else { arguments };
    let quoted = arguments.split(['"', '<', '>']).skip(1).step_by(2).filter(|path| *path != "/");
    let paths: Vec<&str> = quoted.collect();
    let ours = paths.iter().any(|path| {
        path.strip_prefix(root).is_some_and(|path| {
            // The output has a test of its own.
            (path.starts_with("/state") || path.starts_with("/pairing")) && !path.starts_with("/state/config")
        })
    });
    let part = |part: &str| match part {
        part if part.starts_with(".tmp-") => ".tmp".to_owned(),
        part if part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit()) => "N".to_owned(),
        part => part.to_owned(),
    };
    let path = |path: &&str| {
        let path = path.strip_prefix(root).unwrap_or(path);
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    };
    ours.then(|| paths.iter().map(path).collect::<Vec<_>>().join(" to "))
}

/// Has `run` go through what it does, first without a kill and then with one at every call that changes something.
/// Answers the calls at which it was killed, in the order in which a run makes them.
pub async fn at_every_call(mut run: impl AsyncFnMut(Option<&Kill>) -> Trace) -> Vec<Call> {
    let recorded = run(None).await;
    let hit = RefCell::default();
    let mut order = Vec::new();
    for (call, kill) in recorded.until_all_is_on_disk() {
        let tries = if call.is_request() { 1 } else { TRIES };
        if aim(call, kill, tries, &hit, &mut run).await {
            order.push(call.clone());
        }
    }
    order
}

/// The same with several runs at once, which have nothing to do with each other, and with all that is talked.
pub async fn at_every_call_side_by_side(run: impl AsyncFn(Option<&Kill>) -> Trace) -> Vec<Call> {
    let recorded = run(None).await;
    let hit = RefCell::default();
    let aims = recorded.changes().map(async |(call, kill)| {
        let tries = if call.is_said() { TALKS } else { TRIES };
        let hit = aim(call, kill, tries, &hit, &run).await;
        hit.then(|| call.clone())
    });
    futures_util::stream::iter(aims).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

/// Has `run` be killed at a call, if a few tries can do it; whether it was.
async fn aim(
    call: &Call,
    mut kill: Kill,
    tries: usize,
    hit: &RefCell<BTreeSet<Call>>,
    mut run: impl AsyncFnMut(Option<&Kill>) -> Trace,
) -> bool {
    for _ in 0..tries {
        if hit.borrow().contains(call) {
            return true;
        }
        let trace = run(Some(&kill)).await;
        hit.borrow_mut().extend(trace.killed_at().cloned());
        // Where this run made it; or later, where it was killed before that.
        let here = trace.changes().find(|(made, _)| *made == call);
        kill.when = here.map_or(kill.when + 1, |(_, here)| here.when);
    }
    let was_hit = hit.borrow().contains(call);
    assert!(was_hit || call.is_said(), "no kill hit the {call}");
    was_hit
}

/// Says what is missing where `strace` is.
pub fn need_strace() {
    match std::process::Command::new("strace").arg("-V").output() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("this test kills the agent at each of its system calls with strace: install the package strace")
        }
        Err(error) => panic!("cannot start strace: {error}"),
    }
}

/// The agent's command, where the system has no descriptor for some of its openings of a path: `when` says which, as
/// strace counts them, by threads.
pub fn without_descriptors(host: &Host, path: &str, when: &str) -> Command {
    let run = host.command(&["run"]);
    let mut command = Command::new("strace");
    // With -D it is the agent that is our child, and ends with the test.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=openat"]);
    command.args(["-e", &format!("inject=openat:error=EMFILE:when={when}"), "-P"]).arg(host.path(path));
    command.arg(run.as_std().get_program()).args(run.as_std().get_args());
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").kill_on_drop(true);
    command
}
