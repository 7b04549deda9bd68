//! The daemon's side: asks the applier and reads its answer, bounded in size and time.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::fault::ApplyError;
use super::hooks::{MOST_HOOKS, MOST_SKIPPED};
use super::report::{Answer, Report};
use super::request::Request;
use super::stream;
use crate::transport::excerpt;

/// The longest line of an answer: 64 KiB. A hook's last lines are far shorter.
const MOST_LINE_BYTES: usize = 64 * 1024;

/// How long an applier that was started as a child has to exit after its answer, or after it was told to stop:
/// 5 seconds.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// Variables that are meant for this process alone: whoever inherits them would speak to systemd in its name, or know the
/// password of a proxy.
const OWN_VARIABLES: [&str; 12] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// How the applier is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// By the socket on which systemd starts it.
    Socket(PathBuf),
    /// As a child with the daemon's own rights, on its standard input and output.
    Inline {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<OsString>,
    },
}

/// Asks the applier, and waits for its answer for at most `limit`.
///
/// An applier that was started as a child gets SIGTERM when the limit is over, or when this future is dropped, so
/// that it can end the hook that runs; a SIGKILL would leave that hook behind without a limit.
///
/// # Errors
/// When it cannot be reached, or its answer is not complete in time. What the applier itself reports, a refusal as
/// well, is no error but the report's outcome.
pub async fn request(route: &Route, request: &Request, limit: Duration) -> Result<Report, ApplyError> {
    match route {
        Route::Socket(path) => {
            let exchange = async {
                let connected = UnixStream::connect(path).await;
                let stream = connected.map_err(|source| ApplyError::Connect { path: path.clone(), source })?;
                let (reader, writer) = stream.into_split();
                exchange(reader, writer, *request).await
            };
            timeout(limit, exchange).await.map_err(|_| ApplyError::TimedOut(limit))?
        }
        Route::Inline { program, arguments } => {
            let start = |source| ApplyError::Start { program: program.clone(), source };
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
            for variable in OWN_VARIABLES {
                command.env_remove(variable);
            }
            let mut child = Inline(command.spawn().map_err(start)?);
            let (Some(input), Some(output)) = (child.0.stdin.take(), child.0.stdout.take()) else {
                return Err(start(io::ErrorKind::BrokenPipe.into()));
            };
            let exchanged = timeout(limit, exchange(output, input, *request)).await;
            if exchanged.is_err() {
                child.terminate();
            }
            if timeout(EXIT_LIMIT, child.0.wait()).await.is_err() {
                child.terminate();
            }
            exchanged.map_err(|_| ApplyError::TimedOut(limit))?
        }
    }
}

/// An applier that runs as a child, and is told to stop when nobody waits for it any more.
struct Inline(Child);

impl Inline {
    fn terminate(&self) {
        // Without a number it has been reaped.
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // It cannot have gone: it is reaped only through this value.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// Asks the applier at the other end of a stream, and waits for its answer as long as it takes.
///
/// # Errors
/// When its answer is not complete, or not one.
pub async fn exchange<R, W>(reader: R, mut writer: W, request: Request) -> Result<Report, ApplyError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // An applier that refuses before it has read says why in its answer, so a failure to write is not the last word.
    let sent = async {
        writer.write_all(&request.to_line()).await?;
        writer.flush().await
    };
    let sent = sent.await;
    let read = read_report(&mut stream::buffered(reader)).await;
    read.map_err(|problem| match &sent {
        Ok(()) => ApplyError::Answer(problem),
        Err(error) => ApplyError::Answer(format!("it does not take the request: {error}")),
    })
}

async fn read_report<R: AsyncBufRead + Unpin>(reader: &mut R) -> Result<Report, String> {
    let (mut hooks, mut skipped, mut install) = (Vec::new(), Vec::new(), None);
    // Besides hooks, there are the files of templates and the outcome.
    for _ in 0..MOST_HOOKS + MOST_SKIPPED + 2 {
        let line = stream::line(reader, MOST_LINE_BYTES).await.map_err(|error| error.to_string())?;
        let answer = serde_json::from_slice(&line)
            .map_err(|error| format!("a line of it is not understood: {}", excerpt(&error.to_string(), &[])))?;
        match answer {
            Answer::Hook(hook) => hooks.push(hook),
            Answer::Skipped(file) => skipped.push(file),
            Answer::Install(report) => install = Some(report),
            Answer::Outcome(outcome) => return Ok(Report { hooks, skipped, install, outcome }),
        }
    }
    Err("it has more lines than there can be hooks".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::fixture::Host;
    use crate::apply::report::{Outcome, Refusal};
    use crate::apply::request::Notice;

    const LONG: Duration = Duration::from_secs(60);
    const PAIRED: Request = Request::Notice(Notice::Paired);

    /// A program that stands in for the applier.
    fn stand_in(host: &Host, body: &str) -> Route {
        Route::Inline { program: host.hook("applier", body), arguments: vec![] }
    }

    #[tokio::test]
    async fn a_child_is_asked_on_its_standard_input_and_output() {
        let host = Host::new();
        let body = r#"
            read line; echo "$line" >$ROOT/line
            echo '{"skipped":{"name":"b","reason":"writable","message":"m"}}'
            echo '{"hook":{"name":"a","outcome":{"result":"failed","code":2},"milliseconds":5,"output":["x"]}}'
            echo '{"outcome":{"result":"refused","reason":"busy","message":"later"}}'
        "#;
        let report = request(&stand_in(&host, body), &PAIRED, LONG).await.unwrap();
        assert_eq!((report.hooks.len(), report.skipped.len()), (1, 1));
        assert_eq!(report.outcome, Outcome::refused(Refusal::Busy, "later"));
        assert_eq!(host.read("line"), "{\"version\":1,\"event\":\"paired\"}\n");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_an_error_in_a_sentence() {
        let host = Host::new();
        for (body, said) in [
            ("exit 1", "ended without a word"),
            ("read line; echo hello", "not understood"),
            ("read line; printf '{\"outcome\":'", "in the middle of a line"),
            ("read line; head -c 1000000 /dev/zero", "longer than"),
            (r#"while :; do echo '{"skipped":{"name":"b","reason":"hidden","message":"m"}}'; done"#, "more lines"),
        ] {
            let error = request(&stand_in(&host, body), &PAIRED, LONG).await.unwrap_err().to_string();
            assert!(error.contains(said) || error.contains("does not take"), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn a_child_that_does_not_answer_in_time_is_told_to_stop() {
        let host = Host::new();
        let route = stand_in(&host, "trap 'echo told >$ROOT/told; kill $!; exit' TERM; sleep 1000 & wait");
        // The limit must leave the shell time to set its trap.
        let error = request(&route, &PAIRED, Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error, ApplyError::TimedOut(_)), "{error}");
        assert_eq!(host.read("told"), "told\n");
    }

    #[tokio::test]
    async fn an_applier_that_cannot_be_reached_is_an_error_that_says_what_to_do() {
        let host = Host::new();
        let error = request(&Route::Socket(host.path("absent")), &PAIRED, LONG).await.unwrap_err();
        assert!(error.to_string().contains("runtime-agent-apply.socket"), "{error}");
        let route = Route::Inline { program: host.path("absent"), arguments: vec![] };
        let error = request(&route, &PAIRED, LONG).await.unwrap_err();
        assert!(matches!(error, ApplyError::Start { .. }), "{error}");
    }
}
