//! Takes requests, one at a time: from a socket that systemd listens on, or from standard input.

use std::os::fd::AsFd as _;
use std::time::Duration;

use listenfd::ListenFd;
use nix::unistd::Uid;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::ApplierSettings;
use super::applier;
use super::fault::ApplyError;
use super::generation;
use super::report::{Answer, Outcome, Refusal};
use super::request::Request;
use super::stop::Stop;
use super::stream::{self, LineError};
use crate::event::Message;
use crate::transport::excerpt;

/// The longest request: 4 KiB.
pub(super) const MOST_REQUEST_BYTES: usize = 4 * 1024;

/// How long a peer has to send its request: 10 seconds. Others wait meanwhile.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// How long a peer has to take a line of the answer: 10 seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Serves the connections of the socket that systemd passed, and returns once none has come for `idle`: systemd keeps
/// the socket, and starts the applier again for the next one. Returns on SIGTERM as well, after the hook that runs
/// then was told to end.
///
/// The settings are asked for at each connection: an applier that is still there for a while must not do what the
/// configuration said when it was started. Where there are none, the message of that is the answer.
///
/// # Errors
/// When there is no such socket, or it cannot be used.
pub async fn serve_socket(
    settings: impl Fn() -> Result<ApplierSettings, String>,
    idle: Duration,
) -> Result<(), ApplyError> {
    let listener = ListenFd::from_env()
        .take_unix_listener(0)
        .map_err(|error| ApplyError::NoSocket(error.to_string()))?
        .ok_or_else(|| ApplyError::NoSocket("the environment names none".to_owned()))?;
    listener.set_nonblocking(true).map_err(ApplyError::io("use the socket that was passed"))?;
    let listener = UnixListener::from_std(listener).map_err(ApplyError::io("use the socket that was passed"))?;
    let stop = Stop::on_signals().map_err(ApplyError::io("wait for signals"))?;
    serve_listener(settings, &listener, idle, &stop).await
}

/// Serves one connection on standard input and output, which must be pipes, as the daemon passes them. Whoever can
/// start the applier may ask it.
///
/// # Errors
/// When standard input or output cannot be used.
pub async fn serve_stdio(settings: ApplierSettings) -> Result<(), ApplyError> {
    let stop = Stop::on_signals().map_err(ApplyError::io("wait for signals"))?;
    let reader = std::io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
    let writer = std::io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd);
    let reader = reader.map_err(ApplyError::io("read requests from standard input (it must be a pipe)"))?;
    let writer = writer.map_err(ApplyError::io("write answers to standard output (it must be a pipe)"))?;
    serve_stream(&settings, reader, writer, &stop).await;
    Ok(())
}

/// Takes one request from `reader`, carries it out, and answers on `writer`. What the peer does to the stream changes
/// nothing about what is done: a hook that runs for a peer that has gone is run to its end.
pub async fn serve_stream<R, W>(settings: &ApplierSettings, reader: R, writer: W, stop: &Stop) -> Outcome
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut answers = Answers { writer: Some(writer) };
    let received = tokio::select! {
        received = receive(reader) => received,
        () = stop.told() => Err(Outcome::failed("the applier was told to stop; ask again")),
    };
    let outcome = match received {
        Ok(request) => {
            let outcome = applier::carry_out(settings, request, &mut answers, stop).await;
            log(request, &outcome);
            outcome
        }
        Err(outcome) => {
            if let Outcome::Refused { message, .. } = &outcome {
                tracing::warn!("a request was refused: {message}");
            }
            outcome
        }
    };
    answers.send(&Answer::Outcome(outcome.clone())).await;
    outcome
}

