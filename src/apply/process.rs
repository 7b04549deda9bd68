//! Runs one foreign program to its end: fed, drained, timed, and its process group cleared afterwards.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::output::Output;
use super::stop::Stop;

/// How long a program that got SIGKILL is waited for: 5 seconds. One that hangs in the kernel does not even end then.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// How long what a program wrote last is waited for, once it has ended: 200 milliseconds. All of it is in the pipe by
/// then; the limit is for descendants that left the group and keep the pipe open.
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

/// How often a program that is just being written is tried, and how long between: one second in all.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// A program to run.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Its whole environment.
    pub environment: &'a [(&'a str, OsString)],
    /// What it finds on its standard input. It need not read it.
    pub input: &'a [u8],
    /// How long it may take.
    pub timeout: Duration,
    /// How long it has to end once it was asked to.
    pub grace: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signalled(i32),
    /// By us, because its time was over.
    TimedOut,
    /// By us, because we are to stop.
    Stopped,
    /// It never began.
    NotStarted(io::Error),
}

/// Runs the program, and hands `output` what it writes.
pub(super) async fn run(program: &Program<'_>, output: &mut Output<'_>, stop: &Stop) -> (Ending, Duration) {
    let began = Instant::now();
    let ending = match start(program).await {
        Ok(started) => started.finish(program, output, stop).await,
        Err(error) => Ending::NotStarted(error),
    };
    (ending, began.elapsed())
}

struct Started {
    child: Child,
    group: Pid,
    input: ChildStdin,
    output: Receiver,
    children: tokio::signal::unix::Signal,
}

async fn start(program: &Program<'_>) -> io::Result<Started> {
    // Before the start, so that no end is missed.
    let children = signal(SignalKind::child())?;
    let mut tries = 1;
    loop {
        // One pipe for both, so that lines come in the order in which they were written.
        let (reader, writer) = io::pipe()?;
        let output = Receiver::from_owned_fd(reader.into())?;
        let spawned = Command::new(program.path)
            .args(program.arguments)
            .env_clear()
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn();
        let mut child = match spawned {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
                continue;
            }
            spawned => spawned?,
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let (Some(group), Some(input)) = (group, child.stdin.take()) else {
            return Err(io::Error::other("the program was started without a number or an input"));
        };
        return Ok(Started { child, group, input, output, children });
    }
}

impl Started {
    async fn finish(self, program: &Program<'_>, output: &mut Output<'_>, stop: &Stop) -> Ending {
        let Self { mut child, group, input, output: reader, mut children } = self;
        let pump = async { tokio::join!(feed(input, program.input), drain(reader, output)) };
        let mut pump = pin!(pump.map(drop).fuse());

        let own_end = async {
            tokio::select! {
                ended = timeout(program.timeout, ended(group, &mut children)) => match ended {
                    Ok(_) => None,
                    Err(_) => Some(Ending::TimedOut),
                },
                () = stop.told() => Some(Ending::Stopped),
            }
        };
        let ours = alongside(pump.as_mut(), own_end).await;
        if ours.is_some() {
            signal_group(group, Signal::SIGTERM);
            // One that is suspended would not see it otherwise.
            signal_group(group, Signal::SIGCONT);
            let _ = alongside(pump.as_mut(), timeout(program.grace, ended(group, &mut children))).await;
        }
        // Even where the program has ended: for what it left behind in its group. The ended program is not waited for
        // until then, so that the group's number is certainly still its own.
        signal_group(group, Signal::SIGKILL);
        if ours.is_some() {
            let _ = alongside(pump.as_mut(), timeout(KILL_LIMIT, ended(group, &mut children))).await;
        }
        if !pump.is_terminated() {
            let _ = timeout(DRAIN_LIMIT, pump).await;
        }
        let status = timeout(KILL_LIMIT, child.wait()).await;
        ours.unwrap_or_else(|| match status {
            Ok(Ok(status)) => ending(status),
            Ok(Err(error)) => Ending::NotStarted(error),
            Err(_) => Ending::TimedOut,
        })
    }
}

fn ending(status: std::process::ExitStatus) -> Ending {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, Some(signal)) => Ending::Signalled(signal),
        (None, None) => Ending::Exited(-1),
    }
}

/// Waits for `main`, while `pump` does its work.
async fn alongside<P: FusedFuture<Output = ()>, T>(pump: Pin<&mut P>, main: impl Future<Output = T>) -> T {
    let mut main = pin!(main);
    if !pump.is_terminated() {
        tokio::select! {
            value = &mut main => return value,
            () = pump => {}
        }
    }
    main.await
}

/// Waits until the leader of the group has ended, and leaves it unreaped: as long as it is, the number is not given
/// to another group.
async fn ended(leader: Pid, children: &mut tokio::signal::unix::Signal) -> Result<(), Errno> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(leader), flags) {
            Ok(WaitStatus::StillAlive) => {
                children.recv().await;
            }
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn signal_group(group: Pid, signal: Signal) {
    match killpg(group, signal) {
        // Nobody is left.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!("cannot send {signal} to the process group {group}: {error}"),
    }
}

async fn feed(mut input: ChildStdin, document: &[u8]) {
    // A program that does not read its input closes it, sooner or later; that is its right.
    let _ = input.write_all(document).await;
}

async fn drain(mut reader: Receiver, output: &mut Output<'_>) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = reader.read(&mut piece).await {
        output.take(&piece[..length]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::apply::fixture::Host;

    /// Longer than any test takes: what runs into it fails the test by its outcome, not by hanging.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    struct Ran {
        host: Host,
        ending: Ending,
        took: Duration,
        output: Vec<String>,
    }

    async fn run_script(body: &str, timeout: Duration, grace: Duration, input: &[u8]) -> Ran {
        let host = Host::new();
        let path = host.hook("a", body);
        let environment = [("PATH", "/usr/bin:/bin".into()), ("ONLY", "this".into())];
        let program = Program { path: &path, arguments: &["word"], environment: &environment, input, timeout, grace };
        let mut output = Output::new("a", 4096, None);
        let (ending, took) = run(&program, &mut output, &Stop::never()).await;
        let output = output.end();
        Ran { host, ending, took, output }
    }

    /// Waits until the process whose number the hook wrote into the file `name` is gone, or a zombie: one that was
    /// killed takes a moment for it.
    async fn ends(host: &Host, name: &str) {
        let number = host.read(name);
        assert!(!number.trim().is_empty(), "the hook came so far");
        let lives = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
        };
        let gone = async {
            while lives() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, gone).await.expect("it is killed");
    }

    #[tokio::test]
    async fn a_program_gets_its_arguments_its_input_and_exactly_its_environment() {
        let body = r#"echo "$# $1 $(pwd)"; cat; tr '\0' '\n' </proc/$$/environ; echo to-stderr >&2; exit 3"#;
        let ran = run_script(body, LONG, LONG, b"read this\n").await;
        assert!(matches!(ran.ending, Ending::Exited(3)), "{:?}", ran.ending);
        assert_eq!(ran.output, ["1 word /", "read this", "ONLY=this", "PATH=/usr/bin:/bin", "to-stderr"]);
    }

    #[tokio::test]
    async fn a_program_has_a_group_of_its_own_and_no_file_of_ours() {
        let ran =
            run_script(r#"set -- $(cat /proc/$$/stat); echo $(($1 == $5)); ls /proc/$$/fd"#, LONG, LONG, b"").await;
        // The shell keeps its script open under a number from 10 on.
        let files: Vec<_> = ran.output[1..].iter().filter(|file| file.parse::<u32>().unwrap() < 10).collect();
        assert_eq!(ran.output[0], "1");
        assert_eq!(files, ["0", "1", "2"]);
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_asked_to_end() {
        let body = r#"trap 'echo bye; exit 0' TERM; sleep 1000 & echo $! >$ROOT/child; wait"#;
        // The limit must leave the shell time to set its trap.
        let ran = run_script(body, Duration::from_secs(1), LONG, b"").await;
        assert!(matches!(ran.ending, Ending::TimedOut), "{:?}", ran.ending);
        assert_eq!(ran.output, ["bye"]);
        assert!(ran.took < LONG);
        ends(&ran.host, "child").await;
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_when_asked_is_killed_with_its_group() {
        let body = r#"trap '' TERM; (trap '' TERM; sleep 1000) & echo $! >$ROOT/child; sleep 1000; sleep 1000"#;
        let ran = run_script(body, Duration::from_secs(1), SHORT, b"").await;
        assert!(matches!(ran.ending, Ending::TimedOut), "{:?}", ran.ending);
        assert!(ran.took < LONG);
        ends(&ran.host, "child").await;
    }

    #[tokio::test]
    async fn a_suspended_program_is_ended() {
        let ran = run_script("kill -STOP $$", SHORT, LONG, b"").await;
        assert!(matches!(ran.ending, Ending::TimedOut), "{:?}", ran.ending);
        assert!(ran.took < LONG);
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_in_its_group_is_killed() {
        let ran = run_script("sleep 1000 & echo $! >$ROOT/child; echo done", LONG, LONG, b"").await;
        assert!(matches!(ran.ending, Ending::Exited(0)), "{:?}", ran.ending);
        assert_eq!(ran.output, ["done"]);
        ends(&ran.host, "child").await;
        assert!(ran.took < LONG);
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_the_output_open_is_not_waited_for() {
        let body = "setsid sh -c 'echo $$ >$0/child; exec sleep 1000' $ROOT & \
                    while ! [ -s $ROOT/child ]; do :; done; echo done";
        let ran = run_script(body, LONG, LONG, b"").await;
        assert!(matches!(ran.ending, Ending::Exited(0)), "{:?}", ran.ending);
        assert_eq!(ran.output, ["done"]);
        assert!(ran.took < LONG);
        let daemon = ran.host.read("child").trim().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(daemon), Signal::SIGKILL).expect("it left the group, and lives");
    }

    #[tokio::test]
    async fn a_flood_is_drained_and_dropped() {
        let ran = run_script("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end", LONG, LONG, b"").await;
        assert!(matches!(ran.ending, Ending::Exited(0)), "{:?}", ran.ending);
        assert_eq!(ran.output.last().unwrap(), "end");
        assert!(ran.output.iter().map(String::len).sum::<usize>() < 10_000);
    }

    #[tokio::test]
    async fn a_flood_without_end_is_ended_by_the_time_limit() {
        let ran = run_script("exec yes", Duration::from_secs(1), SHORT, b"").await;
        assert!(matches!(ran.ending, Ending::TimedOut), "{:?}", ran.ending);
        assert!(ran.took < LONG);
    }

    #[tokio::test]
    async fn a_program_may_leave_its_input_unread() {
        let large = vec![b' '; 1_000_000];
        let ran = run_script("exit 0", LONG, LONG, &large).await;
        assert!(matches!(ran.ending, Ending::Exited(0)), "{:?}", ran.ending);
        let ran = run_script("exec 0<&-; sleep 1000", SHORT, LONG, &large).await;
        assert!(matches!(ran.ending, Ending::TimedOut), "{:?}", ran.ending);
        let ran = run_script("wc -c", LONG, LONG, &large).await;
        assert_eq!(ran.output, ["1000000"], "who reads it all gets it all");
    }

    #[tokio::test]
    async fn a_program_that_dies_by_a_signal_is_told_from_one_that_fails() {
        let ran = run_script("kill -SEGV $$", LONG, LONG, b"").await;
        assert!(matches!(ran.ending, Ending::Signalled(11)), "{:?}", ran.ending);
    }

    #[tokio::test]
    async fn what_cannot_start_is_said() {
        let host = Host::new();
        let path = host.hook("a", "");
        fs::write(&path, "#!/nonexistent/interpreter\n").unwrap();
        let program = Program { path: &path, arguments: &[], environment: &[], input: b"", timeout: LONG, grace: LONG };
        let (ending, _) = run(&program, &mut Output::new("a", 0, None), &Stop::never()).await;
        assert!(matches!(ending, Ending::NotStarted(_)), "{ending:?}");
    }

    #[tokio::test]
    async fn a_stop_ends_the_program_that_runs() {
        let host = Host::new();
        let path = host.hook("a", "echo ready; exec sleep 1000");
        let program = Program { path: &path, arguments: &[], environment: &[], input: b"", timeout: LONG, grace: LONG };
        let (tell, told) = tokio::sync::watch::channel(false);
        let mut output = Output::new("a", 4096, None);
        let stop = Stop::when(told);
        let (ran, ()) = tokio::join!(run(&program, &mut output, &stop), async {
            tell.send_replace(true);
        });
        assert!(matches!(ran.0, Ending::Stopped), "{:?}", ran.0);
        assert!(ran.1 < LONG);
    }
}