async fn serve_listener(
    settings: impl Fn() -> Result<ApplierSettings, String>,
    listener: &UnixListener,
    idle: Duration,
    stop: &Stop,
) -> Result<(), ApplyError> {
    loop {
        let accepted = tokio::select! {
            accepted = timeout(idle, listener.accept()) => accepted,
            () = stop.told() => return Ok(()),
        };
        let Ok(accepted) = accepted else {
            return Ok(());
        };
        let (mut stream, _) = accepted.map_err(ApplyError::io("take a connection"))?;
        let settings = match settings() {
            Ok(settings) => settings,
            Err(message) => {
                tracing::error!(message_id = Message::NothingApplied.id(), "nothing is applied: {message}");
                Answers { writer: Some(&mut stream) }.send(&Answer::Outcome(Outcome::failed(message))).await;
                continue;
            }
        };
        if let Err(refused) = admit(&settings, &stream) {
            tracing::warn!("a connection was refused: {refused}");
            let refused = Outcome::refused(Refusal::Forbidden, refused);
            Answers { writer: Some(&mut stream) }.send(&Answer::Outcome(refused)).await;
            continue;
        }
        let (reader, writer) = stream.split();
        serve_stream(&settings, reader, writer, stop).await;
    }
}

fn admit(settings: &ApplierSettings, stream: &UnixStream) -> Result<(), String> {
    let uid = stream.peer_cred().map_err(|error| format!("its user is not known: {error}"))?.uid();
    if may_ask(uid, settings) {
        Ok(())
    } else {
        Err(format!("the user {uid} may not ask; only root and the owner of {} may", settings.agent_state.display()))
    }
}

/// Root, the applier's own user, and the owner of the daemon's state directory may ask.
fn may_ask(uid: u32, settings: &ApplierSettings) -> bool {
    uid == 0 || uid == Uid::effective().as_raw() || generation::owner(&settings.agent_state) == Some(uid)
}

async fn receive<R: AsyncRead + Unpin>(reader: R) -> Result<Request, Outcome> {
    let mut reader = stream::buffered(reader);
    let refused = |reason, message: String| Outcome::refused(reason, message);
    match timeout(REQUEST_LIMIT, stream::line(&mut reader, MOST_REQUEST_BYTES)).await {
        Ok(Ok(line)) => Request::from_line(&line).map_err(|(reason, message)| refused(reason, message)),
        Ok(Err(error @ LineError::TooLong(_))) => Err(refused(Refusal::TooLong, format!("the request: {error}"))),
        Ok(Err(error @ (LineError::Ended | LineError::Torn | LineError::Io(_)))) => {
            Err(refused(Refusal::Malformed, format!("the request: {}", excerpt(&error.to_string(), &[]))))
        }
        Err(_) => Err(refused(Refusal::TooSlow, format!("no request came within {REQUEST_LIMIT:?}"))),
    }
}

fn log(request: Request, outcome: &Outcome) {
    let event = request.event();
    let about = request.generation().map(|number| format!(" (generation {number})")).unwrap_or_default();
    match outcome {
        Outcome::Done => tracing::info!("{event}{about}: all hooks are done"),
        Outcome::Failed { message } => tracing::warn!("{event}{about}: {message}"),
        Outcome::Refused { reason, message } => {
            tracing::warn!(reason = reason.as_str(), "{event}{about} was refused: {message}");
        }
    }
}

/// The answering side of a connection, until the peer goes.
#[derive(Debug)]
pub(super) struct Answers<W> {
    writer: Option<W>,
}

impl<W: AsyncWrite + Unpin> Answers<W> {
    /// Sends a line, and gives up on a peer that has gone or does not read.
    pub(super) async fn send(&mut self, answer: &Answer) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let sent = async {
            let mut line = serde_json::to_vec(answer)?;
            line.push(b'\n');
            writer.write_all(&line).await?;
            writer.flush().await
        };
        let failed = match timeout(ANSWER_LIMIT, sent).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not read".to_owned(),
        };
        tracing::debug!("the one who asked does not take the answer: {failed}");
        self.writer = None;
    }
}

#[cfg(test)]
mod tests;
